//! What commands cost: `time COMMAND` of dom0's shell, and the counts of `zl debug counts`.
//!
//! Nothing else is typed while a command is timed: input that arrives would be part of the time.
//! Under an instruction-counting emulator a tick is an instruction, of all domains together.

use std::time::Duration;

use crate::dom0::{self, Dom0, PROMPT};
use crate::machine::Failure;

/// Longer than anything that is timed takes.
const WITHIN: Duration = Duration::from_secs(60);

/// What one command took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Nanoseconds of system time.
    pub ns: u64,
    /// Ticks of the time stamp counter.
    pub ticks: u64,
    /// The counter when it began.
    pub from: u64,
}

/// Runs a command that must succeed, and says what it took.
///
/// # Errors
/// When it fails, or does not end.
pub fn timed(dom0: &mut Dom0<'_>, command: &str) -> Result<Timed, Failure> {
    let context = |failure: Failure| Failure(format!("`time {command}`: {failure}"));
    dom0.machine().send(&format!("time {command}\r")).map_err(context)?;
    dom0.machine().expect("\ntime: ", WITHIN).map_err(context)?;
    let line = dom0.machine().expect("\n", WITHIN).map_err(context)?;
    dom0.machine().expect(PROMPT, WITHIN).map_err(context)?;
    read_line(&line).map_err(|why| Failure(format!("`time {command}`: {why}")))
}

/// Reads the line behind `time: `.
fn read_line(line: &str) -> Result<Timed, String> {
    let values = dom0::read_counts(line);
    let value = |key: &str| values.get(key).copied().ok_or(format!("no {key} in '{line}'"));
    match value("status")? {
        0 => Ok(Timed { ns: value("ns")?, ticks: value("ticks")?, from: value("from")? }),
        status => Err(format!("status {status}")),
    }
}

/// The least of several times of one command.
///
/// # Errors
/// As [`timed`].
pub fn least(dom0: &mut Dom0<'_>, command: &str, times: usize) -> Result<Timed, Failure> {
    let mut best = timed(dom0, command)?;
    for _ in 1..times {
        let now = timed(dom0, command)?;
        best = Timed { ns: best.ns.min(now.ns), ticks: best.ticks.min(now.ticks), ..now };
    }
    Ok(best)
}

/// A value of `zl debug counts`.
///
/// # Errors
/// When it is not printed.
pub fn count(dom0: &mut Dom0<'_>, key: &str) -> Result<u64, Failure> {
    let answer = dom0.ok("zl debug counts")?;
    let counts = dom0::read_counts(&answer.lines.join(" "));
    counts.get(key).copied().ok_or(Failure(format!("no {key} in {counts:?}")))
}

/// Frames that neither are free nor belong to dom0: the hypervisor's, while there is no other domain.
///
/// # Errors
/// As [`count`], and when there are others.
pub fn hypervisor_frames(dom0: &mut Dom0<'_>, dom0_frames: u64) -> Result<u64, Failure> {
    let answer = dom0.ok("zl debug counts")?;
    let counts = dom0::read_counts(&answer.lines.join(" "));
    let of = |key: &str| counts.get(key).copied().unwrap_or(0);
    match (of("domains"), of("total_frames").checked_sub(of("free_frames") + dom0_frames)) {
        (1, Some(frames)) if of("free_frames") > 0 => Ok(frames),
        _ => Err(Failure(format!("what the hypervisor uses cannot be told from {counts:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_time_is_read_by_its_keys() {
        let read = read_line("status=0 ns=12 ticks=30 from=4\r");
        assert_eq!(read, Ok(Timed { ns: 12, ticks: 30, from: 4 }));
        assert_eq!(read_line("status=3 ns=1 ticks=1 from=1"), Err("status 3".into()));
        assert!(read_line("status=0 ns=1 ticks=x from=1").is_err_and(|why| why.contains("ticks")));
        assert!(read_line("").is_err());
    }
}
