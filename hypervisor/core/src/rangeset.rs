//! A set of numbers kept as ranges: the device frames, ports and interrupts a domain may use.
//!
//! Invariant: ranges are sorted, not empty, and neither overlap nor touch. Look-up is a binary
//! search; changes are made by a privileged toolstack only, so their cost is not a guest's to
//! choose.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

/// There was no memory for another range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.contains_all(number..=number)
    }

    /// Whether all numbers of a range are in the set.
    #[must_use]
    pub fn contains_all(&self, wanted: RangeInclusive<u64>) -> bool {
        let at = self.ranges.partition_point(|(start, _)| *start <= *wanted.start());
        let candidate = at.checked_sub(1).and_then(|index| self.ranges.get(index));
        wanted.is_empty() || candidate.is_some_and(|(_, end)| *end >= *wanted.end())
    }

    /// Adds a range.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the set is as before.
    pub fn insert(&mut self, added: RangeInclusive<u64>) -> Result<(), OutOfMemory> {
        if added.is_empty() {
            return Ok(());
        }
        self.ranges.try_reserve(1).map_err(|_| OutOfMemory)?;
        let (mut start, mut end) = added.into_inner();
        // Ranges that overlap the new one, or touch it, become part of it.
        let first = self.ranges.partition_point(|(_, e)| e.saturating_add(1) < start);
        let last = self.ranges.partition_point(|(s, _)| *s <= end.saturating_add(1));
        if let Some((s, _)) = self.ranges.get(first).filter(|_| first < last) {
            start = start.min(*s);
        }
        if let Some((_, e)) = last.checked_sub(1).and_then(|i| self.ranges.get(i)) {
            if first < last {
                end = end.max(*e);
            }
        }
        self.ranges.splice(first..last.max(first), [(start, end)]);
        Ok(())
    }

    /// Takes a range out.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the set is as before.
    pub fn remove(&mut self, removed: RangeInclusive<u64>) -> Result<(), OutOfMemory> {
        if removed.is_empty() {
            return Ok(());
        }
        self.ranges.try_reserve(1).map_err(|_| OutOfMemory)?;
        let (start, end) = removed.into_inner();
        let first = self.ranges.partition_point(|(_, e)| *e < start);
        let last = self.ranges.partition_point(|(s, _)| *s <= end).max(first);
        let left = self.ranges.get(first).filter(|(s, _)| first < last && *s < start);
        let left = left.map(|(s, _)| (*s, start - 1));
        let right = last.checked_sub(1).and_then(|i| self.ranges.get(i));
        let right = right.filter(|(_, e)| first < last && *e > end).map(|(_, e)| (end + 1, *e));
        self.ranges.splice(first..last, left.into_iter().chain(right));
        Ok(())
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|(start, end)| *start..=*end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 1..60)
        ) {
            let mut set = RangeSet::new();
            let mut model = BTreeSet::new();
            for (add, start, len) in steps {
                let range = start..=start + len;
                if add {
                    set.insert(range.clone()).unwrap();
                    model.extend(range);
                } else {
                    set.remove(range.clone()).unwrap();
                    range.for_each(|number| { model.remove(&number); });
                }
                for number in 0..60 {
                    prop_assert_eq!(set.contains(number), model.contains(&number));
                }
                let ranges: std::vec::Vec<_> = set.iter().collect();
                prop_assert!(ranges.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
                prop_assert!(ranges.iter().all(|r| !r.is_empty()));
            }
        }
    }

    #[test]
    fn the_largest_number_can_be_added_and_removed() {
        let mut set = RangeSet::new();
        set.insert(0..=u64::MAX).unwrap();
        assert!(set.contains_all(5..=u64::MAX));
        set.remove(u64::MAX..=u64::MAX).unwrap();
        assert!(!set.contains(u64::MAX));
        assert!(set.contains(u64::MAX - 1));
    }
}
