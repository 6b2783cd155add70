//! Deadlines in order.
//!
//! A `TimerQueue` is a set of (deadline, key) pairs. The scheduler keeps sleeping threads in one.
//! It does not read a clock and does not arm a timer: the caller passes the time and asks for the
//! next deadline.

use alloc::collections::BTreeSet;

/// Keys ordered by deadline, and by key among equal deadlines.
#[derive(Debug, Default)]
pub struct TimerQueue<K: Ord + Copy> {
    entries: BTreeSet<(u64, K)>,
}

impl<K: Ord + Copy> TimerQueue<K> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: BTreeSet::new() }
    }

    /// Adds `key`; a key may wait for several deadlines.
    pub fn insert(&mut self, deadline_ns: u64, key: K) {
        self.entries.insert((deadline_ns, key));
    }

    /// Removes one entry; says whether it was there.
    pub fn remove(&mut self, deadline_ns: u64, key: K) -> bool {
        self.entries.remove(&(deadline_ns, key))
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.entries.first().map(|(deadline, _)| *deadline)
    }

    /// Removes and returns the earliest entry whose deadline is not after `now_ns`.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<(u64, K)> {
        let first = *self.entries.first()?;
        if first.0 > now_ns {
            return None;
        }
        self.entries.remove(&first);
        Some(first)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::TimerQueue;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn due_entries_come_in_order_and_none_is_early(
            entries in proptest::collection::vec((0u64..100, 0u32..8), 0..40),
            now in 0u64..100,
        ) {
            let mut queue = TimerQueue::new();
            let mut model: Vec<(u64, u32)> = entries.clone();
            for (deadline, key) in entries {
                queue.insert(deadline, key);
            }
            model.sort_unstable();
            model.dedup();
            let due: Vec<_> = core::iter::from_fn(|| queue.pop_due(now)).collect();
            let (expected, rest): (Vec<_>, Vec<_>) = model.into_iter().partition(|e| e.0 <= now);
            prop_assert_eq!(due, expected);
            prop_assert_eq!(queue.len(), rest.len());
            prop_assert_eq!(queue.next_deadline_ns(), rest.first().map(|e| e.0));
        }
    }
}
