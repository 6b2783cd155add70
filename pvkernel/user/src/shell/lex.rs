//! From characters to words and signs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::CharIndices;

use super::{Part, SyntaxError, Word};

/// Longest first, so that `>>` is not two `>`. `2>` counts only where a word begins.
const SIGNS: &[&str] = &["2>&1", "2>>", "2>", "&&", "||", ">>", ";", "&", "|", "<", ">", "(", ")"];

/// What a script consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A word.
    Word(Word),
    /// A sign.
    Sign(&'static str),
    /// The end of a line.
    Line,
}

/// A word or sign, and where it begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub what: What,
    pub start: usize,
    pub end: usize,
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

/// Takes a script apart.
pub fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { text, chars: text.char_indices().peekable() };
    let mut found = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.position();
        let Some(next) = lexer.peek() else { return Ok(found) };
        let rest = text.get(start..).unwrap_or_default();
        let what = if next == '\n' {
            lexer.chars.next();
            What::Line
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            lexer.chars.nth(sign.len() - 1);
            What::Sign(sign)
        } else {
            What::Word(lexer.word()?)
        };
        found.push(Token { what, start, end: lexer.position() });
    }
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, next)| *next)
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, next)| next)
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    /// Blanks, ends of lines behind a backslash, and comments.
    fn skip_blanks(&mut self) {
        loop {
            let at = self.position();
            let rest = self.text.get(at..).unwrap_or_default();
            if rest.starts_with("\\\n") {
                self.chars.next();
                self.chars.next();
            } else if rest.starts_with([' ', '\t', '\r']) {
                self.chars.next();
            } else if rest.starts_with('#') {
                while self.peek().is_some_and(|next| next != '\n') {
                    self.chars.next();
                }
            } else {
                return;
            }
        }
    }

    fn word(&mut self) -> Result<Word, SyntaxError> {
        let mut word = Word::default();
        while let Some(next) = self.peek() {
            let start = self.position();
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => self.single_quoted(&mut word, start)?,
                '"' => self.double_quoted(&mut word, start)?,
                '$' => self.variable(&mut word, false, start)?,
                '\\' => {
                    self.chars.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(escaped) => push(&mut word, escaped, true),
                        None => push(&mut word, '\\', true),
                    }
                }
                other => {
                    self.chars.next();
                    push(&mut word, other, false);
                }
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut Word, start: usize) -> Result<(), SyntaxError> {
        self.chars.next();
        word.0.push(Part::Quoted(String::new()));
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(inside) => push(word, inside, true),
                None => return Err(self.error(start, "the quote ' is not closed")),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word, start: usize) -> Result<(), SyntaxError> {
        self.chars.next();
        word.0.push(Part::Quoted(String::new()));
        loop {
            let at = self.position();
            match self.peek() {
                Some('$') => {
                    self.variable(word, true, at)?;
                    continue;
                }
                None => return Err(self.error(start, "the quote \" is not closed")),
                _ => {}
            }
            match (self.next(), self.peek()) {
                (Some('"'), _) => return Ok(()),
                (Some('\\'), Some(escaped @ ('"' | '\\' | '$' | '`'))) => {
                    self.chars.next();
                    push(word, escaped, true);
                }
                (Some(inside), _) => push(word, inside, true),
                (None, _) => {}
            }
        }
    }

    /// `$NAME`, `${NAME}`, `$1` and the like; a `$` before anything else is itself.
    fn variable(&mut self, word: &mut Word, quoted: bool, start: usize) -> Result<(), SyntaxError> {
        self.chars.next();
        let name = match self.peek() {
            Some('{') => {
                self.chars.next();
                let name = self.name();
                if name.is_empty() || self.next() != Some('}') {
                    return Err(self.error(start, "a name and } were expected behind ${"));
                }
                name
            }
            _ => self.name(),
        };
        match name.is_empty() {
            true => push(word, '$', quoted),
            false => word.0.push(Part::Variable { name, quoted }),
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        match self.peek() {
            Some(sign @ ('?' | '#' | '$' | '!' | '*' | '@' | '0'..='9')) => {
                self.chars.next();
                sign.to_string()
            }
            _ => {
                let mut name = String::new();
                while let Some(next) = self.peek().filter(|next| is_in_name(*next)) {
                    name.push(next);
                    self.chars.next();
                }
                name
            }
        }
    }

    fn error(&self, at: usize, what: &str) -> SyntaxError {
        SyntaxError::at(self.text, at, what.to_string())
    }
}

fn is_in_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_'
}

/// Whether a variable can be called so.
pub fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|first: char| is_in_name(first) && !first.is_ascii_digit());
    starts && text.chars().all(is_in_name)
}

/// Adds a character to the last part, or a new one.
fn push(word: &mut Word, sign: char, quoted: bool) {
    match (word.0.last_mut(), quoted) {
        (Some(Part::Plain(text)), false) | (Some(Part::Quoted(text)), true) => text.push(sign),
        (_, true) => word.0.push(Part::Quoted(sign.to_string())),
        (_, false) => word.0.push(Part::Plain(sign.to_string())),
    }
}
