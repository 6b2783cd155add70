//! The language of the shell: reading it and expanding words. Pure; running it is the program's.
//!
//! ```text
//! script   := [chain] {(";" | "&" | end of line) [chain]}
//! chain    := pipeline {("&&" | "||") pipeline}
//! pipeline := ["!"] command {"|" command}
//! command  := {NAME=word} {word | redirection}
//!           | "if" script "then" script ["else" script] "fi"
//!           | "while" script "do" script "done"
//!           | "for" NAME "in" {word} ";" "do" script "done"
//! ```
//!
//! A script is read wholly before any of it runs, so a mistake in it leaves nothing half done.

mod expand;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use expand::{fields, quote, single, Variables};
pub use parse::parse;

/// Chains, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(pub Vec<Chain>);

/// Pipelines of which each runs if those before permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first.
    pub first: Pipeline,
    /// The others.
    pub rest: Vec<(Link, Pipeline)>,
    /// Nobody waits for it.
    pub in_background: bool,
    /// As it was written.
    pub text: String,
}

/// Between two pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The next runs after a success.
    And,
    /// The next runs after a failure.
    Or,
}

/// Commands of which each writes what the next reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Success is failure.
    pub negated: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program or a builtin.
    Simple(Simple),
    /// `if`: condition, then, else.
    If(Script, Script, Script),
    /// `while`: condition, body.
    While(Script, Script),
    /// `for`: variable, its values, body.
    For(String, Vec<Word>, Script),
}

/// A program or a builtin with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    /// Variables to set; then there are no words.
    pub assignments: Vec<(String, Word)>,
    /// Its name and arguments.
    pub words: Vec<Word>,
    /// In the order in which they are made.
    pub redirections: Vec<Redirection>,
}

/// A descriptor becomes something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The descriptor.
    pub fd: u32,
    /// What it becomes.
    pub to: Target,
}

/// What a descriptor becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file to read.
    Read(Word),
    /// A file that is made or emptied.
    Write(Word),
    /// A file that is made or written behind its end.
    Append(Word),
    /// What another descriptor is.
    Same(u32),
}

/// A word before expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub Vec<Part>);

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Itself, not quoted.
    Plain(String),
    /// Itself, quoted.
    Quoted(String),
    /// The value of a variable; when it is not quoted its blanks part words.
    Variable {
        /// Which.
        name: String,
        /// Inside `"`.
        quoted: bool,
    },
}

impl Word {
    /// The text of a word that is one plain part.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }
}

/// Where and why a script cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What was found or missed.
    pub what: String,
}

impl SyntaxError {
    fn at(text: &str, offset: usize, what: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column, what }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}
