//! Splits a line of the shell into commands and words.
//!
//! Quotes group: inside single quotes everything is itself, inside double quotes a backslash and
//! `$?` keep their meaning. Outside, blanks separate words, `;` separates commands, and `#` at the
//! start of a word begins a comment. There are no pipes, variables or patterns.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The commands of a line, each a list of words. `status` replaces `$?`.
///
/// # Errors
/// A quote without its end, as one line of text.
pub fn split(line: &str, status: u8) -> Result<Vec<Vec<String>>, String> {
    let mut splitter = Splitter { commands: Vec::new(), words: Vec::new(), word: None };
    let mut chars = line.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            ' ' | '\t' | '\r' => splitter.end_word(),
            ';' | '\n' => splitter.end_command(),
            '#' if splitter.word.is_none() => {
                while chars.next_if(|next| *next != '\n').is_some() {}
            }
            '\'' | '"' => splitter.quoted(character, &mut chars, status)?,
            '\\' => match chars.next() {
                Some(next) => splitter.push(next),
                None => return Err("nothing follows the backslash; remove it".into()),
            },
            '$' if chars.next_if_eq(&'?').is_some() => splitter.push_text(&status.to_string()),
            other => splitter.push(other),
        }
    }
    splitter.end_command();
    Ok(splitter.commands)
}

struct Splitter {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
}

impl Splitter {
    fn push(&mut self, character: char) {
        self.word.get_or_insert_default().push(character);
    }

    fn push_text(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
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

    fn quoted(
        &mut self,
        quote: char,
        chars: &mut core::iter::Peekable<core::str::Chars<'_>>,
        status: u8,
    ) -> Result<(), String> {
        self.push_text("");
        loop {
            match chars.next() {
                None => return Err(format!("a {quote} has no end; close it with {quote}")),
                Some(end) if end == quote => return Ok(()),
                Some('\\') if quote == '"' && matches!(chars.peek(), Some('"' | '\\')) => {
                    self.word.get_or_insert_default().extend(chars.next());
                }
                Some('$') if quote == '"' && chars.next_if_eq(&'?').is_some() => {
                    self.push_text(&status.to_string());
                }
                Some(character) => self.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        split(line, 3).unwrap()
    }

    #[test]
    fn blanks_quotes_and_semicolons_group_as_in_a_shell() {
        assert_eq!(words("zl  list -l"), [["zl", "list", "-l"]]);
        assert_eq!(words("a; b c ;; d # e"), [&["a"][..], &["b", "c"], &["d"]]);
        assert_eq!(words("x 'a;b \"c' \"d'e\""), [["x", "a;b \"c", "d'e"]]);
        assert_eq!(words("extra='lab=3 x'y"), [["extra=lab=3 xy"]]);
        assert_eq!(words("a '' b"), [["a", "", "b"]]);
        assert_eq!(words(r#"a\ b "q\"q""#), [["a b", "q\"q"]]);
        assert_eq!(words("echo $? \"$?\" '$?' a#b"), [["echo", "3", "3", "$?", "a#b"]]);
        assert!(words("  # nothing").is_empty());
    }

    #[test]
    fn open_quotes_are_refused() {
        assert!(split("a 'b", 0).unwrap_err().contains("close it with '"));
        assert!(split("a \"b", 0).is_err());
        assert!(split("a \\", 0).is_err());
    }

    proptest! {
        #[test]
        fn single_quotes_protect_everything(text in "[^'\n]{0,30}") {
            let line = format!("x '{text}'");
            prop_assert_eq!(words(&line), [["x", text.as_str()]]);
        }

        #[test]
        fn no_line_panics(line in any::<String>()) {
            let _ = split(&line, 0);
        }
    }
}
