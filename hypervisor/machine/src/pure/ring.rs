//! The ring that keeps the last output of the console, for those who ask later. Pure.
//!
//! Bytes have running numbers; the ring holds the last [`SIZE`] of them.

/// Bytes kept.
pub const SIZE: usize = 16 * 1024;

/// The ring.
pub struct Ring {
    bytes: [u8; SIZE],
    /// Number of the oldest byte kept.
    start: u64,
    /// Number of the next byte.
    end: u64,
}

impl Ring {
    /// A ring that has kept nothing.
    pub const EMPTY: Self = Self { bytes: [0; SIZE], start: 0, end: 0 };

    /// Adds a byte; the oldest one makes room.
    pub fn push(&mut self, byte: u8) {
        self.bytes[self.end as usize % SIZE] = byte;
        self.end += 1;
        self.start = self.start.max(self.end.saturating_sub(SIZE as u64));
    }

    /// Copies bytes from number `from` on, or from the oldest one if that is gone. Returns how many
    /// were copied and the number behind them.
    pub fn read(&self, from: u64, to: &mut [u8]) -> (usize, u64) {
        let first = from.clamp(self.start, self.end);
        let count = to.len().min((self.end - first) as usize);
        for (index, byte) in to[..count].iter_mut().enumerate() {
            *byte = self.bytes[(first as usize + index) % SIZE];
        }
        (count, first + count as u64)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.start = self.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_last_bytes_are_kept(pushes in 0_usize..40_000, want in 0_usize..20_000, back in 0_u64..40_000) {
            let mut ring = Ring::EMPTY;
            (0..pushes).for_each(|n| ring.push(n as u8));
            let from = (pushes as u64).saturating_sub(back);
            let mut buffer = vec![0; want];
            let (count, next) = ring.read(from, &mut buffer);
            let first = from.max((pushes as u64).saturating_sub(SIZE as u64));
            prop_assert_eq!(count, want.min(pushes - first as usize));
            prop_assert_eq!(next, first + count as u64);
            for (index, byte) in buffer[..count].iter().enumerate() {
                prop_assert_eq!(*byte, (first as usize + index) as u8);
            }
        }
    }

    #[test]
    fn a_cleared_ring_gives_nothing_old() {
        let mut ring = Ring::EMPTY;
        ring.push(1);
        ring.clear();
        ring.push(2);
        let mut buffer = [0; 4];
        assert_eq!(ring.read(0, &mut buffer), (1, 2));
        assert_eq!(buffer[0], 2);
    }
}
