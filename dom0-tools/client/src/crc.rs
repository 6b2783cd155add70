//! CRC-32 (the one of Ethernet and zip), for files on their way.
//!
//! It finds mistakes of ours, not attacks: whoever sends a file knows the token. Eight bytes at a
//! time, because the control domain sums whole disk images.

const POLYNOMIAL: u32 = 0xedb8_8320;
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The sum of what it was given so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32 {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let mixed = u64::from_le_bytes(*eight) ^ u64::from(self.0);
            let bytes = mixed.to_le_bytes();
            self.0 = bytes.iter().zip(TABLES.iter().rev()).fold(0, |sum, (byte, table)| {
                sum ^ table.get(usize::from(*byte)).copied().unwrap_or(0)
            });
        }
        for byte in rest {
            let index = (self.0 as u8 ^ byte) as usize;
            self.0 = self.0 >> 8 ^ TABLES[0].get(index).copied().unwrap_or(0);
        }
    }

    /// The sum.
    #[must_use]
    pub fn value(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn slow(bytes: &[u8]) -> u32 {
        let mut sum = u32::MAX;
        for byte in bytes {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            }
        }
        !sum
    }

    #[test]
    fn the_sum_is_the_well_known_one() {
        let mut crc = Crc32::default();
        crc.add(b"123456789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn pieces_sum_up_to_the_whole(bytes: Vec<u8>, cut in 0usize..100) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut crc = Crc32::default();
            crc.add(first);
            crc.add(second);
            prop_assert_eq!(crc.value(), slow(&bytes));
        }
    }
}
