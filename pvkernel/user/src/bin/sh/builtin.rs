//! What only the shell itself can do, and what is too small for a program.

use alloc::string::String;

use pvkernel_user::abi::{FileKind, PATH_MAX};
use pvkernel_user::io::complain;
use pvkernel_user::start::STATUS_USAGE;
use pvkernel_user::{eprintln, println, sys, Errno};

use crate::run::Shell;

const HELP: &str = "\
Programs are in /bin: `ls /bin` names them.
  A | B        B reads what A writes         A && B, A || B   B after success, failure
  A < F > F    input and output, >> adds     A &              A in the background
  N=word $N    variables; $? $# $1 $@ $$ $!  # ...            a comment
  if A; then B; else C; fi    while A; do B; done    for N in WORD...; do A; done
Of the shell itself: cd exit jobs wait test help pwd :";

/// Runs a builtin; `None` if there is none of that name.
pub fn run(shell: &mut Shell, args: &[String]) -> Option<i32> {
    let (name, rest) = args.split_first()?;
    let status = match name.as_str() {
        ":" => 0,
        "cd" => cd(rest),
        "exit" => exit(shell, rest),
        "help" => {
            println!("{HELP}");
            0
        }
        "jobs" => {
            shell.jobs.list();
            0
        }
        "pwd" => pwd(),
        "test" => test(rest),
        "[" => match rest.split_last() {
            Some((last, rest)) if last == "]" => test(rest),
            _ => usage("[ ... ]"),
        },
        "wait" => wait(shell, rest),
        _ => return None,
    };
    Some(status)
}

/// Whether there is a builtin of that name.
pub fn is_one(name: &str) -> bool {
    matches!(name, ":" | "cd" | "exit" | "help" | "jobs" | "pwd" | "test" | "[" | "wait")
}

fn usage(text: &str) -> i32 {
    eprintln!("sh: usage: {text}");
    STATUS_USAGE
}

fn cd(args: &[String]) -> i32 {
    let path = match args {
        [] => "/",
        [path] => path,
        _ => return usage("cd [PATH]"),
    };
    match sys::chdir(path.as_bytes()) {
        Ok(()) => 0,
        Err(why) => complain(path, why),
    }
}

fn exit(shell: &Shell, args: &[String]) -> i32 {
    let status = match args {
        [] => Some(shell.variables.status),
        [text] => text.parse().ok(),
        _ => None,
    };
    match status {
        Some(status) => sys::exit(status),
        None => usage("exit [STATUS]"),
    }
}

fn pwd() -> i32 {
    let mut path = alloc::vec![0; PATH_MAX];
    match sys::getcwd(&mut path) {
        Ok(len) => {
            println!("{}", String::from_utf8_lossy(path.get(..len).unwrap_or_default()));
            0
        }
        Err(why) => complain("pwd", why),
    }
}

fn wait(shell: &mut Shell, args: &[String]) -> i32 {
    let pid = match args {
        [] => None,
        [text] => match text.parse() {
            Ok(pid) => Some(pid),
            Err(_) => return usage("wait [PID]"),
        },
        _ => return usage("wait [PID]"),
    };
    match shell.jobs.wait(pid) {
        Some(status) => status.0,
        None => complain("wait", Errno::ECHILD),
    }
}

fn test(args: &[String]) -> i32 {
    let texts: alloc::vec::Vec<&str> = args.iter().map(String::as_str).collect();
    let (is_negated, texts) = match texts.split_first() {
        Some((&"!", rest)) => (true, rest),
        _ => (false, texts.as_slice()),
    };
    match holds(texts) {
        Some(holds) => i32::from(holds == is_negated),
        None => usage("test [!] (-e|-f|-d PATH | A =|!= B | N -eq|-ne|-lt|-gt N | WORD)"),
    }
}

fn holds(texts: &[&str]) -> Option<bool> {
    let kind_is = |path: &str, kind: FileKind| {
        sys::stat(path.as_bytes()).is_ok_and(|stat| stat.kind == kind as u32)
    };
    let numbers = |a: &str, b: &str| Some((a.parse::<i64>().ok()?, b.parse::<i64>().ok()?));
    Some(match texts {
        [] => false,
        [word] => !word.is_empty(),
        ["-e", path] => sys::stat(path.as_bytes()).is_ok(),
        ["-f", path] => kind_is(path, FileKind::File),
        ["-d", path] => kind_is(path, FileKind::Directory),
        [a, "=", b] => a == b,
        [a, "!=", b] => a != b,
        [a, "-eq", b] => numbers(a, b).map(|(a, b)| a == b)?,
        [a, "-ne", b] => numbers(a, b).map(|(a, b)| a != b)?,
        [a, "-lt", b] => numbers(a, b).map(|(a, b)| a < b)?,
        [a, "-gt", b] => numbers(a, b).map(|(a, b)| a > b)?,
        _ => return None,
    })
}
