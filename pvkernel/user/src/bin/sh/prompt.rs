//! Reads commands as they are typed, or come from a pipe or file, and runs each.
//!
//! At a console lines are edited here: `/dev/keys` is open while a command is typed, and closed while it runs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pvkernel_user::abi::{open, FileKind};
use pvkernel_user::edit::{Editor, Names, Typed};
use pvkernel_user::file::{entries, File};
use pvkernel_user::io::{complain, Lines, STDIN};
use pvkernel_user::shell::{parse, Script, MAX_BYTES};
use pvkernel_user::start::STATUS_USAGE;
use pvkernel_user::{eprintln, print, println, sys, Result};

use crate::builtin;
use crate::run::{Flow, Shell};

/// Where keys come from one by one.
const KEYS: &str = "/dev/keys";

/// What was read.
enum Got {
    Line(String),
    /// What was typed is not meant.
    Nothing,
    End,
}

struct Reader {
    is_console: bool,
    editor: Editor,
    lines: Lines,
    /// Lines of a command that is not whole.
    text: String,
    /// Lines so far.
    number: usize,
    /// The number of the first in `text`.
    first: usize,
}

/// Runs all commands: the status of the last.
pub fn run(mut shell: Shell) -> i32 {
    // The ends of a pipe have no names.
    let is_console = sys::fstat(STDIN)
        .is_ok_and(|stat| stat.kind == FileKind::Character as u32 && stat.links > 0);
    shell.jobs.are_told = is_console;
    shell.variables.named.set("PWD", builtin::folder().unwrap_or_default());
    let mut reader = Reader {
        is_console,
        editor: Editor::default(),
        lines: Lines::new(STDIN),
        text: String::new(),
        number: 0,
        first: 0,
    };
    while let Some(script) = reader.command(&mut shell) {
        shell.flow = Flow::Next;
        shell.script(&script);
        shell.jobs.tell_ended();
    }
    if is_console {
        println!();
    }
    shell.variables.status
}

impl Reader {
    /// The next command that is whole; `None` at the end.
    fn command(&mut self, shell: &mut Shell) -> Option<Script> {
        let keys = self.is_console.then(|| File::open(KEYS, open::READ | open::WRITE));
        let keys = keys.and_then(Result::ok);
        loop {
            let prompt = if self.text.is_empty() { "$ " } else { "> " };
            let got = match &keys {
                Some(keys) => self.edited(keys, prompt, shell),
                None => self.plain(prompt),
            };
            let got = got.unwrap_or_else(|why| {
                complain("input", why);
                Got::End
            });
            match got {
                Got::Line(line) => {
                    if let Some(script) = self.take(&line, shell) {
                        return Some(script);
                    }
                }
                Got::Nothing => self.text.clear(),
                Got::End if self.text.is_empty() => return None,
                Got::End => {
                    let text = core::mem::take(&mut self.text);
                    self.refuse(text.trim_end_matches('\n'), shell);
                }
            }
        }
    }

    /// A line that is edited here.
    fn edited(&mut self, keys: &File, prompt: &'static str, shell: &mut Shell) -> Result<Got> {
        self.editor.begin(prompt);
        let (mut bytes, mut history) = ([0; 64], core::mem::take(&mut shell.history));
        let mut got = None;
        while got.is_none() {
            keys.write_all(self.editor.take_screen().as_bytes())?;
            // Not more than what ends with a line, so nothing of the next one.
            let count = keys.read(&mut bytes)?;
            for byte in bytes.iter().take(count) {
                got = match self.editor.feed(*byte, &mut history, shell) {
                    Typed::More => got,
                    Typed::Line(line) => Some(Got::Line(line)),
                    Typed::Interrupt => Some(Got::Nothing),
                    Typed::End => Some(Got::End),
                };
            }
        }
        shell.history = history;
        keys.write_all(self.editor.take_screen().as_bytes())?;
        Ok(got.unwrap_or(Got::Nothing))
    }

    /// A line as it comes.
    fn plain(&mut self, prompt: &str) -> Result<Got> {
        if self.is_console {
            print!("{prompt}");
        }
        let mut line = Vec::new();
        Ok(match self.lines.next(&mut line)? {
            true => Got::Line(String::from_utf8_lossy(&line).into_owned()),
            false => Got::End,
        })
    }

    /// Takes a line: the command, if it is whole now.
    fn take(&mut self, line: &str, shell: &mut Shell) -> Option<Script> {
        self.number += 1;
        if self.text.is_empty() {
            self.first = self.number;
        }
        self.text.push_str(line);
        match parse(&self.text) {
            Ok(script) => {
                self.text.clear();
                return Some(script);
            }
            Err(error) if error.is_unfinished && self.text.len() < MAX_BYTES => {
                self.text.push('\n');
            }
            Err(_) => {
                let text = core::mem::take(&mut self.text);
                self.refuse(&text, shell);
            }
        }
        None
    }

    /// Says what is wrong with a text.
    fn refuse(&self, text: &str, shell: &mut Shell) {
        let Err(error) = parse(text) else { return };
        shell.variables.status = STATUS_USAGE;
        if self.is_console && error.line == 1 {
            eprintln!("sh: column {}: {}", error.column, error.what);
            return;
        }
        let first = if self.is_console { 1 } else { self.first };
        let line = first + error.line - 1;
        eprintln!("sh: line {line}, column {}: {}", error.column, error.what);
    }
}

impl Names for Shell {
    fn beginning_with(&mut self, start: &str, is_program: bool) -> Vec<String> {
        let (folder, name) = start.split_at(start.rfind('/').map_or(0, |slash| slash + 1));
        let mut found = Vec::new();
        if is_program && folder.is_empty() {
            found.extend(builtin::names().map(ToString::to_string));
            found.extend(self.functions.names().map(ToString::to_string));
            found.extend(entries("/bin").unwrap_or_default().into_iter().map(|entry| entry.name));
        } else {
            let entries = entries(if folder.is_empty() { "." } else { folder });
            for entry in entries.unwrap_or_default() {
                let is_folder = entry.kind == FileKind::Directory as u32;
                found.push(entry.name + if is_folder { "/" } else { "" });
            }
        }
        found.retain(|found| {
            found.starts_with(name) && found.starts_with('.') == name.starts_with('.')
        });
        found.iter().map(|name| [folder, name].concat()).collect()
    }
}
