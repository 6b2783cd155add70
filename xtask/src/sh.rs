//! Running other programs.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// Finds a program on the PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A command as a person would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command with this terminal and fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("{}: {error}", line(command)))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("`{}` failed ({status})", line(command))),
    }
}

/// As [`run`], and the failure repeats those of the last lines on standard output that `telling` picks:
/// what a long run printed far above.
pub fn run_telling(command: &mut Command, telling: fn(&str) -> bool) -> Result<()> {
    let failed = |error: std::io::Error, command: &Command| format!("{}: {error}", line(command));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| failed(e, command))?;
    let mut told = VecDeque::new();
    for text in BufReader::new(child.stdout.take().expect("it was piped")).split(b'\n') {
        let text = text.map_err(|error| failed(error, command))?;
        let text = String::from_utf8_lossy(&text);
        println!("{text}");
        if telling(&text) {
            told.push_back(text.into_owned());
            told.drain(..told.len().saturating_sub(TOLD));
        }
    }
    let status = child.wait().map_err(|error| failed(error, command))?;
    match status.success() {
        true => Ok(()),
        false => {
            let told: String = told.iter().map(|text| format!("\n{text}")).collect();
            Err(format!("`{}` failed ({status}){told}", line(command)))
        }
    }
}

/// How many lines a failure repeats.
const TOLD: usize = 12;

/// Runs a command and returns what it printed on standard output.
pub fn capture(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", line(command)))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` failed ({}): {}", line(command), output.status, said.trim()))
}

/// As [`capture`], as text.
pub fn capture_text(command: &mut Command) -> Result<String> {
    capture(command).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a command silently for at most `limit`; true if it succeeded in that time.
pub fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = silent.spawn() else { return false };
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => thread::park_timeout(POLL),
            Ok(None) | Err(_) => break,
        }
    }
    // Fails only when it has ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// How often a child that may hang is looked at.
const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_what_tells_why() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two; echo three; exit 3"]);
        let said = run_telling(&mut shell, |text| text.starts_with('t')).unwrap_err();
        assert!(said.ends_with("\ntwo\nthree") && said.contains("exit status: 3"), "{said}");
        assert_eq!(run_telling(&mut Command::new("true"), |_| true), Ok(()));
    }

    #[test]
    fn a_command_that_hangs_is_ended_at_its_limit() {
        let started = Instant::now();
        let mut sleeper = Command::new("sleep");
        assert!(!succeeds_within(sleeper.arg("60"), Duration::from_millis(100)));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let error = run(&mut Command::new("false")).expect_err("false fails");
        assert!(error.contains("`false` failed"), "{error}");
    }
}
