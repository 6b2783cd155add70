//! The private copy of the bytes at a guest's instruction pointer.
//!
//! The image fills it with one fetch, which may be cut short by a page that is not there. The
//! array is longer than any instruction, so decoders read it without a bounds check and find out
//! at the end whether all they used was fetched.
//!
//! Invariant: bytes that were not fetched never decide anything.

use hypercall_abi::cpuid::EMULATE_PREFIX;

/// Longest instruction the processor accepts.
pub const MAX_LEN: usize = 15;
/// Bytes of the buffer.
pub const BUFFER_LEN: usize = 16;

/// CPUID behind the forced-emulation prefix (`UD2` and the letters `xen`). No other instruction is
/// accepted behind the prefix: with anything else the guest gets its invalid opcode fault.
pub const FORCED_CPUID: [u8; 7] = {
    let [a, b, c, d, e] = EMULATE_PREFIX;
    [a, b, c, d, e, 0x0f, 0xa2]
};

/// Instruction bytes and how many of them were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    bytes: [u8; BUFFER_LEN],
    len: usize,
}

impl Code {
    /// The first `len` bytes of a buffer.
    #[inline]
    pub fn from_buffer(bytes: [u8; BUFFER_LEN], len: usize) -> Self {
        Self { bytes, len: len.min(MAX_LEN) }
    }

    /// How many bytes were fetched, at most [`MAX_LEN`].
    #[inline]
    pub fn fetched(&self) -> usize {
        self.len
    }

    /// The byte at a position, which wraps at the end of the buffer.
    #[inline]
    pub fn at(&self, position: usize) -> u8 {
        self.bytes[position % BUFFER_LEN]
    }

    /// Whether [`FORCED_CPUID`] stands here, all of it fetched.
    #[inline]
    pub fn is_forced_cpuid(&self) -> bool {
        self.len >= FORCED_CPUID.len() && self.bytes.starts_with(&FORCED_CPUID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_sequence_is_forced_cpuid() {
        let mut whole = [0; BUFFER_LEN];
        whole[..8].copy_from_slice(&[0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0xa2, 0xcc]);
        for len in 0..=BUFFER_LEN {
            assert_eq!(Code::from_buffer(whole, len).is_forced_cpuid(), len >= 7, "{len}");
        }
        for i in 0..7 {
            let mut wrong = whole;
            wrong[i] ^= 1;
            assert!(!Code::from_buffer(wrong, MAX_LEN).is_forced_cpuid(), "{i}");
        }
    }
}
