//! Timer queue of one CPU: keys with absolute deadlines, earliest first.
//!
//! The image keeps one [`TimerQueue`] per CPU for the timers of vCPUs, poll timeouts and its own
//! periodic work, and programs the hardware for [`TimerQueue::next_deadline`].
//!
//! Why a sorted array and not a heap: a vCPU has a timer or two armed, so a CPU has tens of entries,
//! a few hundred at most. What is armed mostly expires soon and goes near the end, and to find a key
//! is one pass over adjacent words. A heap would need a second table for that. All memory is taken
//! by [`TimerQueue::reserve`].
//!
//! Invariants: `armed` is sorted by deadline, the earliest last, ties in no particular order; a key
//! is in it at most once; it has memory for `room` entries and never holds more.
//!
//! Not here: clocks, hardware, and what an expiry means.

use alloc::vec::Vec;

/// As many timers are armed as room was reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// Timers of one CPU.
#[derive(Debug)]
pub struct TimerQueue<K> {
    armed: Vec<(u64, K)>,
    room: usize,
}

impl<K> Default for TimerQueue<K> {
    /// An empty queue without room.
    fn default() -> Self {
        Self { armed: Vec::new(), room: 0 }
    }
}

impl<K: Copy + PartialEq> TimerQueue<K> {
    /// Makes room for as many timers as are ever armed at the same time; never takes room away.
    ///
    /// # Errors
    /// `NoRoom` if memory is exhausted; the queue is as before.
    pub fn reserve(&mut self, room: usize) -> Result<(), NoRoom> {
        let more = room.saturating_sub(self.armed.len());
        self.armed.try_reserve_exact(more).map_err(|_| NoRoom)?;
        self.room = self.room.max(room);
        Ok(())
    }

    /// Arms a timer, or moves it if it is armed.
    ///
    /// # Errors
    /// `NoRoom` if all room is taken by others.
    pub fn arm(&mut self, key: K, deadline_ns: u64) -> Result<(), NoRoom> {
        let mut at = match self.position(key) {
            Some(at) => {
                self.armed[at].0 = deadline_ns;
                at
            }
            None if self.armed.len() < self.room => {
                self.armed.push((deadline_ns, key));
                self.armed.len() - 1
            }
            None => return Err(NoRoom),
        };
        // A new timer, or one that is put off a little, is near its place.
        while at > 0 && self.armed[at - 1].0 < deadline_ns {
            self.armed.swap(at - 1, at);
            at -= 1;
        }
        while at + 1 < self.armed.len() && self.armed[at + 1].0 > deadline_ns {
            self.armed.swap(at, at + 1);
            at += 1;
        }
        Ok(())
    }

    fn position(&self, key: K) -> Option<usize> {
        self.armed.iter().position(|(_, armed)| *armed == key)
    }

    /// Disarms a timer and returns the deadline it had.
    pub fn cancel(&mut self, key: K) -> Option<u64> {
        for at in self.position(key)? + 1..self.armed.len() {
            self.armed.swap(at - 1, at);
        }
        self.armed.pop().map(|(deadline_ns, _)| deadline_ns)
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.armed.last().map(|(deadline_ns, _)| *deadline_ns)
    }

    /// Takes out one timer whose deadline is not after `now_ns`, earliest first.
    pub fn pop_expired(&mut self, now_ns: u64) -> Option<(K, u64)> {
        let (deadline_ns, key) = self.armed.pop_if(|(deadline_ns, _)| *deadline_ns <= now_ns)?;
        Some((key, deadline_ns))
    }
}
