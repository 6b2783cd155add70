//! Frames: a length of four bytes, least significant first, and as many bytes.
//!
//! Both ends put what arrives into [`Frames`] and take messages out. The buffer grows with the bytes
//! that have arrived, never with what a length promises, and never beyond the limit.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Longest frame between ends that know each other.
pub const LONGEST: usize = 1 << 20;
/// Longest frame of a handshake.
pub const LONGEST_GREETING: usize = 256;
/// Bytes in front of each frame.
const HEAD: usize = 4;

/// Why the other end cannot be understood. The connection is of no use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame longer than allowed.
    TooLong(usize),
    /// A frame that is no message.
    Garbled,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "a frame of {len} bytes, which is too long"),
            Self::Garbled => f.write_str("a frame that is no message of this protocol"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Appends a message as a frame.
///
/// # Errors
/// The message is longer than a frame may be; nothing was appended then.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let Ok(mut out_again) = postcard::to_extend(message, core::mem::take(out)) else {
        return Err(FrameError::Garbled);
    };
    let len = out_again.len() - start - HEAD;
    if len > LONGEST {
        out_again.truncate(start);
        *out = out_again;
        return Err(FrameError::TooLong(len));
    }
    if let Some(head) = out_again.get_mut(start..start + HEAD) {
        head.copy_from_slice(&(len as u32).to_le_bytes());
    }
    *out = out_again;
    Ok(())
}

/// The message of a frame.
///
/// # Errors
/// The bytes are no message of this kind, or more than one.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Garbled),
    }
}

/// Bytes that arrived, cut into frames.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the first frame that was not taken begins.
    start: usize,
    limit: usize,
}

impl Frames {
    /// Nothing has arrived yet.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    /// Allows frames of another length from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes that arrived, as many as there is room for, and says how many that was. What is
    /// left over fits when the frames that are complete have been taken.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.drop_taken();
        let room = (HEAD + self.limit).saturating_sub(self.buffer.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(&[]);
        self.buffer.extend_from_slice(taken);
        taken.len()
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// Its length is not allowed.
    pub fn take(&mut self) -> Result<Option<&[u8]>, FrameError> {
        self.drop_taken();
        let Some(head) = self.buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let len = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if len > self.limit {
            return Err(FrameError::TooLong(len));
        }
        let Some(payload) = self.buffer.get(HEAD..HEAD + len) else { return Ok(None) };
        self.start = HEAD + len;
        Ok(Some(payload))
    }

    /// Whether bytes are there that are no whole frame yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.start
    }

    fn drop_taken(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_promise_of_length_takes_no_memory() {
        let mut frames = Frames::new(LONGEST);
        assert_eq!(frames.push(&(LONGEST as u32).to_le_bytes()), 4);
        assert_eq!(frames.take(), Ok(None));
        assert!(frames.buffer.capacity() < 64);
        let mut frames = Frames::new(LONGEST);
        frames.push(&u32::MAX.to_le_bytes());
        assert_eq!(frames.take(), Err(FrameError::TooLong(u32::MAX as usize)));
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_and_leaves_nothing() {
        let mut out = vec![1, 2, 3];
        let long = alloc::string::String::from_utf8(vec![b'x'; LONGEST + 1]).unwrap();
        assert!(matches!(encode(&long, &mut out), Err(FrameError::TooLong(_))));
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn bytes_behind_a_message_are_refused() {
        assert_eq!(decode::<u8>(&[7]), Ok(7));
        assert_eq!(decode::<u8>(&[7, 7]), Err(FrameError::Garbled));
        assert_eq!(decode::<u8>(&[]), Err(FrameError::Garbled));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in proptest::collection::vec(1usize..50, 1..50),
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
            let mut frames = Frames::new(64);
            let mut found: Vec<Vec<u8>> = Vec::new();
            let mut rest = &bytes[..];
            let mut cut = cuts.iter().cycle();
            while !rest.is_empty() {
                let piece = &rest[..(*cut.next().unwrap()).min(rest.len())];
                let taken = frames.push(piece);
                prop_assert!(frames.buffer.len() <= 68);
                rest = &rest[taken..];
                while let Some(payload) = frames.take().unwrap() {
                    found.push(payload.to_vec());
                }
            }
            prop_assert_eq!(found, payloads);
            prop_assert!(frames.is_empty());
        }

        #[test]
        fn no_bytes_panic_or_grow_the_buffer(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut frames = Frames::new(100);
            let mut rest = &bytes[..];
            'all: while !rest.is_empty() {
                let taken = frames.push(rest);
                rest = &rest[taken..];
                loop {
                    match frames.take() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
                prop_assert!(frames.buffer.len() <= 104);
            }
        }
    }
}
