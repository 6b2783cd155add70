//! Runs commands as they are typed, or come from a pipe or file.

use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::abi::FileKind;
use pvkernel_user::io::{complain, Lines, STDIN};
use pvkernel_user::shell::{parse, MAX_BYTES};
use pvkernel_user::start::STATUS_USAGE;
use pvkernel_user::{eprintln, print, println, sys};

use crate::run::{Flow, Shell};

/// A command that is being read.
#[derive(Default)]
struct Reader {
    /// Its lines so far.
    text: String,
    /// The number of its first line, but 0 at a console.
    first: usize,
}

/// Runs all commands: the status of the last.
pub fn run(mut shell: Shell) -> i32 {
    let is_console = sys::fstat(STDIN).is_ok_and(|stat| stat.kind == FileKind::Character as u32);
    let (mut lines, mut line, mut reader) = (Lines::new(STDIN), Vec::new(), Reader::default());
    let mut number = 0;
    shell.jobs.are_told = is_console;
    loop {
        shell.jobs.tell_ended();
        if is_console {
            print!("{}", if reader.text.is_empty() { "$ " } else { "> " });
        }
        match lines.next(&mut line) {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => return complain("input", why),
        }
        number += 1;
        reader.take(&mut shell, &line, if is_console { 0 } else { number });
    }
    reader.finish(&mut shell);
    if is_console {
        println!();
    }
    shell.variables.status
}

impl Reader {
    /// Takes a line: runs the command if it is whole now.
    fn take(&mut self, shell: &mut Shell, line: &[u8], number: usize) {
        if self.text.is_empty() {
            self.first = number;
        }
        match core::str::from_utf8(line) {
            Ok(line) => self.text.push_str(line),
            Err(_) => return self.refuse(shell, "no UTF-8"),
        }
        shell.flow = Flow::Next;
        match parse(&self.text) {
            Ok(script) => {
                self.text.clear();
                shell.script(&script);
            }
            Err(error) if error.is_unfinished && self.text.len() < MAX_BYTES => {
                self.text.push('\n')
            }
            Err(_) => self.finish(shell),
        }
    }

    /// There are no more lines: what is unfinished is a mistake.
    fn finish(&mut self, shell: &mut Shell) {
        let text = core::mem::take(&mut self.text);
        let Err(error) = parse(text.trim_end_matches('\n')) else { return };
        shell.variables.status = STATUS_USAGE;
        match (self.first, error.line) {
            (0, 1) => eprintln!("sh: column {}: {}", error.column, error.what),
            (first, line) => {
                let line = first.max(1) + line - 1;
                eprintln!("sh: line {line}, column {}: {}", error.column, error.what);
            }
        }
    }

    fn refuse(&mut self, shell: &mut Shell, why: &str) {
        self.text.clear();
        shell.variables.status = STATUS_USAGE;
        eprintln!("sh: line {}: {why}", self.first);
    }
}
