//! The language of the shell: reading it and expanding words. Pure; running it is the program's.
//!
//! ```text
//! script   := [chain] {(";" | "&" | end of line) [chain]}
//! chain    := pipeline {("&&" | "||") pipeline}
//! pipeline := ["!"] command {"|" command}
//! command  := {NAME=word} {word | redirection}
//!           | NAME "(" ")" compound
//!           | compound {redirection}
//! compound := "{" script "}" | "(" script ")"
//!           | "if" script "then" script {"elif" script "then" script} ["else" script] "fi"
//!           | ("while" | "until") script "do" script "done"
//!           | "for" NAME ["in" {word}] ";" "do" script "done"
//!           | "case" word "in" {["("] word {"|" word} ")" script ";;"} "esac"
//! ```
//!
//! A script is read wholly before any of it runs, so a mistake in it leaves nothing half done. Reading goes
//! no deeper than `MAX_DEPTH`, expanding a word gives no more than `MAX_BYTES`: whatever somebody writes, it
//! ends, with a result or with one line.

mod arithmetic;
mod compound;
mod dollar;
mod expand;
mod glob;
mod here;
mod lex;
mod parse;
mod pattern;
mod table;
#[cfg(test)]
mod tests;
mod variables;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::fmt;

pub use expand::{fields, pattern, single, Expanded, World, MAX_BYTES};
pub use lex::is_name;
pub use parse::parse;
pub use pattern::Pattern;
pub use table::Table;
pub use variables::{is_safe, quote, Variables};

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
    /// A program, a function or a builtin.
    Simple(Simple),
    /// Scripts, with redirections that hold for all of them.
    Compound(Box<Compound>, Vec<Redirection>),
    /// From now on a name stands for a command.
    Function(String, Rc<Command>),
}

/// A command that holds others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compound {
    /// `{ }`.
    Group(Script),
    /// `( )`: in a shell of its own.
    Subshell(Script),
    /// `if`: conditions with what is done, and what else.
    If(Vec<(Script, Script)>, Script),
    /// `while`, or `until` a condition holds.
    Loop {
        /// What ends it: that the condition holds, or that it does not.
        until: bool,
        /// The condition.
        condition: Script,
        /// What is repeated.
        body: Script,
    },
    /// `for`: variable, its values (`None`: the arguments), body.
    For(String, Option<Vec<Word>>, Script),
    /// `case`: a word, patterns and what is done for them.
    Case(Word, Vec<(Vec<Word>, Script)>),
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
    /// A text to read, of the lines behind the command.
    Here(Document),
}

/// A here-document. Its lines come behind the command it belongs to, so the command is read first.
pub type Document = Rc<OnceCell<Word>>;

/// A word before expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub Vec<Part>);

/// A part of a word. `quoted` ones are as they are; else blanks in a value part words, and `*`, `?` and `[`
/// make a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Itself, not quoted.
    Plain(String),
    /// Itself, quoted.
    Quoted(String),
    /// The value of a variable.
    Variable {
        /// Which.
        name: String,
        /// Instead of no value.
        default: Option<Word>,
        /// Inside `"`.
        quoted: bool,
    },
    /// What a script writes.
    Output {
        /// Which.
        script: Rc<Script>,
        /// Inside `"`.
        quoted: bool,
    },
    /// What an expression comes to: a number.
    Number(Word),
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
    /// More lines might make it right.
    pub is_unfinished: bool,
}

impl SyntaxError {
    fn at(text: &str, offset: usize, what: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let line = before.matches('\n').count() + 1;
        Self { line, column, what, is_unfinished: offset >= text.len() }
    }

    /// The same, as more lines might make it right.
    fn unfinished(self) -> Self {
        Self { is_unfinished: true, ..self }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}
