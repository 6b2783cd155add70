//! Deadlines in order.
//!
//! A `TimerQueue` is a set of (deadline, key) pairs. The scheduler keeps sleeping threads in one.
//! It does not read a clock and does not arm a timer: the caller passes the time and asks for the
//! next deadline.

use alloc::vec::Vec;

/// Entries for which there is room from the beginning.
const ROOM: usize = 32;

/// Keys ordered by deadline, and by key among equal deadlines. A list, the next one last: there are
/// few, and those that come and go most are near the end.
#[derive(Debug, Default)]
pub struct TimerQueue<K: Ord + Copy> {
    entries: Vec<(u64, K)>,
}

impl<K: Ord + Copy> TimerQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Vec::with_capacity(ROOM) }
    }

    /// Where an entry is, or where it belongs.
    fn find(&self, entry: (u64, K)) -> Result<usize, usize> {
        let behind = self.entries.iter().rev().take_while(|other| **other < entry).count();
        let at = self.entries.len() - behind;
        match at.checked_sub(1) {
            Some(before) if self.entries.get(before) == Some(&entry) => Ok(before),
            _ => Err(at),
        }
    }

    /// Adds `key`; a key may wait for several deadlines.
    pub fn insert(&mut self, deadline_ns: u64, key: K) {
        if let Err(at) = self.find((deadline_ns, key)) {
            self.entries.insert(at, (deadline_ns, key));
        }
    }

    /// Removes one entry; says whether it was there.
    pub fn remove(&mut self, deadline_ns: u64, key: K) -> bool {
        let found = self.find((deadline_ns, key));
        found.map(|at| self.entries.remove(at)).is_ok()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.entries.last().map(|(deadline, _)| *deadline)
    }

    /// Removes and returns the earliest entry whose deadline is not after `now_ns`.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<(u64, K)> {
        self.entries.pop_if(|(deadline, _)| *deadline <= now_ns)
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
            for (at, (deadline, key)) in rest.iter().enumerate() {
                prop_assert!(!queue.remove(*deadline, key + 8), "not there");
                prop_assert!(queue.remove(*deadline, *key));
                prop_assert_eq!(queue.len(), rest.len() - at - 1);
            }
        }
    }
}
