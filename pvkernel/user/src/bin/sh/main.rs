//! `sh [-c TEXT | FILE] [ARG...]`: the shell.
//!
//! Without arguments it reads commands from its input, with `$ ` before each when that is a console, and
//! `> ` before lines that finish one. A file or text is read wholly first; a syntax error is one line, and
//! nothing has run. `shell` in the library has the language, `run` runs it, `builtin` has what only the shell
//! itself can do.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod builtin;
mod children;
mod jobs;
mod prompt;
mod redirect;
mod run;
mod test;
mod world;

use alloc::string::{String, ToString};

use pvkernel_user::file::read_whole;
use pvkernel_user::io::complain;
use pvkernel_user::process::exec_status;
use pvkernel_user::shell::{parse, Script, Variables};
use pvkernel_user::start::STATUS_USAGE;
use pvkernel_user::{eprintln, sys, Errno};

use run::Shell;

pvkernel_user::program!(run);

/// Bytes of a script.
const MAX_SCRIPT: usize = 1 << 20;

fn run(args: &[&str]) -> i32 {
    let words = args.get(1..).unwrap_or_default();
    match words {
        [] => prompt::run(shell("sh", &[])),
        ["-c", text, rest @ ..] => match script("-c", text) {
            Ok(script) => shell("sh", rest).script(&script),
            Err(status) => status,
        },
        ["-c"] => pvkernel_user::io::usage("sh [-c TEXT | FILE] [ARG...]"),
        [name, rest @ ..] => file(name, rest),
    }
}

/// Runs a file in a shell of its own.
fn file(name: &str, args: &[&str]) -> i32 {
    match script_of(name) {
        Ok(script) => shell(name, args).script(&script),
        Err(status) => status,
    }
}

/// The script in a file, or the status for having said why there is none.
fn script_of(file: &str) -> Result<Script, i32> {
    let text = read_whole(file, MAX_SCRIPT).and_then(|bytes| match bytes.contains(&0) {
        true => Err(Errno::ENOEXEC),
        false => String::from_utf8(bytes).map_err(|_| Errno::ENOEXEC),
    });
    match text {
        Ok(text) => script(file, &text),
        Err(why) => {
            complain(file, why);
            Err(exec_status(why))
        }
    }
}

fn script(place: &str, text: &str) -> Result<Script, i32> {
    parse(text).map_err(|error| {
        eprintln!("sh: {place}: {error}");
        STATUS_USAGE
    })
}

fn shell(name: &str, args: &[&str]) -> Shell {
    let args = core::iter::once(&name).chain(args).map(ToString::to_string).collect();
    let variables = Variables { args, pid: sys::getpid(), ..Variables::default() };
    Shell::new(variables)
}
