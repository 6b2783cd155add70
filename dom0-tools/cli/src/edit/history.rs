//! The lines typed so far, in a buffer that never grows.

use super::LONGEST_LINE;
use alloc::string::String;

/// Bytes of all lines together.
const KEPT_BYTES: usize = 4096;

/// The last lines, oldest first, each with a line feed behind it.
#[derive(Debug)]
pub struct History {
    text: String,
}

impl Default for History {
    fn default() -> Self {
        Self { text: String::with_capacity(KEPT_BYTES) }
    }
}

impl History {
    /// Remembers a line, unless it is blank or the same as the last one.
    pub fn push(&mut self, line: &str) {
        let line = line.trim_end();
        let is_odd = line.is_empty() || line.contains('\n') || line.len() > LONGEST_LINE;
        if is_odd || self.line(1) == Some(line) {
            return;
        }
        while self.text.len() + line.len() + 1 > KEPT_BYTES {
            let oldest = self.text.find('\n').map_or(self.text.len(), |end| end + 1);
            self.text.replace_range(..oldest, "");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The line that is `back` lines back; 1 is the last one.
    #[must_use]
    pub fn line(&self, back: usize) -> Option<&str> {
        self.text.lines().rev().nth(back.checked_sub(1)?)
    }

    /// All lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Bytes reserved, which never change.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.text.capacity()
    }
}
