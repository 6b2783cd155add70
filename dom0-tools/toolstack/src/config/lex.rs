//! Splits the text of a configuration into words, strings, numbers and marks.
//!
//! Called by `parse`. The language is that of `xl.cfg`: strings in single or double quotes with
//! backslash escapes, numbers in decimal, octal (leading 0) or hexadecimal (leading 0x), `#` starts
//! a comment, a new line or `;` ends a setting.
//!
//! Invariant: every token's position lies inside the text, and tokens appear in its order.

use super::value::{shown, ConfigError, Position};
use alloc::format;
use alloc::string::{String, ToString};
use core::iter::Peekable;
use core::str::Chars;

/// The kinds of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A key.
    Word(String),
    /// A quoted string, without its quotes.
    Text(String),
    /// A number.
    Number(u64),
    /// `=`
    Equals,
    /// `+=`
    PlusEquals,
    /// `[`
    Open,
    /// `]`
    Close,
    /// `,`
    Comma,
    /// A new line or `;`.
    End,
    /// The end of the text.
    Eof,
}

impl Token {
    /// What to call this token in a complaint.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("'{}'", shown(word)),
            Self::Text(_) => "a string".to_string(),
            Self::Number(number) => format!("the number {number}"),
            Self::Equals => "'='".to_string(),
            Self::PlusEquals => "'+='".to_string(),
            Self::Open => "'['".to_string(),
            Self::Close => "']'".to_string(),
            Self::Comma => "','".to_string(),
            Self::End => "the end of the line".to_string(),
            Self::Eof => "the end of the file".to_string(),
        }
    }
}

/// Reads tokens one after the other.
pub struct Lexer<'a> {
    origin: &'a str,
    chars: Peekable<Chars<'a>>,
    next_at: Position,
}

impl<'a> Lexer<'a> {
    /// A reader of `text`; `origin` is named in complaints.
    #[must_use]
    pub fn new(origin: &'a str, text: &'a str) -> Self {
        Self { origin, chars: text.chars().peekable(), next_at: Position { line: 1, column: 1 } }
    }

    /// A complaint about the place `at`.
    pub fn complaint(&self, at: Position, what: String, advice: &str) -> ConfigError {
        ConfigError { origin: self.origin.into(), at: Some(at), what, advice: advice.into() }
    }

    /// The next token and where it starts.
    ///
    /// # Errors
    /// A string without its end, an unusable number or a character that starts no token.
    pub fn next_token(&mut self) -> Result<(Token, Position), ConfigError> {
        self.skip_blank();
        let at = self.next_at;
        let Some(first) = self.bump() else { return Ok((Token::Eof, at)) };
        let token = match first {
            '\n' | ';' => Token::End,
            '=' => Token::Equals,
            '+' if self.chars.peek() == Some(&'=') => {
                self.bump();
                Token::PlusEquals
            }
            '[' => Token::Open,
            ']' => Token::Close,
            ',' => Token::Comma,
            '"' | '\'' => self.string(first, at)?,
            '0'..='9' => self.number(first, at)?,
            'a'..='z' | 'A'..='Z' | '_' => Token::Word(self.word(first)),
            other => {
                let what = format!("unexpected character '{}'", other.escape_default());
                return Err(self.complaint(at, what, "text values need quotes: key = \"value\""));
            }
        };
        Ok((token, at))
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.chars.next()?;
        if character == '\n' {
            self.next_at = Position { line: self.next_at.line.saturating_add(1), column: 1 };
        } else {
            self.next_at.column = self.next_at.column.saturating_add(1);
        }
        Some(character)
    }

    fn skip_blank(&mut self) {
        while let Some(&next) = self.chars.peek() {
            match next {
                ' ' | '\t' | '\r' => {
                    self.bump();
                }
                '#' => self.skip_comment(),
                _ => break,
            }
        }
    }

    fn skip_comment(&mut self) {
        while self.chars.peek().is_some_and(|&next| next != '\n') {
            self.bump();
        }
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(&next) = self.chars.peek() {
            if !(next.is_ascii_alphanumeric() || next == '_' || next == '-') {
                break;
            }
            word.push(next);
            self.bump();
        }
        word
    }

    fn number(&mut self, first: char, at: Position) -> Result<Token, ConfigError> {
        let digits = self.word(first);
        match parse_number(&digits) {
            Some(number) => Ok(Token::Number(number)),
            None => Err(self.complaint(
                at,
                format!("'{}' is not a number", shown(&digits)),
                "write decimal 64, hexadecimal 0x40 or octal 0100, or put text in quotes",
            )),
        }
    }

    fn string(&mut self, quote: char, at: Position) -> Result<Token, ConfigError> {
        let mut text = String::new();
        loop {
            match self.bump() {
                Some(end) if end == quote => return Ok(Token::Text(text)),
                Some('\\') => text.push(self.escape()?),
                None | Some('\n') => {
                    return Err(self.complaint(
                        at,
                        "the string that starts here has no end on its line".to_string(),
                        &format!("close it with {quote}"),
                    ));
                }
                Some(character) => text.push(character),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ConfigError> {
        let at = self.next_at;
        let meaning = match self.bump() {
            Some(same @ ('\\' | '"' | '\'')) => Some(same),
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('x') => self.hex_escape(),
            _ => None,
        };
        meaning.ok_or_else(|| {
            self.complaint(
                at,
                "unknown escape after the backslash".to_string(),
                "write \\\\ for a backslash; known are \\\" \\' \\n \\t \\r and \\x41",
            )
        })
    }

    fn hex_escape(&mut self) -> Option<char> {
        let high = self.bump()?.to_digit(16)?;
        let low = self.bump()?.to_digit(16)?;
        char::from_u32(high * 16 + low)
    }
}

/// A number by the rules of C: 0x hexadecimal, leading 0 octal, else decimal.
#[must_use]
pub fn parse_number(digits: &str) -> Option<u64> {
    let (radix, rest) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if rest.starts_with('+') {
        return None;
    }
    u64::from_str_radix(rest, radix).ok()
}
