//! `zl` in the person's own terminal.
//!
//! The verbs, their options and their help are those of `zl-cli`, so mistakes are found before
//! anything is sent. What is left goes to `zld` in the control domain, over the loopback port and with
//! the token that `run_file` finds; `link` speaks the protocol of `zl-client`, `session` shows what
//! comes back and sends what is typed. `create` and `cp` send files first (`upload`, `copy`).
//!
//! `cargo xtask run` writes the run file; `cargo xtask zl` and the program `zl` both call [`main_with`].
//!
//! Invariants: each failure is one line on the standard error (or one document on the standard output
//! with `-o json`) and a status that is not 0; the terminal is as it was when the program ends.
#![forbid(unsafe_code)]

mod complete;
mod copy;
mod link;
pub mod offer;
mod progress;
pub mod run_file;
mod session;
mod terminal;
mod upload;

use std::io::{self, Write};
use std::path::PathBuf;

use zl_cli::run::{document_without_dom0, without_dom0};
use zl_cli::{report, scripts, Command};
use zl_toolstack::{Status, ToolError};

use link::Link;
use session::Session;

/// What every failure of this crate is.
type Result<T> = std::result::Result<T, ToolError>;

/// A failure to reach the control domain.
fn unreachable(text: impl Into<String>) -> ToolError {
    ToolError { status: Status::Unreachable, text: text.into() }
}

/// Carries out the words behind `zl`; the answer is the exit status.
#[must_use]
pub fn main_with(mut words: Vec<String>) -> u8 {
    let run = match take_run(&mut words) {
        Ok(run) => run,
        Err(error) => return fail(None, &error),
    };
    if words.first().is_some_and(|word| word == scripts::COMPLETE) {
        complete::print(run, words.get(1..).unwrap_or(&[]));
        return 0;
    }
    match Command::parse(&words) {
        Ok(Command::Json { verb, command }) => {
            let done = command.and_then(|command| carry_out(run, &words, &command, Some(verb)));
            done.unwrap_or_else(|error| fail(Some(verb), &error))
        }
        Ok(command) => {
            carry_out(run, &words, &command, None).unwrap_or_else(|error| fail(None, &error))
        }
        Err(error) => fail(None, &error),
    }
}

/// Takes each `--run FILE` from in front of the verb; the last one counts.
fn take_run(words: &mut Vec<String>) -> Result<Option<PathBuf>> {
    let mut run = None;
    while let Some(first) = words.first() {
        let file = match first.strip_prefix("--run") {
            Some("") if words.len() > 1 => words.remove(1),
            Some(joined) if joined.starts_with('=') => joined.trim_start_matches('=').to_string(),
            Some("" | "=") => {
                let text = "--run needs a FILE; usage: zl --run FILE VERB ...";
                return Err(ToolError::usage(text));
            }
            _ => break,
        };
        words.remove(0);
        run = Some(PathBuf::from(file));
    }
    Ok(run)
}

/// Says what went wrong, for people or, if a verb was to answer in JSON, for scripts.
fn fail(json: Option<&str>, error: &ToolError) -> u8 {
    match json {
        Some(verb) => print(&report::failed(verb, error)),
        None => eprintln!("zl: {error}"),
    }
    error.status.number()
}

/// Prints results. A reader that went away, as `head` does, is no failure of ours.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn carry_out(
    run: Option<PathBuf>,
    words: &[String],
    command: &Command,
    json: Option<&'static str>,
) -> Result<u8> {
    if let Some(answer) = without_dom0(command) {
        return answer_here(answer, json);
    }
    let link = Link::open(&run_file::find(run.as_deref())?)?;
    let mut session = Session::new(link);
    match command {
        Command::Create { file, overrides, dry_run, .. } => {
            upload::send_for(&mut session, file, overrides, *dry_run)?;
            session.run(words)
        }
        Command::Copy { from, to } => {
            copy::copy(&mut session, from, to)?;
            if json.is_some() {
                print(&document_without_dom0("cp", &Ok(String::new())).0);
            }
            Ok(0)
        }
        Command::Dom0(words) => session.run_in_shell(words),
        _ => session.run(words),
    }
}

fn answer_here(answer: Result<String>, json: Option<&'static str>) -> Result<u8> {
    match json {
        None => answer.map(|text| {
            print(&text);
            0
        }),
        Some(verb) => {
            let (document, status) = document_without_dom0(verb, &answer);
            print(&document);
            Ok(status.number())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> (Result<Option<PathBuf>>, Vec<String>) {
        let mut words: Vec<String> = line.split_whitespace().map(String::from).collect();
        (take_run(&mut words), words)
    }

    #[test]
    fn the_last_run_in_front_of_the_verb_counts() {
        assert_eq!(
            taken("list --run x"),
            (Ok(None), vec!["list".into(), "--run".into(), "x".into()])
        );
        assert_eq!(taken("--run a list"), (Ok(Some("a".into())), vec!["list".into()]));
        assert_eq!(taken("--run a --run=b list"), (Ok(Some("b".into())), vec!["list".into()]));
        assert!(taken("--run").0.is_err());
        assert_eq!(taken("").0, Ok(None));
    }
}
