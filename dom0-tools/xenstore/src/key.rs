//! Paths as keys of maps, compared eight bytes at a time.
//!
//! All the store does is to look up paths, and those of one place have long beginnings in common: most of
//! its instructions are comparisons. A call of `memcmp` for each of them, which goes on byte by byte where
//! they differ, costs nearly twice as many. Used by every map of the store that has paths as keys.
//!
//! Invariant: the order is that of the bytes, so what lies below a path is one range.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::ops::Deref;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Bytes that are compared at once.
const WORD: usize = 8;

/// A path to be looked up.
#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Path([u8]);

impl Path {
    /// The same path.
    pub fn of(path: &str) -> &Self {
        let bytes = path.as_bytes();
        zerocopy::transmute_ref!(bytes)
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        let common = self.0.len().min(other.0.len());
        let (left, right) = (&self.0[..common], &other.0[..common]);
        for (a, b) in left.chunks_exact(WORD).zip(right.chunks_exact(WORD)) {
            let (a, b) = (word(a), word(b));
            if a != b {
                return a.cmp(&b);
            }
        }
        // What is left, with some of what was equal in front of it.
        let ends = match (left.last_chunk(), right.last_chunk()) {
            (Some(a), Some(b)) => u64::from_be_bytes(*a).cmp(&u64::from_be_bytes(*b)),
            _ => left.iter().cmp(right),
        };
        ends.then(self.0.len().cmp(&other.0.len()))
    }
}

/// Eight bytes as a number that is in order as they are.
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Path {}

/// A path that is a key.
#[derive(Clone, Debug)]
pub struct Key(Arc<str>);

impl Key {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Arc<str> {
        &self.0
    }
}

impl From<Arc<str>> for Key {
    fn from(path: Arc<str>) -> Self {
        Self(path)
    }
}

impl From<&str> for Key {
    fn from(path: &str) -> Self {
        Self(Arc::from(path))
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<Path> for Key {
    fn borrow(&self) -> &Path {
        Path::of(self)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        Path::of(self).cmp(Path::of(other))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::{Key, Path};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_bytes(
            common in "[/a]{0,20}", left in "[-/ab\u{e4}]{0,10}", right in "[-/ab\u{e4}]{0,10}",
        ) {
            let (left, right) = (common.clone() + &left, common + &right);
            let expected = left.as_bytes().cmp(right.as_bytes());
            prop_assert_eq!(Path::of(&left).cmp(Path::of(&right)), expected);
            let (left_key, right_key) = (Key::from(left.as_str()), Key::from(right.as_str()));
            prop_assert_eq!(left_key.cmp(&right_key), expected);
            prop_assert_eq!(left_key == right_key, left == right);
        }
    }
}
