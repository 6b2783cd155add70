//! Lines that were typed before.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};

/// Lines that are kept.
const LINES: usize = 100;
/// Longer ones are not kept.
const LONGEST: usize = 1000;

/// The last lines.
#[derive(Debug, Default)]
pub struct History(VecDeque<String>);

impl History {
    /// Keeps a line, unless it is blank or what was typed before it.
    pub fn add(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || line.len() > LONGEST || self.line(1) == Some(line) {
            return;
        }
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_string());
    }

    /// The line that is so far back; 1 is the last.
    #[must_use]
    pub fn line(&self, back: usize) -> Option<&str> {
        let place = self.0.len().checked_sub(back)?;
        self.0.get(place).map(String::as_str)
    }

    /// All lines, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
