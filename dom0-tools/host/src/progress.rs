//! How far a transfer is, as `xl` shows it: `context: done/total  NN%` on the standard error, written
//! over itself on a terminal, a line for each 5 % elsewhere.

use std::io::{self, IsTerminal, Write};

/// The progress of one transfer.
pub struct Progress {
    context: String,
    total: u64,
    overwrites: bool,
    /// The last percentage that was shown.
    shown: Option<u64>,
}

/// Elsewhere than on a terminal, a line for so many percent.
const STEP: u64 = 5;

impl Progress {
    /// Nothing is done yet.
    pub fn new(context: impl Into<String>, total: u64) -> Self {
        let overwrites = io::stderr().is_terminal();
        Self { context: context.into(), total, overwrites, shown: None }
    }

    /// So many bytes are done.
    pub fn show(&mut self, done: u64) {
        if let Some(text) = self.text(done) {
            // A progress nobody can see is no reason to stop.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    /// What is to be written for that, if anything.
    fn text(&mut self, done: u64) -> Option<String> {
        let is_end = done >= self.total;
        let percent = done.saturating_mul(100).checked_div(self.total).unwrap_or(100);
        let step = if self.overwrites { 1 } else { STEP };
        let due = self.shown.is_none_or(|shown| percent / step > shown / step);
        if !due {
            return None;
        }
        self.shown = Some(percent);
        let Self { context, total, .. } = self;
        let line = format!("{context}: {done}/{total} {percent:3}%");
        Some(match (self.overwrites, is_end) {
            (true, false) => format!("\r{line}"),
            (true, true) => format!("\r{line}\n"),
            (false, _) => format!("{line}\n"),
        })
    }

    /// The transfer failed: what is written next gets a line of its own.
    pub fn stop(&self) {
        if self.overwrites && self.shown.is_some_and(|percent| percent < 100) {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(overwrites: bool, total: u64, step: u64) -> Vec<String> {
        let mut progress = Progress { context: "a".into(), total, overwrites, shown: None };
        (0..=total).step_by(step as usize).filter_map(|done| progress.text(done)).collect()
    }

    #[test]
    fn a_file_gets_a_line_for_each_twentieth() {
        let lines = texts(false, 1000, 1);
        assert_eq!(lines.len(), 21);
        assert_eq!(lines[0], "a: 0/1000   0%\n");
        assert_eq!(lines[1], "a: 50/1000   5%\n");
        assert_eq!(lines[20], "a: 1000/1000 100%\n");
    }

    #[test]
    fn a_terminal_gets_one_line_that_is_written_over() {
        let lines = texts(true, 1000, 1);
        assert_eq!(lines.len(), 101);
        assert!(lines.iter().all(|line| line.starts_with('\r')));
        assert_eq!(lines.iter().filter(|line| line.ends_with('\n')).count(), 1);
    }

    #[test]
    fn an_empty_file_is_done_at_once() {
        assert_eq!(texts(false, 0, 1), ["a: 0/0 100%\n"]);
    }
}
