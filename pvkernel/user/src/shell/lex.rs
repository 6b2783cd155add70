//! From characters to words and signs, one at a time as the parser asks for them.
//!
//! Words hold scripts, `$(...)`, whose end only the parser knows: there the lexer calls it, and goes on
//! behind what it read. Lines of here-documents are taken when the line that asked for them ends.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Document, Part, SyntaxError, Word};

/// Commands and substitutions inside each other; more is a mistake, and would take the stack of whoever
/// reads it.
const MAX_DEPTH: usize = 32;

/// Longest first, so that `>>` is not two `>`. Those that begin with a digit count only where a word begins.
const SIGNS: &[&str] = &[
    "2>&1", "1>&2", ">&2", "2>>", "2>", "<<-", "<<", "&&", "||", ">>", ";;", ";", "&", "|", "<",
    ">", "(", ")",
];

pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// What a script consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A word.
    Word(Word),
    /// A sign.
    Sign(&'static str),
    /// The end of a line.
    Line,
}

/// A word or sign, and where it begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub what: What,
    pub start: usize,
    pub end: usize,
}

/// A here-document whose lines are still to come.
pub(super) struct Awaited {
    pub document: Document,
    /// The line that ends it.
    pub end: String,
    /// `$` and `\` are themselves.
    pub is_literal: bool,
    /// Tabs at the beginning of lines do not count.
    pub strips_tabs: bool,
}

/// Takes a script apart.
pub(super) struct Lexer<'a> {
    pub text: &'a str,
    /// Where the next token is looked for.
    pub at: usize,
    /// Commands and substitutions around this place.
    pub depth: usize,
    /// In the order in which their lines come.
    pub awaited: Vec<Awaited>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, awaited: Vec::new() }
    }

    /// The next token; `None` at the end.
    pub(super) fn token(&mut self) -> Parsed<Option<Token>> {
        self.skip_blanks();
        let start = self.at;
        let Some(next) = self.peek() else {
            return match self.awaited.first() {
                None => Ok(None),
                Some(awaited) => Err(self.endless(&awaited.end)),
            };
        };
        let what = if next == '\n' {
            self.at += 1;
            self.documents()?;
            What::Line
        } else if let Some(sign) = SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
            self.at += sign.len();
            What::Sign(sign)
        } else {
            What::Word(self.word()?)
        };
        Ok(Some(Token { what, start, end: self.at }))
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Steps over a text if it comes next.
    pub(super) fn skip(&mut self, text: &str) -> bool {
        let comes = self.rest().starts_with(text);
        self.at += if comes { text.len() } else { 0 };
        comes
    }

    pub(super) fn error(&self, at: usize, what: impl Into<String>) -> SyntaxError {
        SyntaxError::at(self.text, at, what.into())
    }

    /// Goes a level deeper; the caller comes back.
    pub(super) fn enter(&mut self, at: usize) -> Parsed<()> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(at, format!("more than {MAX_DEPTH} commands inside each other")));
        }
        self.depth += 1;
        Ok(())
    }

    /// Blanks, ends of lines behind a backslash, and comments.
    fn skip_blanks(&mut self) {
        loop {
            if self.rest().starts_with('#') {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if !["\\\n", " ", "\t", "\r"].iter().any(|blank| self.skip(blank)) {
                return;
            }
        }
    }

    fn word(&mut self) -> Parsed<Word> {
        let mut word = Word::default();
        while let Some(next) = self.peek() {
            let start = self.at;
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => {
                    self.at += 1;
                    word.0.push(Part::Quoted(String::new()));
                    self.quoted_until("\"", "the quote \" is not closed", start, &mut word)?;
                }
                '$' => self.dollar(&mut word, false)?,
                '`' => return Err(self.backquote()),
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') => {}
                        Some(escaped) => push(&mut word, escaped, true),
                        None => {
                            let error = self.error(start, "nothing comes behind the \\");
                            return Err(error.unfinished());
                        }
                    }
                }
                other => {
                    self.at += other.len_utf8();
                    push(&mut word, other, false);
                }
            }
        }
        Ok(word)
    }

    fn backquote(&self) -> SyntaxError {
        self.error(self.at, "` is not understood: $(...) is what a command writes")
    }

    fn single_quoted(&mut self, word: &mut Word) -> Parsed<()> {
        let start = self.at;
        self.at += 1;
        let Some((inside, _)) = self.rest().split_once('\'') else {
            return Err(self.error(start, "the quote ' is not closed").unfinished());
        };
        word.0.push(Part::Quoted(inside.to_string()));
        self.at += inside.len() + 1;
        Ok(())
    }

    /// A text in which only `$` and `\` mean something, up to its end and over it; an empty `end` is the end
    /// of all.
    pub(super) fn quoted_until(
        &mut self,
        end: &str,
        open: &str,
        start: usize,
        word: &mut Word,
    ) -> Parsed<()> {
        loop {
            match self.peek() {
                None if end.is_empty() => return Ok(()),
                None => return Err(self.error(start, open).unfinished()),
                Some(_) if !end.is_empty() && self.skip(end) => return Ok(()),
                Some('$') => self.dollar(word, true)?,
                Some('`') => return Err(self.backquote()),
                Some('\\') => self.escape(word, end == "\""),
                Some(inside) => {
                    self.at += inside.len_utf8();
                    push(word, inside, true);
                }
            }
        }
    }

    /// A backslash inside quotes: before what it does not protect it is itself.
    fn escape(&mut self, word: &mut Word, ends_with_quote: bool) {
        self.at += 1;
        match self.peek() {
            Some('\n') => self.at += 1,
            Some('"') if !ends_with_quote => push(word, '\\', true),
            Some(escaped @ ('"' | '\\' | '$' | '`')) => {
                self.at += 1;
                push(word, escaped, true);
            }
            _ => push(word, '\\', true),
        }
    }
}

pub(super) fn is_in_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_'
}

/// Whether a variable can be called so.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|first: char| is_in_name(first) && !first.is_ascii_digit());
    starts && text.chars().all(is_in_name)
}

/// Adds a character to the last part, or a new one.
pub(super) fn push(word: &mut Word, sign: char, quoted: bool) {
    match (word.0.last_mut(), quoted) {
        (Some(Part::Plain(text)), false) | (Some(Part::Quoted(text)), true) => text.push(sign),
        (_, true) => word.0.push(Part::Quoted(sign.to_string())),
        (_, false) => word.0.push(Part::Plain(sign.to_string())),
    }
}
