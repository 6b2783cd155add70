//! The private copy of the bytes at a guest's instruction pointer.
//!
//! The image fills it with one fetch, which may be cut short by a page that is not there. The
//! array is longer than any instruction, so decoders read it without a bounds check and find out
//! at the end whether all they used was fetched.
//!
//! Invariant: bytes that were not fetched never decide anything.

/// Longest instruction the processor accepts.
pub const MAX_LEN: usize = 15;
/// Bytes of the buffer.
pub const BUFFER_LEN: usize = 16;

/// Instruction bytes and how many of them were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    bytes: [u8; BUFFER_LEN],
    len: usize,
}

impl Code {
    /// The first `len` bytes of a buffer.
    #[inline]
    #[must_use]
    pub const fn from_buffer(bytes: [u8; BUFFER_LEN], len: usize) -> Self {
        let len = if len < MAX_LEN { len } else { MAX_LEN };
        Self { bytes, len }
    }

    /// A copy of the beginning of a slice.
    #[must_use]
    pub fn new(slice: &[u8]) -> Self {
        let mut bytes = [0; BUFFER_LEN];
        bytes.iter_mut().zip(slice).take(MAX_LEN).for_each(|(to, from)| *to = *from);
        Self { bytes, len: slice.len().min(MAX_LEN) }
    }

    /// How many bytes were fetched, at most [`MAX_LEN`].
    #[inline]
    #[must_use]
    pub fn fetched(&self) -> usize {
        self.len
    }

    /// The byte at a position, which wraps at the end of the buffer.
    #[inline]
    #[must_use]
    pub fn at(&self, position: usize) -> u8 {
        let [.., last] = self.bytes;
        // The position is always below the length, so there is no branch.
        self.bytes.get(position % BUFFER_LEN).copied().unwrap_or(last)
    }

    /// The first eight bytes as a number.
    #[inline]
    #[must_use]
    pub fn first_word(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
