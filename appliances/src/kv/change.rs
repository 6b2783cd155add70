//! Changes as bytes: what frames contain.

use alloc::vec::Vec;

/// Longest key.
pub const MAX_KEY: usize = 255;
/// Longest value.
pub const MAX_VALUE: usize = 64 << 10;
/// Bytes in front of a change's key.
const HEAD: usize = 7;

const SET: u8 = 1;
const DELETE: u8 = 2;

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has this value from now on.
    Set(&'a [u8], &'a [u8]),
    /// The key is gone.
    Delete(&'a [u8]),
}

/// Bytes of the change that sets a key.
pub const fn set_len(key: &[u8], value: &[u8]) -> usize {
    HEAD + key.len() + value.len()
}

impl<'a> Change<'a> {
    /// Whether keys and values have lengths that can be stored.
    pub const fn is_possible(&self) -> bool {
        let (key, value): (&[u8], &[u8]) = match self {
            Self::Set(key, value) => (key, value),
            Self::Delete(key) => (key, &[]),
        };
        !key.is_empty() && key.len() <= MAX_KEY && value.len() <= MAX_VALUE
    }

    /// Appends the change.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let (kind, key, value): (u8, &[u8], &[u8]) = match self {
            Self::Set(key, value) => (SET, key, value),
            Self::Delete(key) => (DELETE, key, &[]),
        };
        to.push(kind);
        to.extend((key.len() as u16).to_le_bytes());
        to.extend((value.len() as u32).to_le_bytes());
        to.extend(key);
        to.extend(value);
    }

    /// Takes the first change off; `None` when there is no valid one.
    pub fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let key = usize::from(u16::from_le_bytes(head.get(1..3)?.try_into().ok()?));
        let value = u32::from_le_bytes(head.get(3..7)?.try_into().ok()?) as usize;
        let (key, rest) = rest.split_at_checked(key)?;
        let (value, rest) = rest.split_at_checked(value)?;
        let change = match (*head.first()?, value) {
            (SET, value) => Self::Set(key, value),
            (DELETE, []) => Self::Delete(key),
            _ => return None,
        };
        change.is_possible().then_some((change, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn changes_read_back(
            changes in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 1..40),
                 proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))), 0..8),
        ) {
            let mut bytes = Vec::new();
            let changes: Vec<Change<'_>> = changes
                .iter()
                .map(|(key, value)| match value {
                    Some(value) => Change::Set(key, value),
                    None => Change::Delete(key),
                })
                .collect();
            changes.iter().for_each(|change| change.encode(&mut bytes));
            let mut rest = &bytes[..];
            for change in &changes {
                let (found, behind) = Change::decode(rest).expect("as written");
                prop_assert_eq!(&found, change);
                rest = behind;
            }
            prop_assert!(rest.is_empty());
            // Cut anywhere, nothing is read beyond the end.
            for end in 0..bytes.len().min(60) {
                let _ = Change::decode(&bytes[..end]);
            }
        }
    }
}
