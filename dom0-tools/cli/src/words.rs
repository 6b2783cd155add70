//! Splits a line of the shell into commands and words.
//!
//! Quotes group: inside single quotes everything is itself, inside double quotes a backslash and
//! `$?` keep their meaning. Outside, blanks separate words, `;` separates commands, and `#` at the
//! start of a word begins a comment. There are no pipes, variables or patterns.
//!
//! `$?` gets its value when the command is carried out, not when the line is split, because an
//! earlier command of the line may change it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

/// One word, in which `$?` is still open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The texts between the places of `$?`; one more than there are places.
    texts: Vec<String>,
}

impl Word {
    fn new() -> Self {
        Self { texts: Vec::from([String::new()]) }
    }

    fn push(&mut self, character: char) {
        if let Some(last) = self.texts.last_mut() {
            last.push(character);
        }
    }

    fn push_status(&mut self) {
        self.texts.push(String::new());
    }

    /// The word, with this status in place of `$?`.
    #[must_use]
    pub fn expand(&self, status: u8) -> String {
        self.texts.join(&status.to_string())
    }
}

/// The words of one command.
pub type Words = Vec<Word>;

/// The commands of a line.
///
/// # Errors
/// A quote without its end, as one line of text.
pub fn split(line: &str) -> Result<Vec<Words>, String> {
    let mut splitter = Splitter::default();
    let mut chars = line.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            ' ' | '\t' | '\r' => splitter.end_word(),
            ';' | '\n' => splitter.end_command(),
            '#' if splitter.word.is_none() => {
                while chars.next_if(|next| *next != '\n').is_some() {}
            }
            '\'' | '"' => splitter.quoted(character, &mut chars)?,
            '\\' => match chars.next() {
                Some(next) => splitter.word().push(next),
                None => return Err("nothing follows the backslash; remove it".into()),
            },
            '$' if chars.next_if_eq(&'?').is_some() => splitter.word().push_status(),
            other => splitter.word().push(other),
        }
    }
    splitter.end_command();
    Ok(splitter.commands)
}

#[derive(Default)]
struct Splitter {
    commands: Vec<Words>,
    words: Words,
    word: Option<Word>,
}

impl Splitter {
    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_with(Word::new)
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.commands.push(core::mem::take(&mut self.words));
        }
    }

    fn quoted(&mut self, quote: char, chars: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        let word = self.word();
        loop {
            match chars.next() {
                None => return Err(format!("a {quote} has no end; close it with {quote}")),
                Some(end) if end == quote => return Ok(()),
                Some('\\') if quote == '"' && matches!(chars.peek(), Some('"' | '\\')) => {
                    chars.next().into_iter().for_each(|next| word.push(next));
                }
                Some('$') if quote == '"' && chars.next_if_eq(&'?').is_some() => word.push_status(),
                Some(character) => word.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        let commands = split(line).unwrap();
        let expand = |words: Words| words.iter().map(|word| word.expand(3)).collect();
        commands.into_iter().map(expand).collect()
    }

    #[test]
    fn blanks_quotes_and_semicolons_group_as_in_a_shell() {
        assert_eq!(words("zl  list -l"), [["zl", "list", "-l"]]);
        assert_eq!(words("a; b c ;; d # e"), [&["a"][..], &["b", "c"], &["d"]]);
        assert_eq!(words("x 'a;b \"c' \"d'e\""), [["x", "a;b \"c", "d'e"]]);
        assert_eq!(words("extra='lab=3 x'y"), [["extra=lab=3 xy"]]);
        assert_eq!(words("a '' b"), [["a", "", "b"]]);
        assert_eq!(words(r#"a\ b "q\"q""#), [["a b", "q\"q"]]);
        assert_eq!(words("echo $? \"<$?>\" '$?' a#b"), [["echo", "3", "<3>", "$?", "a#b"]]);
        assert_eq!(words("$?$?"), [["33"]]);
        assert!(words("  # nothing").is_empty());
    }

    #[test]
    fn open_quotes_are_refused() {
        assert!(split("a 'b").unwrap_err().contains("close it with '"));
        assert!(split("a \"b").is_err());
        assert!(split("a \\").is_err());
    }

    proptest! {
        #[test]
        fn single_quotes_protect_everything(text in "[^'\n]{0,30}") {
            let line = format!("x '{text}'");
            prop_assert_eq!(words(&line), [["x", text.as_str()]]);
        }

        #[test]
        fn no_line_panics(line in any::<String>()) {
            let _ = split(&line);
        }
    }
}
