//! Timer queue of one CPU: keys with absolute deadlines, earliest first.
//!
//! The image keeps one [`TimerQueue`] per CPU for the timers of vCPUs, poll timeouts and its own
//! periodic work, and programs the hardware for [`TimerQueue::next_deadline`]. A key is a small
//! number of the image's making, so the queue finds a key's entry without a search: arming,
//! moving and cancelling are logarithmic. All memory is taken by [`TimerQueue::reserve`].
//!
//! Invariants: `heap` is a binary heap by deadline, ties in no particular order; `places[k]` is the
//! heap index of key `k` plus one, or zero; a key is in the queue at most once.
//!
//! Not here: clocks, hardware, and what an expiry means.

use alloc::vec::Vec;

/// A key of a [`TimerQueue`]. Keys with the same index are the same timer.
pub trait TimerKey: Copy {
    /// A small number, below what was passed to [`TimerQueue::reserve`].
    fn index(self) -> usize;
}

/// The queue was not given room for this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

#[derive(Clone, Copy, Debug)]
struct Armed<K> {
    deadline_ns: u64,
    key: K,
}

/// Timers of one CPU.
#[derive(Debug)]
pub struct TimerQueue<K> {
    heap: Vec<Armed<K>>,
    places: Vec<u32>,
}

impl<K> Default for TimerQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> TimerQueue<K> {
    /// An empty queue without room.
    #[must_use]
    pub const fn new() -> Self {
        Self { heap: Vec::new(), places: Vec::new() }
    }

    /// Number of armed timers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The earliest deadline.
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|armed| armed.deadline_ns)
    }
}

impl<K: TimerKey> TimerQueue<K> {
    /// Makes room for keys with indices below `keys`; never takes room away.
    ///
    /// # Errors
    /// `NoRoom` if memory is exhausted; the queue is as before.
    pub fn reserve(&mut self, keys: usize) -> Result<(), NoRoom> {
        let Some(missing) = keys.checked_sub(self.places.len()) else { return Ok(()) };
        if u32::try_from(keys).is_err() {
            return Err(NoRoom);
        }
        self.heap.try_reserve_exact(keys - self.heap.len()).map_err(|_| NoRoom)?;
        self.places.try_reserve_exact(missing).map_err(|_| NoRoom)?;
        self.places.resize(keys, 0);
        Ok(())
    }

    /// Arms a timer, or moves it if it is armed.
    ///
    /// # Errors
    /// `NoRoom` if the key is beyond what was reserved.
    pub fn arm(&mut self, key: K, deadline_ns: u64) -> Result<(), NoRoom> {
        let place = *self.places.get(key.index()).ok_or(NoRoom)?;
        let armed = Armed { deadline_ns, key };
        let at = match (place as usize).checked_sub(1) {
            Some(at) => at,
            None => {
                self.heap.push(armed);
                self.heap.len() - 1
            }
        };
        // The key too: what it carries beside its index may differ from last time.
        if let Some(slot) = self.heap.get_mut(at) {
            *slot = armed;
        }
        self.settle(at);
        Ok(())
    }

    /// Disarms a timer and returns the deadline it had.
    pub fn cancel(&mut self, key: K) -> Option<u64> {
        let at = self.place_of(key)?;
        Some(self.remove_at(at)?.deadline_ns)
    }

    /// The deadline of a timer if it is armed.
    #[must_use]
    pub fn deadline(&self, key: K) -> Option<u64> {
        self.heap.get(self.place_of(key)?).map(|armed| armed.deadline_ns)
    }

    /// Takes out one timer whose deadline is not after `now_ns`, earliest first.
    pub fn pop_expired(&mut self, now_ns: u64) -> Option<(K, u64)> {
        if self.next_deadline()? > now_ns {
            return None;
        }
        self.remove_at(0).map(|armed| (armed.key, armed.deadline_ns))
    }

    fn place_of(&self, key: K) -> Option<usize> {
        (*self.places.get(key.index())? as usize).checked_sub(1)
    }

    fn remove_at(&mut self, at: usize) -> Option<Armed<K>> {
        if at >= self.heap.len() {
            return None;
        }
        let removed = self.heap.swap_remove(at);
        self.set_place(removed.key, 0);
        if at < self.heap.len() {
            self.settle(at);
        }
        Some(removed)
    }

    /// Restores the heap around one changed entry and records its place.
    fn settle(&mut self, at: usize) {
        let at = self.rise(at);
        self.sink(at);
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.deadline_at(parent) <= self.deadline_at(at) {
                break;
            }
            self.swap(parent, at);
            at = parent;
        }
        self.record(at);
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let right = left + 1;
            let child = if self.deadline_at(right) < self.deadline_at(left) { right } else { left };
            if self.deadline_at(child) >= self.deadline_at(at) {
                break;
            }
            self.swap(child, at);
            at = child;
        }
    }

    /// The deadline at a heap index; an index behind the end counts as never.
    fn deadline_at(&self, at: usize) -> u64 {
        self.heap.get(at).map_or(u64::MAX, |armed| armed.deadline_ns)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.record(a);
        self.record(b);
    }

    fn record(&mut self, at: usize) {
        if let Some(key) = self.heap.get(at).map(|armed| armed.key) {
            self.set_place(key, at as u32 + 1);
        }
    }

    fn set_place(&mut self, key: K, place: u32) {
        if let Some(slot) = self.places.get_mut(key.index()) {
            *slot = place;
        }
    }
}
