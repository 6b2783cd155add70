//! Arithmetic on ranges of memory, for the time before there is an allocator. Pure.
//!
//! A [`Ranges`] is a sorted list of disjoint ranges of machine addresses, all multiples of a page.

use super::multiboot::List;
use hypercall_abi::memory::{e820, E820Entry};

/// Ranges a list can hold; further ones are dropped, which only loses memory.
pub const MAX_RANGES: usize = 64;
const PAGE: u64 = 4096;

/// A range of machine addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
}

/// Disjoint ranges in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Ranges(List<Range, MAX_RANGES>);

impl Ranges {
    /// Whole pages of memory in a firmware map; where entries overlap, "not memory" wins.
    pub fn of_ram(regions: &[E820Entry]) -> Self {
        let mut ranges = Self::default();
        for region in regions.iter().filter(|region| region.kind == e820::RAM) {
            let end = region.start().saturating_add(region.bytes());
            ranges.add(region.start().next_multiple_of(PAGE), end & !(PAGE - 1));
        }
        for region in regions.iter().filter(|region| region.kind != e820::RAM) {
            ranges.remove(region.start(), region.start().saturating_add(region.bytes()));
        }
        ranges
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[Range] {
        self.0.as_slice()
    }

    /// Adds a range and joins what touches.
    pub fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let old = core::mem::take(self);
        let old = old.as_slice();
        let touching = old.iter().filter(|range| range.start <= end && range.end >= start);
        let joined = touching.fold(Range { start, end }, |all, range| Range {
            start: all.start.min(range.start),
            end: all.end.max(range.end),
        });
        old.iter().filter(|range| range.end < joined.start).for_each(|range| self.push(*range));
        self.push(joined);
        old.iter().filter(|range| range.start > joined.end).for_each(|range| self.push(*range));
    }

    /// Takes a range away, in whole pages.
    pub fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let start = start & !(PAGE - 1);
        let end = end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        let old = core::mem::take(self);
        for item in old.as_slice() {
            self.push(Range { start: item.start, end: item.end.min(start) });
            self.push(Range { start: item.start.max(end), end: item.end });
        }
    }

    fn push(&mut self, range: Range) {
        if range.start < range.end {
            self.0.push(range);
        }
    }

    /// Takes `len` bytes at the lowest possible multiple of a page, below `limit`.
    pub fn take_low(&mut self, len: u64, limit: u64) -> Option<u64> {
        let fits = |range: &&Range| {
            range.start.checked_add(len).is_some_and(|end| end <= range.end.min(limit))
        };
        let start = self.as_slice().iter().find(fits)?.start;
        self.remove(start, start + len);
        Some(start)
    }

    /// Takes `len` bytes at the highest possible multiple of `align`, below `limit`.
    pub fn take_high(&mut self, len: u64, align: u64, limit: u64) -> Option<u64> {
        let start = self.as_slice().iter().rev().find_map(|range| {
            let start = range.end.min(limit).checked_sub(len)? / align * align;
            (start >= range.start).then_some(start)
        })?;
        self.remove(start, start + len);
        Some(start)
    }

    /// Bytes in all ranges.
    pub fn total(&self) -> u64 {
        self.as_slice().iter().map(|range| range.end - range.start).sum()
    }

    /// Address behind the last range.
    pub fn end(&self) -> u64 {
        self.as_slice().last().map_or(0, |range| range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// One bit per page.
    fn pages(ranges: &Ranges) -> Vec<bool> {
        let mut map = vec![false; 256];
        for range in ranges.as_slice() {
            assert!(range.start < range.end && range.start % PAGE == 0 && range.end % PAGE == 0);
            (range.start / PAGE..range.end / PAGE).for_each(|page| map[page as usize] = true);
        }
        map
    }

    proptest! {
        #[test]
        fn adding_and_removing_is_what_a_bitmap_does(
            ops in proptest::collection::vec((any::<bool>(), 0_u64..200, 0_u64..40), 0..40)
        ) {
            let mut ranges = Ranges::default();
            let mut model = vec![false; 256];
            for (add, start, len) in ops {
                if add {
                    ranges.add(start * PAGE, (start + len) * PAGE);
                } else {
                    ranges.remove(start * PAGE, (start + len) * PAGE);
                }
                (start..start + len).for_each(|page| model[page as usize] = add);
                prop_assert_eq!(&pages(&ranges), &model);
                let sorted = ranges.as_slice().windows(2).all(|w| w[0].end < w[1].start);
                prop_assert!(sorted);
            }
        }

        #[test]
        fn what_is_taken_was_there_and_is_gone(
            start in 0_u64..50, len in 1_u64..50, want in 1_u64..20, high in any::<bool>()
        ) {
            let mut ranges = Ranges::default();
            ranges.add(start * PAGE, (start + len) * PAGE);
            ranges.add(100 * PAGE, 110 * PAGE);
            let before = pages(&ranges);
            let taken = if high {
                ranges.take_high(want * PAGE, 2 * PAGE, 110 * PAGE)
            } else {
                ranges.take_low(want * PAGE, 110 * PAGE)
            };
            let after = pages(&ranges);
            if let Some(at) = taken {
                for page in at / PAGE..at / PAGE + want {
                    prop_assert!(before[page as usize] && !after[page as usize]);
                }
            } else {
                prop_assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn not_memory_wins() {
        let map = [E820Entry::new(0x1800, 0x5000, 1), E820Entry::new(0x3800, 0x10, 2)];
        let expected = [Range { start: 0x2000, end: 0x3000 }, Range { start: 0x4000, end: 0x6000 }];
        assert_eq!(Ranges::of_ram(&map).as_slice(), expected);
    }
}
