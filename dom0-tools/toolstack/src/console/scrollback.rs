//! What a domain printed, up to a bound.
//!
//! Filled by the console service, read by people who attach, each at their own place. Places count
//! bytes since the domain started, so that a reader who was too slow knows how much it missed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes that are kept.
pub const KEPT_BYTES: usize = 64 * 1024;

/// The last bytes a domain printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrollback {
    bytes: VecDeque<u8>,
    /// Place of the first kept byte.
    start: u64,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Place behind the last of them.
    pub next: u64,
    /// Bytes that were pushed out before this reader came.
    pub missed: u64,
}

impl Scrollback {
    /// Adds bytes and forgets the oldest beyond the bound. Room is made first, so that the buffer
    /// never becomes larger than the bound.
    pub fn append(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(KEPT_BYTES);
        let added = bytes.get(skipped..).unwrap_or(&[]);
        let excess = (self.bytes.len() + added.len()).saturating_sub(KEPT_BYTES);
        self.bytes.drain(..excess);
        self.bytes.extend(added);
        self.start += (excess + skipped) as u64;
    }

    /// Place behind the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Everything from a place on.
    #[must_use]
    pub fn read_from(&self, place: u64) -> Chunk {
        let missed = self.start.saturating_sub(place);
        let skip = usize::try_from(place.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let bytes: Vec<u8> = self.bytes.iter().skip(skip).copied().collect();
        Chunk { bytes, next: self.end().max(place), missed }
    }

    /// The last `len` bytes, fewer if there are not so many.
    pub fn tail(&self, len: usize) -> impl Iterator<Item = u8> + '_ {
        let skip = self.bytes.len().saturating_sub(len);
        self.bytes.iter().skip(skip).copied()
    }
}
