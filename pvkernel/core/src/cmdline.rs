//! Words of a kernel command line.
//!
//! A command line is a list of words separated by blanks; a word is `key=value` or a bare `key`.
//! Double quotes protect blanks and are removed from the ends of a value. The last word with a key
//! wins, as people append overrides. Nothing here allocates: values borrow from the line.

/// Bytes of the longest line.
pub const MAX_LINE: usize = 1024;

/// Copies a line to memory that lives for ever, before there is a heap; only the first call's is kept. Empty
/// when it is not valid text.
pub fn keep(line: &[u8]) -> &'static str {
    static COPY: spin::Once<[u8; MAX_LINE]> = spin::Once::new();
    let copy = COPY.call_once(|| {
        let mut copy = [0; MAX_LINE];
        copy.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
        copy
    });
    core::str::from_utf8(copy.get(..line.len()).unwrap_or_default()).unwrap_or("")
}

/// A parsed view of a command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    text: &'a str,
}

impl<'a> CommandLine<'a> {
    /// Looks at `text`; any text is acceptable.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The words as (key, value) pairs; a bare word has the value `None`.
    pub fn words(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        Words { rest: self.text }.map(|word| match word.split_once('=') {
            Some((key, value)) => (key, Some(unquote(value))),
            None => (word, None),
        })
    }

    /// The value of the last `key=value` word.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.words().filter(|(word, _)| *word == key).filter_map(|(_, value)| value).last()
    }

    /// Whether the word `key` is there, with or without a value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.words().any(|(word, _)| word == key)
    }

    /// The value of `key` as a number: decimal, or hexadecimal behind `0x`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let value = self.value(key)?;
        match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => value.parse().ok(),
        }
    }
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

/// Splits at blanks outside of double quotes.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        if text.is_empty() {
            self.rest = text;
            return None;
        }
        let mut quoted = false;
        let end = text
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                c.is_whitespace() && !quoted
            })
            .map_or(text.len(), |(at, _)| at);
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::CommandLine;
    use alloc::string::String;
    use proptest::prelude::*;

    #[test]
    fn quotes_protect_blanks_and_the_last_word_wins() {
        let line = CommandLine::new("a=1  quiet a=0x10 run=\"list -l; help\" b=\"");
        assert_eq!(line.number("a"), Some(16));
        assert!(line.has("quiet") && !line.has("loud"));
        assert_eq!(line.value("run"), Some("list -l; help"));
        assert_eq!(line.value("b"), Some("\""));
        assert_eq!(line.value("quiet"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_split_into_its_words(text in "[ a-c=\"\\n]{0,30}") {
            let line = CommandLine::new(&text);
            let count = line.words().count();
            prop_assert!(count <= text.len());
            if !text.contains('"') {
                let mut expected = String::new();
                let mut got = String::new();
                text.split_whitespace().for_each(|w| expected.push_str(w));
                for (key, value) in line.words() {
                    got.push_str(key);
                    if let Some(value) = value {
                        got.push('=');
                        got.push_str(value);
                    }
                }
                prop_assert_eq!(got, expected);
            }
        }
    }
}
