//! Patterns: `*`, `?`, `[a-z]`, `[!a-z]`; `\` makes the character behind it itself.

use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

enum Item {
    /// This character.
    One(char),
    /// Any character.
    Any,
    /// Any characters, or none.
    Many,
    /// One of these, or one that is none of them.
    Set { is_negated: bool, ranges: Vec<(char, char)> },
}

/// A pattern.
pub struct Pattern(Vec<Item>);

impl Pattern {
    /// Reads one; a `[` that is not closed is itself.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (mut items, mut chars) = (Vec::new(), text.chars().peekable());
        // Behind one that is not closed there is none that is: what closed it would close the first.
        let mut has_sets = true;
        while let Some(next) = chars.next() {
            items.push(match next {
                '*' => Item::Many,
                '?' => Item::Any,
                '[' => match has_sets.then(|| set(&chars)).flatten() {
                    Some((item, rest)) => {
                        chars = rest;
                        item
                    }
                    None => {
                        has_sets = false;
                        Item::One('[')
                    }
                },
                '\\' => Item::One(chars.next().unwrap_or('\\')),
                other => Item::One(other),
            });
        }
        Self(items)
    }

    /// Whether it fits all of a text. After a mismatch only the last `*` takes a character more, so the time
    /// is at most the product of the two lengths.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut item, mut at, mut again) = (0, 0, None);
        while at < text.len() || item < self.0.len() {
            let fits = match (self.0.get(item), text.get(at)) {
                (Some(Item::Many), _) => {
                    again = Some((item, at));
                    item += 1;
                    continue;
                }
                (Some(single), Some(sign)) => single.fits(*sign),
                _ => false,
            };
            if fits {
                (item, at) = (item + 1, at + 1);
                continue;
            }
            match again {
                Some((star, taken)) if taken < text.len() => {
                    again = Some((star, taken + 1));
                    (item, at) = (star + 1, taken + 1);
                }
                _ => return false,
            }
        }
        true
    }

    /// Whether it begins with this character itself.
    #[must_use]
    pub fn begins_with(&self, sign: char) -> bool {
        matches!(self.0.first(), Some(Item::One(first)) if *first == sign)
    }
}

impl Item {
    fn fits(&self, sign: char) -> bool {
        match self {
            Self::One(wanted) => *wanted == sign,
            Self::Any => true,
            Self::Many => false,
            Self::Set { is_negated, ranges } => {
                let is_in = ranges.iter().any(|(from, to)| (*from..=*to).contains(&sign));
                is_in != *is_negated
            }
        }
    }
}

/// A set of which the `[` was read, and what is behind its `]`; `None` if it has none. A `]` that comes
/// first is a member.
fn set<'a>(chars: &Peekable<Chars<'a>>) -> Option<(Item, Peekable<Chars<'a>>)> {
    let (mut chars, mut ranges) = (chars.clone(), Vec::new());
    let is_negated = chars.next_if(|next| matches!(next, '!' | '^')).is_some();
    loop {
        let (from, is_protected) = member(&mut chars)?;
        if from == ']' && !is_protected && !ranges.is_empty() {
            return Some((Item::Set { is_negated, ranges }, chars));
        }
        let mut behind = chars.clone();
        let is_range = behind.next() == Some('-') && behind.peek().is_some_and(|end| *end != ']');
        let to = match is_range {
            true => {
                chars = behind;
                member(&mut chars)?.0
            }
            false => from,
        };
        ranges.push((from, to));
    }
}

fn member(chars: &mut Peekable<Chars<'_>>) -> Option<(char, bool)> {
    match chars.next()? {
        '\\' => chars.next().map(|next| (next, true)),
        other => Some((other, false)),
    }
}
