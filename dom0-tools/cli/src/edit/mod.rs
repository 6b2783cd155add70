//! The line editor of the shell: bytes of a terminal in, lines out.
//!
//! The shell feeds it every byte typed and sends what it writes to the screen. It knows the keys of
//! emacs (^A ^E ^B ^F ^D ^H ^K ^U ^W ^L ^P ^N), arrows, Home, End, Delete, and the tab key.
//!
//! Invariant: the line is ASCII and at most [`LONGEST_LINE`] bytes; the cursor is within it; what
//! the screen shows behind the prompt is the part of the line around the cursor that fits.
//!
//! It does not know what a line means.

mod history;
mod keys;
#[cfg(test)]
mod tests;

pub use history::History;

use crate::complete::{candidates, common_prefix, Catalog};
use alloc::format;
use alloc::string::String;
use keys::{Key, KeyReader};

/// Longest line.
pub const LONGEST_LINE: usize = 1000;
/// Columns of the line that are shown; with the prompt less than the usual 80.
const SHOWN_COLUMNS: usize = 70;

/// What the shell has to do after a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on reading.
    Nothing,
    /// A whole line.
    Line(String),
    /// ^C: forget the line.
    Interrupt,
    /// ^D on an empty line.
    EndOfInput,
}

/// The state of a line that is being typed.
#[derive(Debug)]
pub struct Editor {
    prompt: String,
    line: String,
    cursor: usize,
    keys: KeyReader,
    /// How far back in the history the line is.
    back: usize,
    /// The line that was being typed before the person went back.
    draft: String,
    /// Whether the last key was the tab key and found several words.
    is_second_tab: bool,
}

impl Editor {
    /// An editor that shows this prompt.
    #[must_use]
    pub fn new(prompt: &str) -> Self {
        Self {
            prompt: prompt.into(),
            line: String::with_capacity(LONGEST_LINE),
            cursor: 0,
            keys: KeyReader::default(),
            back: 0,
            draft: String::with_capacity(LONGEST_LINE),
            is_second_tab: false,
        }
    }

    /// The prompt and the line, to show it again after other output.
    pub fn redraw(&self, screen: &mut String) {
        let start = self.first_shown();
        let end = self.line.len().min(start + SHOWN_COLUMNS);
        screen.push('\r');
        screen.push_str(&self.prompt);
        screen.push_str(self.line.get(start..end).unwrap_or(""));
        screen.push_str("\x1b[K");
        let behind = end - self.cursor;
        if behind > 0 {
            screen.push_str(&format!("\x1b[{behind}D"));
        }
    }

    /// Takes the prompt and the line off the screen, before other output.
    pub fn hide(&self, screen: &mut String) {
        screen.push_str("\r\x1b[K");
    }

    /// Takes one byte of the terminal; what it changes on the screen is added to `screen`.
    pub fn feed(
        &mut self,
        byte: u8,
        history: &mut History,
        catalog: &dyn Catalog,
        screen: &mut String,
    ) -> Action {
        let Some(key) = self.keys.feed(byte) else { return Action::Nothing };
        let was_tab = core::mem::replace(&mut self.is_second_tab, false);
        match key {
            Key::Enter => return self.enter(history, screen),
            Key::Interrupt => {
                screen.push_str("^C\r\n");
                self.clear();
                return Action::Interrupt;
            }
            Key::DeleteOrEnd if self.line.is_empty() => return Action::EndOfInput,
            Key::Tab => self.complete(was_tab, catalog, screen),
            Key::Character(character) => self.insert(character, screen),
            Key::ClearScreen => {
                screen.push_str("\x1b[H\x1b[2J");
                self.redraw(screen);
            }
            Key::Previous => self.travel(self.back + 1, history, screen),
            Key::Next => self.travel(self.back.saturating_sub(1), history, screen),
            other => {
                self.edit(other);
                self.redraw(screen);
            }
        }
        Action::Nothing
    }

    fn enter(&mut self, history: &mut History, screen: &mut String) -> Action {
        screen.push_str("\r\n");
        let line = self.line.clone();
        history.push(&line);
        self.clear();
        Action::Line(line)
    }

    fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.back = 0;
    }

    fn insert(&mut self, character: char, screen: &mut String) {
        if self.line.len() >= LONGEST_LINE {
            screen.push('\x07');
            return;
        }
        self.line.insert(self.cursor, character);
        self.cursor += 1;
        let is_plain = self.cursor == self.line.len() && self.line.len() <= SHOWN_COLUMNS;
        match is_plain {
            true => screen.push(character),
            false => self.redraw(screen),
        }
    }

    /// Keys that only move the cursor or remove text.
    fn edit(&mut self, key: Key) {
        let (cursor, len) = (self.cursor, self.line.len());
        match key {
            Key::Left => self.cursor = cursor.saturating_sub(1),
            Key::Right => self.cursor = (cursor + 1).min(len),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = len,
            Key::WordLeft => self.cursor = self.word_start(),
            Key::WordRight => self.cursor = self.word_end(),
            Key::Backspace => self.remove(cursor.saturating_sub(1), cursor),
            Key::Delete | Key::DeleteOrEnd => self.remove(cursor, (cursor + 1).min(len)),
            Key::KillToEnd => self.remove(cursor, len),
            Key::KillToStart => self.remove(0, cursor),
            Key::KillWord => self.remove(self.word_start(), cursor),
            Key::KillWordRight => self.remove(cursor, self.word_end()),
            _ => {}
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.line.replace_range(from..to, "");
        self.cursor = from;
    }

    fn word_start(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or("");
        let trimmed = before.trim_end_matches(' ');
        trimmed.rfind(' ').map_or(0, |space| space + 1)
    }

    fn word_end(&self) -> usize {
        let behind = self.line.get(self.cursor..).unwrap_or("");
        let blanks = behind.len() - behind.trim_start_matches(' ').len();
        let word = behind.get(blanks..).unwrap_or("");
        self.cursor + blanks + word.find(' ').unwrap_or(word.len())
    }

    fn travel(&mut self, back: usize, history: &History, screen: &mut String) {
        let found = if back == 0 { None } else { history.line(back) };
        if back > 0 && found.is_none() {
            screen.push('\x07');
            return;
        }
        if self.back == 0 && back > 0 {
            self.draft.clear();
            self.draft.push_str(&self.line);
        }
        self.line.clear();
        self.line.push_str(found.unwrap_or(&self.draft));
        self.cursor = self.line.len();
        self.back = back;
        self.redraw(screen);
    }

    fn complete(&mut self, was_tab: bool, catalog: &dyn Catalog, screen: &mut String) {
        let before = self.line.get(..self.cursor).unwrap_or("");
        let found = candidates(before, catalog);
        let typed = before.rsplit([' ', ';']).next().unwrap_or("").len();
        let common = common_prefix(&found);
        let mut added = String::from(common.get(typed..).unwrap_or(""));
        if let [only] = found.as_slice() {
            if !only.ends_with('=') {
                added.push(' ');
            }
        }
        if found.is_empty() || (added.is_empty() && !was_tab) {
            screen.push('\x07');
        } else if added.is_empty() {
            screen.push_str("\r\n");
            screen.push_str(&found.join("  "));
            screen.push_str("\r\n");
            self.redraw(screen);
        } else if self.line.len() + added.len() <= LONGEST_LINE {
            self.line.insert_str(self.cursor, &added);
            self.cursor += added.len();
            self.redraw(screen);
        }
        self.is_second_tab = found.len() > 1;
    }

    /// The first column of the line that is shown: the cursor is always visible.
    fn first_shown(&self) -> usize {
        self.cursor.saturating_sub(SHOWN_COLUMNS)
    }
}
