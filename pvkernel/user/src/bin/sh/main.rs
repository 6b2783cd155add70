//! `sh [-c TEXT | FILE] [ARG...]`: the shell.
//!
//! Without arguments it reads lines of its input, with `$ ` before each when that is a console. A file or
//! text is read wholly first; a syntax error is one line, and nothing has run. `shell` in the library has
//! the language, `run` runs it, `builtin` has what only the shell itself can do.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod builtin;
mod jobs;
mod run;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pvkernel_user::abi::FileKind;
use pvkernel_user::file::read_whole;
use pvkernel_user::io::{complain, Lines, STDIN};
use pvkernel_user::shell::{parse, Variables};
use pvkernel_user::start::STATUS_USAGE;
use pvkernel_user::{eprintln, print, println, sys, Errno};

use run::Shell;

pvkernel_user::program!(run);

/// Bytes of a script.
const MAX_SCRIPT: usize = 1 << 20;

fn run(args: &[&str]) -> i32 {
    let words = args.get(1..).unwrap_or_default();
    match words {
        [] => interactive(),
        ["-c", text, rest @ ..] => whole("-c", text, "sh", rest),
        ["-c"] => pvkernel_user::io::usage("sh [-c TEXT | FILE] [ARG...]"),
        [file, rest @ ..] => match text_of(file) {
            Ok(text) => whole(file, &text, file, rest),
            Err(why) => {
                complain(file, why);
                pvkernel_user::process::exec_status(why)
            }
        },
    }
}

fn text_of(file: &str) -> Result<String, Errno> {
    let bytes = read_whole(file, MAX_SCRIPT)?;
    String::from_utf8(bytes).map_err(|_| Errno::ENOEXEC)
}

fn shell(name: &str, args: &[&str]) -> Shell {
    let args = core::iter::once(&name).chain(args).map(ToString::to_string).collect();
    let variables = Variables { args, pid: sys::getpid(), ..Variables::default() };
    Shell::new(variables)
}

/// Runs a script of which all is there.
fn whole(place: &str, text: &str, name: &str, args: &[&str]) -> i32 {
    match parse(text) {
        Ok(script) => shell(name, args).script(&script),
        Err(error) => {
            eprintln!("sh: {place}: {error}");
            STATUS_USAGE
        }
    }
}

/// Runs lines as they come.
fn interactive() -> i32 {
    let is_console = sys::fstat(STDIN).is_ok_and(|stat| stat.kind == FileKind::Character as u32);
    let (mut shell, mut lines, mut line) = (shell("sh", &[]), Lines::new(STDIN), Vec::new());
    let mut number = 0;
    shell.jobs.are_told = is_console;
    loop {
        shell.jobs.tell_ended();
        if is_console {
            print!("$ ");
        }
        match lines.next(&mut line) {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => return complain("input", why),
        }
        number += 1;
        run_line(&mut shell, &line, is_console, number);
    }
    if is_console {
        println!();
    }
    shell.variables.status
}

fn run_line(shell: &mut Shell, line: &[u8], is_console: bool, number: usize) {
    let parsed = core::str::from_utf8(line).map(parse);
    shell.is_stopped = false;
    match parsed {
        Ok(Ok(script)) => {
            shell.script(&script);
        }
        Ok(Err(error)) if is_console => {
            eprintln!("sh: column {}: {}", error.column, error.what);
            shell.variables.status = STATUS_USAGE;
        }
        Ok(Err(error)) => {
            eprintln!("sh: line {number}, column {}: {}", error.column, error.what);
            shell.variables.status = STATUS_USAGE;
        }
        Err(_) => {
            eprintln!("sh: line {number}: no UTF-8");
            shell.variables.status = STATUS_USAGE;
        }
    }
}
