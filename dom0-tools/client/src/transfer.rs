//! Files on their way: how much may be under way, and whether what arrived is what was sent.
//!
//! The receiver keeps an [`Incoming`] and opens the window as it stores; the sender keeps an
//! [`Outgoing`] and sends no byte beyond the window, so that a stop is heard soon and a slow disk is
//! not overrun. Neither holds the bytes of the file.

use crate::crc::Crc32;
use core::fmt;

/// Bytes that may be under way.
pub const WINDOW: u64 = 1 << 20;
/// Bytes of one chunk.
pub const CHUNK: usize = 64 << 10;

/// What is wrong with a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// More came than was announced, or than the window allows.
    TooMuch,
    /// It ended early.
    TooLittle {
        /// Bytes that came.
        came: u64,
        /// Bytes that were announced.
        announced: u64,
    },
    /// The sums differ.
    Damaged,
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuch => f.write_str("more bytes came than were announced; send it again"),
            Self::TooLittle { came, announced } => {
                write!(f, "only {came} of {announced} bytes came; send it again")
            }
            Self::Damaged => f.write_str("the check sums differ; send it again"),
        }
    }
}

impl core::error::Error for TransferError {}

/// A file that comes.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    len: u64,
    came: u64,
    up_to: u64,
    crc: Crc32,
}

impl Incoming {
    /// A file of this length, of which nothing has come yet.
    #[must_use]
    pub fn new(len: u64) -> Self {
        Self { len, came: 0, up_to: len.min(WINDOW), crc: Crc32::default() }
    }

    /// The first byte that must not be sent yet.
    #[must_use]
    pub fn up_to(&self) -> u64 {
        self.up_to
    }

    /// Bytes that came.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.came
    }

    /// Bytes came; to be called before they are stored.
    ///
    /// # Errors
    /// More than allowed.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        let came = self.came.saturating_add(bytes.len() as u64);
        if came > self.up_to {
            return Err(TransferError::TooMuch);
        }
        self.came = came;
        self.crc.add(bytes);
        Ok(())
    }

    /// All that came is stored: the new window, if it is worth a message.
    pub fn open(&mut self) -> Option<u64> {
        let up_to = self.len.min(self.came.saturating_add(WINDOW));
        let is_worth_it =
            up_to > self.up_to && (self.up_to - self.came <= WINDOW / 2 || up_to == self.len);
        is_worth_it.then(|| {
            self.up_to = up_to;
            up_to
        })
    }

    /// The sender says that this is all.
    ///
    /// # Errors
    /// It is not what was announced.
    pub fn finish(&self, sum: u32) -> Result<(), TransferError> {
        if self.came < self.len {
            return Err(TransferError::TooLittle { came: self.came, announced: self.len });
        }
        match self.crc.value() == sum {
            true => Ok(()),
            false => Err(TransferError::Damaged),
        }
    }
}

/// A file that goes.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    len: u64,
    sent: u64,
    up_to: u64,
    crc: Crc32,
}

impl Outgoing {
    /// A file of this length, of which nothing may be sent before the first window.
    #[must_use]
    pub fn new(len: u64) -> Self {
        Self { len, sent: 0, up_to: 0, crc: Crc32::default() }
    }

    /// The receiver opened the window.
    pub fn window(&mut self, up_to: u64) {
        self.up_to = self.up_to.max(up_to.min(self.len));
    }

    /// How many bytes may be sent now in one chunk.
    #[must_use]
    pub fn allowed(&self) -> usize {
        usize::try_from(self.up_to - self.sent).map_or(CHUNK, |room| room.min(CHUNK))
    }

    /// Bytes were sent, not more than allowed.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.sent = self.up_to.min(self.sent + bytes.len() as u64);
        self.crc.add(bytes);
    }

    /// Bytes that were sent.
    #[must_use]
    pub fn total_sent(&self) -> u64 {
        self.sent
    }

    /// The sum, once all is sent.
    #[must_use]
    pub fn finished(&self) -> Option<u32> {
        (self.sent == self.len).then(|| self.crc.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        // Each case moves megabytes.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_file_arrives_whole_within_the_window(len in 0u64..3 << 20, lag in 0usize..20) {
            let (mut incoming, mut outgoing) = (Incoming::new(len), Outgoing::new(len));
            outgoing.window(incoming.up_to());
            let mut under_way: Vec<Vec<u8>> = Vec::new();
            let mut rounds = 0;
            while outgoing.finished().is_none() || !under_way.is_empty() {
                rounds += 1;
                prop_assert!(rounds < 2000, "stuck at {} of {len}", outgoing.total_sent());
                let allowed = outgoing.allowed();
                if allowed > 0 {
                    let bytes = alloc::vec![rounds as u8; allowed];
                    outgoing.sent(&bytes);
                    under_way.push(bytes);
                }
                if under_way.len() > lag || allowed == 0 {
                    incoming.add(&under_way.remove(0)).unwrap();
                    if let Some(up_to) = incoming.open() {
                        outgoing.window(up_to);
                    }
                }
                prop_assert!(outgoing.total_sent() - incoming.came() <= WINDOW);
            }
            let sum = outgoing.finished().unwrap();
            prop_assert_eq!(incoming.finish(sum), Ok(()));
            prop_assert_eq!(incoming.finish(!sum), Err(TransferError::Damaged));
        }
    }

    #[test]
    fn a_sender_that_breaks_its_word_is_caught() {
        let mut incoming = Incoming::new(3);
        assert_eq!(incoming.add(b"abcd"), Err(TransferError::TooMuch));
        incoming.add(b"ab").unwrap();
        let short = TransferError::TooLittle { came: 2, announced: 3 };
        assert_eq!(incoming.finish(0), Err(short));
        let mut long = Incoming::new(u64::MAX);
        assert_eq!(long.up_to(), WINDOW);
        assert_eq!(long.add(&alloc::vec![0; WINDOW as usize + 1]), Err(TransferError::TooMuch));
    }
}
