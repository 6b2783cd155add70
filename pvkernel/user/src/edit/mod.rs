//! The line that somebody types: keys in, what to show and a line out. Pure.
//!
//! It is shown from the prompt on. Letters at its end are shown as they come; what changes its middle shows
//! the line again, or so much of it around the cursor as fits beside the prompt.

mod history;
mod keys;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use keys::{Key, Reader};

pub use history::History;

use crate::shell::is_safe;

/// Characters of a line; more are not taken.
pub const LINE_MAX: usize = 2000;
/// Characters that are shown of a line that is shown again.
const SHOWN: usize = 70;
/// Names that are shown when several could be meant.
const MAX_NAMES: usize = 200;

/// What a key led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing yet.
    More,
    /// A line.
    Line(String),
    /// ^C: what was typed is forgotten.
    Interrupt,
    /// ^D on an empty line.
    End,
}

/// What the line's words may be.
pub trait Names {
    /// The names, in any order, that begin with these characters, as programs if `is_program`; those of directories end
    /// with `/`. What they begin with up to its last `/` is a path, which is part of them.
    fn beginning_with(&mut self, start: &str, is_program: bool) -> Vec<String>;
}

/// A line that is being typed.
#[derive(Debug, Default)]
pub struct Editor {
    prompt: &'static str,
    line: Vec<char>,
    cursor: usize,
    reader: Reader,
    /// How far back in the history the line is.
    back: usize,
    /// What was being typed before.
    draft: Vec<char>,
    screen: String,
}

impl Editor {
    /// Begins a line behind a prompt, which is shown.
    pub fn begin(&mut self, prompt: &'static str) {
        self.prompt = prompt;
        self.screen.push_str(prompt);
    }

    /// What is to be shown since the last time.
    pub fn take_screen(&mut self) -> String {
        core::mem::take(&mut self.screen)
    }

    /// Takes a byte that was typed.
    pub fn feed(&mut self, byte: u8, history: &mut History, names: &mut impl Names) -> Typed {
        let Some(key) = self.reader.feed(byte) else { return Typed::More };
        match key {
            Key::Enter => return self.enter(history),
            Key::Interrupt => {
                self.screen.push_str("^C\n");
                self.forget();
                return Typed::Interrupt;
            }
            Key::EndOrDelete if self.line.is_empty() => return Typed::End,
            Key::Tab => self.complete(names),
            Key::Sign(sign) => self.insert(&[sign]),
            Key::Older => self.travel(self.back + 1, history),
            Key::Newer => self.travel(self.back.saturating_sub(1), history),
            Key::ClearScreen => {
                self.screen.push_str("\x1b[H\x1b[2J");
                self.show();
            }
            Key::Backspace if self.cursor == self.line.len() && self.line.len() <= SHOWN => {
                if self.line.pop().is_some() {
                    self.cursor -= 1;
                    self.screen.push_str("\x08 \x08");
                }
            }
            other => self.edit(other),
        }
        Typed::More
    }

    fn enter(&mut self, history: &mut History) -> Typed {
        self.screen.push('\n');
        let line: String = self.line.iter().collect();
        history.add(&line);
        self.forget();
        Typed::Line(line)
    }

    fn forget(&mut self) {
        self.line.clear();
        self.draft.clear();
        (self.cursor, self.back) = (0, 0);
    }

    /// Keys that move the cursor or cut something out.
    fn edit(&mut self, key: Key) {
        let (cursor, len) = (self.cursor, self.line.len());
        match key {
            Key::Left => self.cursor = cursor.saturating_sub(1),
            Key::Right => self.cursor = (cursor + 1).min(len),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = len,
            Key::Backspace => self.cut(cursor.saturating_sub(1), cursor),
            Key::Delete | Key::EndOrDelete => self.cut(cursor, (cursor + 1).min(len)),
            Key::CutBehind => self.cut(cursor, len),
            Key::CutBefore => self.cut(0, cursor),
            Key::CutWord => self.cut(self.word_start(), cursor),
            _ => return,
        }
        self.show();
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.line.drain(from..to);
        self.cursor = from;
    }

    fn word_start(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or_default();
        let end = before.iter().rposition(|sign| *sign != ' ').map_or(0, |last| last + 1);
        let before = before.get(..end).unwrap_or_default();
        before.iter().rposition(|sign| *sign == ' ').map_or(0, |blank| blank + 1)
    }

    fn insert(&mut self, signs: &[char]) {
        if self.line.len() + signs.len() > LINE_MAX {
            self.screen.push('\x07');
            return;
        }
        let is_end = self.cursor == self.line.len();
        self.line.splice(self.cursor..self.cursor, signs.iter().copied());
        self.cursor += signs.len();
        match is_end {
            true => self.screen.extend(signs),
            false => self.show(),
        }
    }

    fn travel(&mut self, back: usize, history: &History) {
        if back == self.back || (back > 0 && history.line(back).is_none()) {
            return;
        }
        if self.back == 0 {
            self.draft = core::mem::take(&mut self.line);
        }
        self.line = match history.line(back) {
            Some(line) => line.chars().collect(),
            None => core::mem::take(&mut self.draft),
        };
        self.back = back;
        self.cursor = self.line.len();
        self.show();
    }

    /// Shows the line again: a part of it that has the cursor in it.
    fn show(&mut self) {
        let start = self.cursor.saturating_sub(SHOWN);
        let end = self.line.len().min(start + SHOWN);
        self.screen.push('\r');
        self.screen.push_str(self.prompt);
        self.screen.extend(self.line.get(start..end).unwrap_or_default());
        self.screen.push_str("\x1b[K");
        let behind = end.saturating_sub(self.cursor);
        if behind > 0 {
            self.screen.push_str(&format!("\x1b[{behind}D"));
        }
    }

    /// The tab key: adds what all names have in common that could be meant, or shows them.
    fn complete(&mut self, names: &mut impl Names) {
        let before = self.line.get(..self.cursor).unwrap_or_default();
        let (start, is_program) = word_before(before);
        let word = unescaped(before.get(start..).unwrap_or_default());
        let mut found = names.beginning_with(&word, is_program);
        found.sort_unstable();
        found.dedup();
        let Some((first, others)) = found.split_first() else {
            self.screen.push('\x07');
            return;
        };
        let common = others.iter().fold(first.as_str(), |common, name| common_start(common, name));
        let mut added = escaped(common.strip_prefix(word.as_str()).unwrap_or_default());
        if others.is_empty() && !first.ends_with('/') {
            added.push(' ');
        }
        match added.is_empty() {
            true => self.list(&found),
            false => self.insert(&added),
        }
    }

    fn list(&mut self, names: &[String]) {
        self.screen.push('\n');
        for name in names.iter().take(MAX_NAMES) {
            self.screen.push_str(crate::text::base_name(name));
            self.screen.push_str("  ");
        }
        if names.len() > MAX_NAMES {
            self.screen.push_str(&format!("and {} more", names.len() - MAX_NAMES));
        }
        self.screen.push('\n');
        self.show();
    }
}

/// Where the word that ends here begins, and whether it names a program.
fn word_before(line: &[char]) -> (usize, bool) {
    let mut start = line.len();
    while let Some(before) = start.checked_sub(1) {
        let is_escaped = before > 0 && line.get(before - 1) == Some(&'\\');
        if line.get(before).is_some_and(|sign| parts_words(*sign)) && !is_escaped {
            break;
        }
        start = before;
    }
    let before = line.get(..start).unwrap_or_default().iter().rev().find(|sign| **sign != ' ');
    (start, before.is_none_or(|sign| matches!(sign, ';' | '|' | '&' | '(')))
}

fn parts_words(sign: char) -> bool {
    let is_sign =
        matches!(sign, ';' | '|' | '&' | '<' | '>' | '(' | ')' | '=' | '"' | '\'' | '`' | '$');
    is_sign || sign.is_ascii_whitespace()
}

fn unescaped(word: &[char]) -> String {
    let (mut text, mut signs) = (String::new(), word.iter());
    while let Some(sign) = signs.next() {
        text.push(if *sign == '\\' { *signs.next().unwrap_or(sign) } else { *sign });
    }
    text
}

/// So that the shell takes each character for itself.
fn escaped(text: &str) -> Vec<char> {
    let mut signs = Vec::new();
    for sign in text.chars() {
        if sign.is_ascii() && !is_safe(sign) {
            signs.push('\\');
        }
        signs.push(sign);
    }
    signs
}

fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let pairs = one.char_indices().zip(other.chars());
    let end = pairs.filter(|((_, a), b)| a != b).map(|((at, _), _)| at).next();
    one.get(..end.unwrap_or_else(|| one.len().min(other.len()))).unwrap_or(one)
}
