//! What a configuration file says, before anybody asks what it means.
//!
//! Made by `parse`, read by `domain`. Every value remembers where it was written, because each
//! complaint must name the line and the column.
//!
//! Nothing is known here about the keys.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A place in a configuration; both numbers start at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A value with the place where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value itself.
    pub kind: ValueKind,
    /// Where it starts.
    pub at: Position,
}

/// The three kinds of values of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A quoted string.
    Text(String),
    /// A decimal, octal or hexadecimal number.
    Number(u64),
    /// A list, possibly of lists.
    List(Vec<Value>),
}

impl ValueKind {
    /// What to call this kind in a complaint.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::List(_) => "a list",
        }
    }
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Where the key starts.
    pub at: Position,
    /// The value.
    pub value: Value,
}

/// A complaint about a configuration: where, what, and what to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or `command line`.
    pub origin: String,
    /// The place; `None` when the whole file is meant.
    pub at: Option<Position>,
    /// What was found and what was expected.
    pub what: String,
    /// What to try next.
    pub advice: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some(at) = self.at {
            write!(f, ":{}:{}", at.line, at.column)?;
        }
        write!(f, ": {}; {}", self.what, self.advice)
    }
}

impl core::error::Error for ConfigError {}

/// A text that names something strange without breaking the one line of the complaint: control
/// characters are escaped and long texts cut.
#[must_use]
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 48;
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            out.push_str("...");
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
