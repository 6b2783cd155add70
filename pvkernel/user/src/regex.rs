//! Patterns of `grep`: `^`, `$`, `.`, `*`, and `\` before one of these; all else is itself. Pure.
//!
//! The matcher holds the set of places in the pattern that the text so far may have led to, so its time is
//! the product of the two lengths, whatever the pattern is. A stack of tries (Kernighan and Pike's way) is
//! shorter, but `a*a*a*a*b` takes it for ever.

use alloc::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Any,
    Byte(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    what: What,
    repeats: bool,
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
    at_start: bool,
    at_end: bool,
    ignore_case: bool,
}

impl Pattern {
    /// Reads a pattern. A `*` at its beginning, a `^` or `$` elsewhere than at its ends is itself.
    #[must_use]
    pub fn new(text: &[u8], ignore_case: bool) -> Self {
        let at_start = text.first() == Some(&b'^');
        let mut rest = text.get(usize::from(at_start)..).unwrap_or_default();
        let (mut items, mut at_end) = (Vec::<Item>::new(), false);
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            let what = match (byte, items.last_mut()) {
                (b'*', Some(last)) => {
                    last.repeats = true;
                    continue;
                }
                (b'$', _) if rest.is_empty() => {
                    at_end = true;
                    continue;
                }
                (b'\\', _) => match rest.split_first() {
                    Some((escaped, behind)) => {
                        rest = behind;
                        What::Byte(*escaped)
                    }
                    None => What::Byte(b'\\'),
                },
                (b'.', _) => What::Any,
                _ => What::Byte(*byte),
            };
            items.push(Item { what: folded(what, ignore_case), repeats: false });
        }
        Self { items, at_start, at_end, ignore_case }
    }

    /// A pattern in which every byte is itself.
    #[must_use]
    pub fn fixed(text: &[u8], ignore_case: bool) -> Self {
        let item =
            |byte: &u8| Item { what: folded(What::Byte(*byte), ignore_case), repeats: false };
        let items = text.iter().map(item).collect();
        Self { items, at_start: false, at_end: false, ignore_case }
    }

    /// Whether it is somewhere in a line.
    #[must_use]
    pub fn is_in(&self, line: &[u8]) -> bool {
        let mut places = alloc::vec![false; self.items.len() + 1];
        let mut next = places.clone();
        self.enter(&mut places, 0);
        for byte in line {
            if !self.at_end && places.last() == Some(&true) {
                return true;
            }
            let byte = if self.ignore_case { byte.to_ascii_lowercase() } else { *byte };
            next.fill(false);
            self.step(&places, &mut next, byte);
            if !self.at_start {
                self.enter(&mut next, 0);
            }
            core::mem::swap(&mut places, &mut next);
        }
        places.last() == Some(&true)
    }

    /// Marks a place, and those behind it that need no byte.
    fn enter(&self, places: &mut [bool], place: usize) {
        for (index, entered) in places.iter_mut().enumerate().skip(place) {
            *entered = true;
            if !self.items.get(index).is_some_and(|item| item.repeats) {
                break;
            }
        }
    }

    fn step(&self, places: &[bool], next: &mut [bool], byte: u8) {
        for (index, item) in self.items.iter().enumerate() {
            let fits = item.what == What::Any || item.what == What::Byte(byte);
            if fits && places[index] {
                let place = if item.repeats { index } else { index + 1 };
                self.enter(next, place);
            }
        }
    }
}

fn folded(what: What, ignore_case: bool) -> What {
    match what {
        What::Byte(byte) if ignore_case => What::Byte(byte.to_ascii_lowercase()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_in(pattern: &str, line: &str) -> bool {
        Pattern::new(pattern.as_bytes(), false).is_in(line.as_bytes())
    }

    #[test]
    fn each_sign_means_what_it_means() {
        assert!(is_in("b.d", "abcde") && !is_in("b.d", "abde"));
        assert!(is_in("^ab", "abc") && !is_in("^b", "abc"));
        assert!(is_in("c$", "abc") && !is_in("b$", "abc"));
        assert!(is_in("^$", "") && !is_in("^$", "a"));
        assert!(is_in("ab*c", "ac") && is_in("ab*c", "abbbc") && !is_in("ab*c", "adc"));
        assert!(is_in("a\\.c", "a.c") && !is_in("a\\.c", "abc"));
        assert!(is_in("*a", "*a") && is_in("a$b", "a$b") && is_in("", ""));
        assert!(Pattern::new(b"HeLLo", true).is_in(b"say hEllO"));
        assert!(
            Pattern::fixed(b"a.*", false).is_in(b"a.*")
                && !Pattern::fixed(b"a.", false).is_in(b"ab")
        );
    }

    #[test]
    fn a_hard_pattern_takes_no_longer() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!is_in(&pattern, &"a".repeat(2000)));
    }

    /// The slow model: Kernighan and Pike's matcher by trying.
    fn here(items: &[Item], at_end: bool, text: &[u8]) -> bool {
        let Some((item, rest)) = items.split_first() else { return !at_end || text.is_empty() };
        let fits = |byte: &u8| item.what == What::Any || item.what == What::Byte(*byte);
        if item.repeats {
            let most = text.iter().take_while(|byte| fits(byte)).count();
            return (0..=most).any(|count| here(rest, at_end, &text[count..]));
        }
        text.first().is_some_and(fits) && here(rest, at_end, &text[1..])
    }

    proptest! {
        #[test]
        fn it_agrees_with_trying(pattern in "[ab.*^$\\\\]{0,8}", line in "[ab.$]{0,10}") {
            let pattern = Pattern::new(pattern.as_bytes(), false);
            let last = if pattern.at_start { 0 } else { line.len() };
            let tried = (0..=last)
                .any(|start| here(&pattern.items, pattern.at_end, &line.as_bytes()[start..]));
            prop_assert_eq!(pattern.is_in(line.as_bytes()), tried);
        }
    }
}
