//! A set of numbers kept as ranges: the device frames, ports and interrupts a domain may use.
//!
//! Invariant: ranges are sorted, not empty, and neither overlap nor touch. Look-up is a binary
//! search; changes are made by a privileged toolstack only, so their cost is not a guest's to
//! choose.

use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};
use hypercall_abi::Errno;

/// First and last number of a range.
type Span = (u64, u64);

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Span>,
}

impl RangeSet {
    /// Whether nothing is in the set.
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
    /// `ENOMEM`; the set is as before.
    pub fn insert(&mut self, added: RangeInclusive<u64>) -> Result<(), Errno> {
        if added.is_empty() {
            return Ok(());
        }
        self.ranges.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (start, end) = added.into_inner();
        // Ranges that touch the new one become part of it, too.
        let (at, first, last) = self.overlapping(start.saturating_sub(1), end.saturating_add(1));
        let start = first.map_or(start, |(s, _)| start.min(s));
        let end = last.map_or(end, |(_, e)| end.max(e));
        self.ranges.splice(at, [(start, end)]);
        Ok(())
    }

    /// Takes a range out.
    ///
    /// # Errors
    /// `ENOMEM`; the set is as before.
    pub fn remove(&mut self, removed: RangeInclusive<u64>) -> Result<(), Errno> {
        if removed.is_empty() {
            return Ok(());
        }
        self.ranges.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (start, end) = removed.into_inner();
        let (at, first, last) = self.overlapping(start, end);
        let left = first.filter(|(s, _)| *s < start).map(|(s, _)| (s, start - 1));
        let right = last.filter(|(_, e)| *e > end).map(|(_, e)| (end + 1, e));
        self.ranges.splice(at, left.into_iter().chain(right));
        Ok(())
    }

    /// Where the ranges are that have a number in common with `start..=end`, and the first and the
    /// last of them.
    fn overlapping(&self, start: u64, end: u64) -> (Range<usize>, Option<Span>, Option<Span>) {
        let from = self.ranges.partition_point(|(_, e)| *e < start);
        let to = self.ranges.partition_point(|(s, _)| *s <= end);
        let found = self.ranges.get(from..to).unwrap_or_default();
        (from..to, found.first().copied(), found.last().copied())
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
            let mut set = RangeSet::default();
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
                prop_assert!(set.ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0));
                prop_assert!(set.ranges.iter().all(|(start, end)| start <= end));
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn the_largest_number_can_be_added_and_removed() {
        let mut set = RangeSet::default();
        set.insert(0..=u64::MAX).unwrap();
        assert!(set.contains_all(5..=u64::MAX));
        set.remove(u64::MAX..=u64::MAX).unwrap();
        assert!(!set.contains(u64::MAX));
        assert!(set.contains(u64::MAX - 1));
    }
}
