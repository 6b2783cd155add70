//! `zl top`: what domains do, again and again.
//!
//! Whoever owns the terminal takes a [`Sample`] when it is time, gives it to [`Top`], and shows what
//! that renders; keys go to [`Top::key`]. `sample` asks the toolstack, `table` has the columns of
//! xentop and three of our own, `document` the JSON of batch mode.
//!
//! Invariant: nothing here waits or looks at a clock. Rates come from two samples and the time
//! between them; a number that started anew meanwhile gives no rate, never a huge one.

mod document;
mod sample;
mod table;
#[cfg(test)]
mod tests;

pub use sample::{DomainSample, Sample, VcpuSample};
pub use table::Column;

use alloc::format;
use alloc::string::String;
use sample::{rates, Rates};

/// Shortest and longest time between two samples.
const DELAY_MS: core::ops::RangeInclusive<u64> = 10..=3_600_000;
/// Most digits of a delay that is typed.
const MOST_DIGITS: usize = 6;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Options {
    /// Milliseconds between two samples.
    pub delay_ms: u64,
    /// How many samples; no end when absent.
    pub iterations: Option<u64>,
    /// Lines only, for files and pipes.
    pub batch: bool,
    /// One document for each sample; only in batch mode.
    pub json: bool,
    /// Show cards.
    pub nets: bool,
    /// Show disks.
    pub disks: bool,
    /// Show vCPUs.
    pub vcpus: bool,
    /// Names in full.
    pub full_names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delay_ms: 3000,
            iterations: None,
            batch: false,
            json: false,
            nets: false,
            disks: false,
            vcpus: false,
            full_names: false,
        }
    }
}

impl Options {
    /// Reads a number of seconds with up to three decimals.
    #[must_use]
    pub fn delay_from(text: &str) -> Option<u64> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(part) || part.len() > 3 || whole.len() > MOST_DIGITS {
            return None;
        }
        let millis: u64 = format!("{part:0<3}").parse().ok()?;
        let delay = whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis)?;
        DELAY_MS.contains(&delay).then_some(delay)
    }
}

/// The size of a screen in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Of a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// What a key asks for beyond another look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Show the same sample again.
    Redraw,
    /// End.
    Quit,
}

/// Where in the sequence of an arrow key the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    No,
    Begun,
    Bracket,
}

/// The state of one `zl top`.
pub struct Top {
    options: Options,
    now: Option<Sample>,
    before: Option<Sample>,
    sort: Option<Column>,
    /// Domains above the first line.
    scrolled: usize,
    /// The digits of a delay that is being typed.
    typed: Option<String>,
    escape: Escape,
    taken: u64,
}

impl Top {
    /// Before the first sample.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            now: None,
            before: None,
            sort: None,
            scrolled: 0,
            typed: None,
            escape: Escape::No,
            taken: 0,
        }
    }

    /// Milliseconds to the next sample.
    #[must_use]
    pub fn delay_ms(&self) -> u64 {
        self.options.delay_ms
    }

    /// What was asked for.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Takes what was found now.
    pub fn take(&mut self, sample: Sample) {
        self.before = self.now.replace(sample);
        self.taken += 1;
        self.keep_scroll();
    }

    /// Whether as many samples were taken as asked for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.options.iterations.is_some_and(|most| self.taken >= most)
    }

    /// The whole screen.
    #[must_use]
    pub fn screen(&self, size: Size) -> String {
        let mut text = String::from("\x1b[H");
        for line in table::screen(self, size) {
            text.push_str(&line);
            text.push_str("\x1b[K\n");
        }
        // What the last screen had more of is wiped; no line feed at the end, which would scroll.
        text.pop();
        text.push_str("\x1b[J");
        text
    }

    /// The lines of one sample in batch mode.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for line in table::batch(self) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The document of one sample, on one line.
    #[must_use]
    pub fn document(&self) -> String {
        document::document(self)
    }

    /// A key, as in xentop.
    pub fn key(&mut self, byte: u8) -> Action {
        if self.typed.is_some() {
            return self.type_delay(byte);
        }
        match (self.escape, byte) {
            (_, 0x1b) => {
                self.escape = Escape::Begun;
                return Action::None;
            }
            (Escape::Begun, b'[' | b'O') => {
                self.escape = Escape::Bracket;
                return Action::None;
            }
            (Escape::Bracket, _) => {
                self.escape = Escape::No;
                return self.arrow(byte);
            }
            _ => self.escape = Escape::No,
        }
        self.letter(byte)
    }

    fn letter(&mut self, byte: u8) -> Action {
        match byte.to_ascii_lowercase() {
            b'q' | 0x03 => return Action::Quit,
            b'd' => self.typed = Some(String::new()),
            b'n' => self.options.nets = !self.options.nets,
            b'b' => self.options.disks = !self.options.disks,
            b'v' => self.options.vcpus = !self.options.vcpus,
            b's' => self.sort = Column::after(self.sort),
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn arrow(&mut self, byte: u8) -> Action {
        match byte {
            b'A' => self.scrolled = self.scrolled.saturating_sub(1),
            b'B' => self.scrolled += 1,
            _ => return Action::None,
        }
        self.keep_scroll();
        Action::Redraw
    }

    fn type_delay(&mut self, byte: u8) -> Action {
        let Some(typed) = &mut self.typed else { return Action::None };
        match byte {
            b'0'..=b'9' | b'.' if typed.len() < MOST_DIGITS => typed.push(char::from(byte)),
            0x08 | 0x7f => drop(typed.pop()),
            b'\r' | b'\n' => {
                if let Some(delay_ms) = Options::delay_from(typed) {
                    self.options.delay_ms = delay_ms;
                }
                self.typed = None;
            }
            0x1b | 0x03 => self.typed = None,
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn keep_scroll(&mut self) {
        let domains = self.now.as_ref().map_or(0, |sample| sample.domains.len());
        self.scrolled = self.scrolled.min(domains.saturating_sub(1));
    }

    /// The domains in the order of the screen, with what changed since the sample before.
    fn rows(&self) -> alloc::vec::Vec<(&DomainSample, Rates)> {
        let Some(now) = &self.now else { return alloc::vec::Vec::new() };
        let mut rows: alloc::vec::Vec<_> = now
            .domains
            .iter()
            .map(|domain| (domain, rates(now, self.before.as_ref(), domain)))
            .collect();
        if let Some(column) = self.sort {
            rows.sort_by(|one, other| table::order(column, now, one, other));
        }
        rows
    }
}
