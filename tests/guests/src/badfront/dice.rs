//! Numbers that look random and can be repeated.

/// A generator.
pub struct Dice(u64);

impl Dice {
    /// The numbers that belong to a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (Vigna's splitmix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// An index near or far from another.
    pub fn index(&mut self, near: u32) -> u32 {
        match self.below(6) {
            0 => near.wrapping_add(self.below(40) as u32),
            1 => near.wrapping_sub(1 + self.below(300) as u32),
            2 => near.wrapping_add(33 + self.below(1000) as u32),
            3 => u32::MAX,
            4 => near.wrapping_add(0x8000_0000),
            _ => self.next() as u32,
        }
    }

    /// Bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next() as u8;
        }
    }
}
