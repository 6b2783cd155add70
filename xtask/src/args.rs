//! Words of the command line: flags, options with a value, and the rest in order.
//!
//! A verb takes what it knows and then calls [`Args::finish`], so that a misspelt option is an
//! error and never silently ignored.

use std::str::FromStr;

use crate::Result;

/// The words that no one has taken yet.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// Starts with all words after the program's name.
    pub fn new(words: Vec<String>) -> Args {
        Args { words }
    }

    /// Takes the first word that is no option.
    pub fn positional(&mut self) -> Option<String> {
        match self.words.first() {
            Some(word) if !word.starts_with('-') => Some(self.words.remove(0)),
            _ => None,
        }
    }

    /// Takes the first word if it is this one; true if it was.
    pub fn word(&mut self, word: &str) -> bool {
        self.words.first().is_some_and(|first| first == word) && self.positional().is_some()
    }

    /// Takes a flag; true if it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// Takes `--name value` or `--name=value`.
    pub fn value(&mut self, name: &str) -> Result<Option<String>> {
        let prefix = format!("{name}=");
        let Some(at) = self.words.iter().position(|w| w == name || w.starts_with(&prefix)) else {
            return Ok(None);
        };
        let word = self.words.remove(at);
        if let Some(value) = word.strip_prefix(&prefix) {
            return Ok(Some(value.to_string()));
        }
        match at < self.words.len() {
            true => Ok(Some(self.words.remove(at))),
            false => Err(format!("{name} wants a value")),
        }
    }

    /// Takes a number between `low` and `high`, or gives `default`.
    pub fn number<T>(&mut self, name: &str, default: T, low: T, high: T) -> Result<T>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.value(name)? else { return Ok(default) };
        match text.parse::<T>() {
            Ok(number) if number >= low && number <= high => Ok(number),
            _ => Err(format!("{name} wants a number from {low} to {high}, not '{text}'")),
        }
    }

    /// Takes all words that are left.
    pub fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words)
    }

    /// Fails if a word is left that nobody took.
    pub fn finish(&mut self) -> Result<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("'{word}' is not understood (see `cargo xtask help`)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Args {
        Args::new(text.split_whitespace().map(str::to_string).collect())
    }

    #[test]
    fn options_are_taken_in_any_order_and_form() {
        let mut args = args("run --smp 4 --cmdline=a,b --icount");
        assert_eq!(args.positional().as_deref(), Some("run"));
        assert!(args.flag("--icount"));
        assert_eq!(args.value("--cmdline"), Ok(Some("a,b".to_string())));
        assert_eq!(args.number("--smp", 2u32, 1, 64), Ok(4));
        assert_eq!(args.finish(), Ok(()));
    }

    #[test]
    fn a_number_out_of_range_or_missing_is_refused_with_the_range() {
        let error = args("--smp 0").number("--smp", 2u32, 1, 64).expect_err("0 is too low");
        assert!(error.contains("from 1 to 64"), "{error}");
        assert!(args("--smp").number("--smp", 2u32, 1, 64).is_err());
        assert_eq!(args("").number("--smp", 2u32, 1, 64), Ok(2));
    }

    #[test]
    fn a_word_nobody_takes_is_an_error() {
        assert!(args("--smpp 4").finish().is_err());
    }
}
