//! Runs of units in a chunk of 64: which of them are free.
//!
//! The backend's pools of DMA memory consist of chunks that are contiguous for devices; a buffer is a
//! run of units inside of one. One bit for each unit, the lowest run that fits.

/// Units in a chunk.
pub const UNITS: usize = 64;

/// The units of a chunk that are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs(u64);

impl Runs {
    /// Takes `len` consecutive units and returns the first.
    pub fn take(&mut self, len: usize) -> Option<usize> {
        let mut starts = !self.0;
        // After each step a bit stands for one more free unit from there on.
        for _ in 1..len {
            starts &= starts >> 1;
        }
        if len == 0 || len > UNITS || starts == 0 {
            return None;
        }
        let first = starts.trailing_zeros() as usize;
        self.0 |= mask(first, len);
        Some(first)
    }

    /// Gives units back that were taken.
    pub fn release(&mut self, first: usize, len: usize) {
        debug_assert_eq!(self.0 & mask(first, len), mask(first, len), "units were not taken");
        self.0 &= !mask(first, len);
    }

    /// Units that are taken.
    #[must_use]
    pub const fn taken(self) -> usize {
        self.0.count_ones() as usize
    }
}

const fn mask(first: usize, len: usize) -> u64 {
    (u64::MAX >> (UNITS - len)) << first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn takes_the_lowest_run_that_is_free(ops in prop::collection::vec((any::<bool>(), 0_usize..80), 0..120)) {
            let mut runs = Runs::default();
            let mut model = [false; UNITS];
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for (take, number) in ops {
                if take {
                    let len = if number < 66 { number } else { number - 65 };
                    let fits = |start: &usize| start + len <= UNITS && !model[*start..start + len].contains(&true);
                    let expected = (0..UNITS).find(|start| len > 0 && fits(start));
                    prop_assert_eq!(runs.take(len), expected);
                    if let Some(start) = expected {
                        model[start..start + len].fill(true);
                        taken.push((start, len));
                    }
                } else if !taken.is_empty() {
                    let (start, len) = taken.swap_remove(number % taken.len());
                    runs.release(start, len);
                    model[start..start + len].fill(false);
                }
                prop_assert_eq!(runs.taken(), model.iter().filter(|unit| **unit).count());
            }
        }
    }
}
