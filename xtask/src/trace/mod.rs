//! Traces of single operations, instruction by instruction, on either hypervisor.
//!
//! The guest called `bench` runs with its word `trace` under `-icount`. When it waits for a byte,
//! QEMU's monitor is told to log what is executed and to translate one instruction at a time; then
//! the byte is typed, and the log comes through a named pipe, of which only what is between the
//! guest's marks is kept. Addresses are all that this needs to know of a hypervisor, so that it works
//! for Xen, whose symbols nobody has, as well.
//!
//! The program `bench` of the teaching kernel does the same in ring 3, and `bench kernel` follows it.
//!
//! Used by `bench --events`, by `bench kernel`, by `profile` and by the reports. The log is large (80 bytes for each
//! instruction), the trace is not slow: about a million instructions per second.

pub mod events;
pub mod log;
pub mod marks;
mod monitor;
pub mod rows;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use system_tests::machine::Failure;
use system_tests::qemu::{Boot, Hypervisor};
use system_tests::session::{Images, Session, Watched};

use crate::bench::boots::until_done;
use crate::{sh, Result};
use log::{Code, Reader};
use marks::Marks;
use monitor::Monitor;
use rows::Traced;

/// Until the guest waits.
const BOOT: Duration = Duration::from_secs(60);
/// All operations, some 15 million instructions at most: a million in a second where nobody else works.
const RUN: Duration = Duration::from_secs(400);

/// Xen gives a kernel 1024 characters.
const LONGEST_PATTERN: usize = 900;

/// What a guest did between its marks.
pub struct Trace {
    /// The rows in the order in which they ran.
    pub rows: Vec<Traced>,
    /// The instructions they ran, by address.
    pub code: Code,
}

/// Traces the rows that `pattern` selects, as the guest understands it: names and prefixes with a
/// star, with `+` between. Nothing selects all.
pub fn trace(images: &Images, which: Hypervisor, pattern: &str) -> Result<Trace> {
    let label = format!("trace-{}", which.name());
    let session = Session::new(images, which, 1, &label);
    let words = match pattern {
        "" => "trace".to_string(),
        some => format!("trace rows={some}"),
    };
    let boot = images.guest_boot(which, "bench", &words);
    follow(&session, boot.map_err(|failure| failure.to_string())?, &images.guests.join("bench"))
}

/// Boots and follows the guest or program in the file `marked`, which prints `trace ready` and waits for a
/// line before its first mark.
pub fn follow(session: &Session<'_>, mut boot: Boot, marked: &Path) -> Result<Trace> {
    let marks = Marks::of(marked)?;
    let place = Place::new()?;
    boot.icount = true;
    boot.extra.extend(monitor::words(&place.socket()));
    boot.extra.extend(["-D".to_string(), place.log().display().to_string()]);
    let reader = read_log(&place.log(), marks);
    let printed = session
        .start(boot)
        .map_err(|failure| failure.to_string())
        .and_then(|mut machine| drive(&mut machine, &place));
    place.release();
    let reader = reader.join().map_err(|_| "the reader of QEMU's log failed".to_string())??;
    let rows = rows::assign(&printed?, reader.samples)?;
    Ok(Trace { rows, code: reader.code })
}

/// Patterns that select these rows, few enough at a time for a kernel's command line and for one
/// machine's life.
pub fn patterns<'a>(rows: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut patterns: Vec<String> = Vec::new();
    for row in rows {
        match patterns.last_mut() {
            Some(last) if last.len() + row.len() < LONGEST_PATTERN => {
                last.push('+');
                last.push_str(row);
            }
            _ => patterns.push(row.to_string()),
        }
    }
    patterns
}

/// Switches the log on when the guest is ready, and returns what the guest prints from there.
fn drive(machine: &mut Watched<'_>, place: &Place) -> Result<String> {
    let text = |failure: Failure| failure.to_string();
    machine.machine.expect("trace ready", BOOT).map_err(text)?;
    let mut monitor = Monitor::connect(&place.socket())?;
    // In this order: what is translated for single steps must already be logged.
    monitor.command("log exec,in_asm,nochain,int")?;
    monitor.command("singlestep on")?;
    machine.machine.send("\n").map_err(text)?;
    let printed = until_done(&mut machine.machine, RUN).map_err(text)?;
    let verdict = machine.expect("\n", 20).map_err(text)?;
    if let Some(line) = printed.lines().find(|line| line.starts_with("bad ")) {
        return Err(format!("the guest's proof failed: {}", line.trim()));
    }
    match verdict.trim() {
        "SUCCESS" => Ok(printed),
        _ => {
            Err("no row that can be traced has such a name (see `cargo xtask bench --list`)".into())
        }
    }
}

/// Reads the log until QEMU ends.
fn read_log(log: &Path, marks: Marks) -> JoinHandle<Result<Reader>> {
    let path = log.to_path_buf();
    thread::spawn(move || {
        let failed = |error| format!("QEMU's log at {}: {error}", path.display());
        let mut file = BufReader::with_capacity(1 << 20, fs::File::open(&path).map_err(failed)?);
        let mut reader = Reader::new(marks.start, marks.stops);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            reader.line(line.trim_ascii_end());
            line.clear();
        }
        Ok(reader)
    })
}

/// A folder for the socket and the named pipe: a short path, since sockets demand that.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Place> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("zendo-trace-{}-{number}", std::process::id());
        let place = Place(std::env::temp_dir().join(name));
        fs::create_dir(&place.0).map_err(|error| format!("{}: {error}", place.0.display()))?;
        sh::run(Command::new("mkfifo").arg(place.log()))?;
        Ok(place)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("monitor")
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// A reader that still waits for a QEMU that never came to log finds an end. The pipe is opened
    /// for reading as well, so that this does not wait itself.
    fn release(&self) {
        // If it fails, there is no pipe, and the reader has failed as well.
        let _ = fs::OpenOptions::new().read(true).write(true).open(self.log());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is a file in the folder for temporary ones.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_asked_for_in_portions() {
        assert_eq!(patterns(["a", "b"].into_iter()), ["a+b"]);
        let long = "x".repeat(400);
        let portions = patterns([long.as_str(); 5].into_iter());
        assert_eq!(portions.len(), 3);
        assert!(portions.iter().all(|portion| portion.len() <= LONGEST_PATTERN));
        assert_eq!(portions.iter().map(|portion| portion.split('+').count()).sum::<usize>(), 5);
        assert!(patterns([].into_iter()).is_empty());
    }
}
