//! What only the shell itself can do, and what is too small for a program.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pvkernel_user::abi::PATH_MAX;
use pvkernel_user::io::{complain, STDIN};
use pvkernel_user::shell::{is_name, MAX_BYTES};
use pvkernel_user::start::STATUS_USAGE;
use pvkernel_user::{eprintln, println, sys, Errno, Result};

use crate::run::{Flow, Shell};
use crate::test;

const HELP: &str = "\
Programs are in /bin: `ls /bin` names them.
  A | B        B reads what A writes         A && B, A || B   B after success, failure
  A < F > F    input and output, >> adds     2> F, 2>&1, >&2  complaints
  A <<END      lines up to END are input     A &              A in the background
  N=word $N    variables; $? $# $1 $@ $$ $!  ${N:-word}       word if N is empty
  $(A)         what A writes                 $((1 + 2 * N))   a number
  * ? [a-z]    names of files                # ...            a comment
  if A; then B; elif C; then D; else E; fi   while A; do B; done    until A; do B; done
  for N in WORD...; do A; done               case W in a*|b) A;; *) B;; esac
  { A; B; }    together                      ( A; B )         in a shell of its own
  f() { A $1; }    a function: f WORD
Keys: arrows, Home, End, Tab completes; ^C ends, ^D at the beginning leaves, ^L clears, ^U ^K ^W cut.
Of the shell itself:";

/// What a builtin does with the arguments behind its name: its status.
type Builtin = fn(&mut Shell, &[String]) -> i32;

/// The names, and what each does.
const ALL: &[(&str, Builtin)] = &[
    (".", source),
    (":", |_, _| 0),
    ("[", bracket),
    ("break", |shell, args| leave(shell, args, Flow::Break)),
    ("cd", cd),
    ("continue", |shell, args| leave(shell, args, Flow::Continue)),
    ("exit", exit),
    ("help", |_, _| help()),
    ("history", |shell, _| {
        (1..).zip(shell.history.lines()).for_each(|(number, line)| println!("{number:>4}  {line}"));
        0
    }),
    ("jobs", |shell, _| {
        shell.jobs.list();
        0
    }),
    ("pwd", |_, _| pwd()),
    ("read", read),
    ("return", return_),
    ("shift", shift),
    ("test", |_, args| judge(args)),
    ("unset", unset),
    ("wait", wait),
];

fn find(name: &str) -> Option<Builtin> {
    ALL.iter().find(|(other, _)| *other == name).map(|(_, run)| *run)
}

/// Runs the builtin that the first argument names.
pub fn run(shell: &mut Shell, args: &[String]) -> i32 {
    let Some((name, rest)) = args.split_first() else { return 0 };
    find(name).map_or(STATUS_USAGE, |run| run(shell, rest))
}

/// Whether there is a builtin of that name.
pub fn is_one(name: &str) -> bool {
    find(name).is_some()
}

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

fn usage(text: &str) -> i32 {
    eprintln!("sh: usage: {text}");
    STATUS_USAGE
}

fn help() -> i32 {
    let names: Vec<&str> = names().collect();
    println!("{HELP} {}", names.join(" "));
    0
}

/// The directory that paths begin at.
pub fn folder() -> Result<String> {
    let mut path = alloc::vec![0; PATH_MAX];
    let len = sys::getcwd(&mut path)?;
    Ok(String::from_utf8_lossy(path.get(..len).unwrap_or_default()).into_owned())
}

fn cd(shell: &mut Shell, args: &[String]) -> i32 {
    let before = shell.variables.get("OLDPWD");
    let path = match args {
        [] => "/",
        [dash] if dash == "-" && before.is_empty() => return usage("cd - works behind another cd"),
        [dash] if dash == "-" => &before,
        [path] => path,
        _ => return usage("cd [PATH | -]"),
    };
    let from = folder();
    if let Err(why) = sys::chdir(path.as_bytes()) {
        return complain(path, why);
    }
    if args.iter().any(|arg| arg == "-") {
        println!("{path}");
    }
    for (name, path) in [("OLDPWD", from), ("PWD", folder())] {
        shell.variables.named.set(name, path.unwrap_or_default());
    }
    0
}

fn exit(shell: &mut Shell, args: &[String]) -> i32 {
    match status(shell, args) {
        Some(status) => sys::exit(status),
        None => usage("exit [STATUS]"),
    }
}

fn return_(shell: &mut Shell, args: &[String]) -> i32 {
    match status(shell, args) {
        Some(status) if shell.is_inside(Flow::Return) => {
            shell.flow = Flow::Return;
            status
        }
        _ => usage("return [STATUS], in a function or a script that . runs"),
    }
}

/// The argument, or what the last command ended with.
fn status(shell: &Shell, args: &[String]) -> Option<i32> {
    match args {
        [] => Some(shell.variables.status),
        [text] => text.parse().ok(),
        _ => None,
    }
}

fn leave(shell: &mut Shell, args: &[String], flow: Flow) -> i32 {
    if !args.is_empty() || !shell.is_inside(flow) {
        return usage("break or continue, in a loop");
    }
    shell.flow = flow;
    0
}

fn pwd() -> i32 {
    match folder() {
        Ok(path) => {
            println!("{path}");
            0
        }
        Err(why) => complain("pwd", why),
    }
}

/// Runs a script in this shell.
fn source(shell: &mut Shell, args: &[String]) -> i32 {
    let Some(file) = args.first() else { return usage(". FILE [ARG...]") };
    match crate::script_of(file) {
        Ok(script) => match shell.call(args, |shell| shell.script(&script)) {
            Ok(status) => status,
            Err(why) => shell.fail(&why),
        },
        Err(status) => status,
    }
}

/// Reads a line a byte at a time, so that what is behind it is left for others. Blanks part its words; the
/// last variable gets the rest.
fn read(shell: &mut Shell, args: &[String]) -> i32 {
    if args.is_empty() || !args.iter().all(|name| is_name(name)) {
        return usage("read NAME...");
    }
    let (mut line, mut byte, mut is_whole) = (Vec::new(), [0], false);
    while line.len() < MAX_BYTES && !is_whole {
        match sys::read(STDIN, &mut byte) {
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => is_whole = true,
            Ok(_) => line.extend(byte),
            Err(why) => return complain("read", why),
        }
    }
    let line = String::from_utf8_lossy(&line);
    let mut rest = line.trim_matches([' ', '\t']);
    for (index, name) in args.iter().enumerate() {
        let end = rest.find([' ', '\t']).filter(|_| index + 1 < args.len());
        let (value, behind) = rest.split_at(end.unwrap_or(rest.len()));
        shell.variables.named.set(name, value.to_string());
        rest = behind.trim_start_matches([' ', '\t']);
    }
    i32::from(!is_whole)
}

fn shift(shell: &mut Shell, args: &[String]) -> i32 {
    if !args.is_empty() || shell.variables.args.len() < 2 {
        return usage("shift, while there are arguments");
    }
    shell.variables.args.remove(1);
    0
}

fn unset(shell: &mut Shell, args: &[String]) -> i32 {
    for name in args {
        shell.variables.named.remove(name);
        shell.functions.remove(name);
    }
    0
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

fn bracket(_: &mut Shell, args: &[String]) -> i32 {
    match args.split_last() {
        Some((last, args)) if last == "]" => judge(args),
        _ => usage("[ ... ]"),
    }
}

fn judge(args: &[String]) -> i32 {
    match test::holds(args) {
        Some(holds) => i32::from(!holds),
        None => usage(test::USAGE),
    }
}
