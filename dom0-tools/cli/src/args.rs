//! Options and words of one verb.
//!
//! Called by `command` with the words behind the verb. Options may stand anywhere, letters may be
//! joined (`-cp`), `--` ends them. What is not in the verb's table is refused with its usage.

use crate::help::usage;
use crate::verbs::{Flag, Verb};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use zl_toolstack::config::shown;
use zl_toolstack::ToolError;

/// The options and words that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    options: Vec<(char, Option<String>)>,
    /// Words that are no options, in order.
    pub operands: Vec<String>,
}

impl Args {
    /// Sorts the words behind a verb.
    ///
    /// # Errors
    /// An option the verb does not have, a value that is missing or too much, or a wrong number of
    /// words.
    pub fn parse(verb: &'static Verb, words: &[String]) -> Result<Self, ToolError> {
        let mut args = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                args.operands.extend(words.by_ref().cloned());
            } else if let Some(long) = word.strip_prefix("--") {
                args.long_option(verb, long, &mut words)?;
            } else if word.len() > 1 && word.starts_with('-') {
                args.short_options(verb, word, &mut words)?;
            } else {
                args.operands.push(word.clone());
            }
        }
        args.check_count(verb)?;
        Ok(args)
    }

    /// Whether an option was given.
    #[must_use]
    pub fn has(&self, short: char) -> bool {
        self.options.iter().any(|(given, _)| *given == short)
    }

    /// The value of an option, the last one if there are several.
    #[must_use]
    pub fn value(&self, short: char) -> Option<&str> {
        let mut given = self.options.iter().rev();
        given.find(|(letter, _)| *letter == short).and_then(|(_, value)| value.as_deref())
    }

    fn long_option<'w>(
        &mut self,
        verb: &'static Verb,
        long: &str,
        words: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), ToolError> {
        let (name, joined) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (long, None),
        };
        let Some(flag) = verb.flag(|flag| flag.long == name) else {
            return Err(unknown(verb, &format!("--{name}")));
        };
        let value = match (flag.value, joined) {
            (None, None) => None,
            (None, Some(_)) => {
                let what = format!("--{} takes no value", flag.long);
                return Err(wrong(verb, &what));
            }
            (Some(_), Some(value)) => Some(value),
            (Some(name), None) => Some(next_value(verb, flag, name, words)?),
        };
        self.options.push((flag.short, value));
        Ok(())
    }

    fn short_options<'w>(
        &mut self,
        verb: &'static Verb,
        word: &str,
        words: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), ToolError> {
        let mut letters = word.chars().skip(1);
        while let Some(letter) = letters.next() {
            let Some(flag) = verb.flag(|flag| flag.short == letter) else {
                return Err(unknown(verb, &format!("-{letter}")));
            };
            let Some(name) = flag.value else {
                self.options.push((letter, None));
                continue;
            };
            let joined: String = letters.by_ref().collect();
            let value = match joined.is_empty() {
                true => next_value(verb, flag, name, words)?,
                false => joined,
            };
            self.options.push((letter, Some(value)));
        }
        Ok(())
    }

    fn check_count(&self, verb: &'static Verb) -> Result<(), ToolError> {
        let count = self.operands.len();
        if count < verb.least {
            return Err(wrong(verb, "too few words"));
        }
        match self.operands.get(verb.most) {
            Some(extra) => Err(wrong(verb, &format!("unexpected '{}'", shown(extra)))),
            None => Ok(()),
        }
    }
}

fn next_value<'w>(
    verb: &'static Verb,
    flag: &Flag,
    name: &str,
    words: &mut impl Iterator<Item = &'w String>,
) -> Result<String, ToolError> {
    let value = words.next().cloned();
    value.ok_or_else(|| wrong(verb, &format!("-{} needs a {name}", flag.short)))
}

fn unknown(verb: &'static Verb, option: &str) -> ToolError {
    wrong(verb, &format!("unknown option '{}'", shown(option)))
}

/// A complaint about the words of a verb, with its usage.
#[must_use]
pub fn wrong(verb: &'static Verb, what: &str) -> ToolError {
    ToolError::usage(format!("{}: {what}; usage: {}", verb.name, usage(verb)))
}
