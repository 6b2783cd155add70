//! CRC-32 as Ethernet and zip compute it.

/// The polynomial, with its lowest power in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut word = at as u32;
        let mut bit = 0;
        while bit < 8 {
            word = if word & 1 == 1 { word >> 1 ^ POLYNOMIAL } else { word >> 1 };
            bit += 1;
        }
        table[at] = word;
        at += 1;
    }
    table
}

/// A sum over several pieces.
#[derive(Clone, Copy, Debug)]
pub struct Crc(u32);

impl Crc {
    /// The sum over nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(!0)
    }

    /// Adds a piece.
    #[must_use]
    pub fn add(self, bytes: &[u8]) -> Self {
        let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)];
        Self(bytes.iter().fold(self.0, step))
    }

    /// The sum.
    #[must_use]
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

impl Default for Crc {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn the_sum_is_the_one_everybody_computes() {
        assert_eq!(Crc::new().add(b"123456789").finish(), 0xcbf4_3926);
        assert_eq!(Crc::new().add(b"1234").add(b"56789").finish(), 0xcbf4_3926);
        assert_eq!(Crc::default().finish(), 0);
    }
}
