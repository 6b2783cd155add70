//! Frames that wait at a port until somebody takes them.
//!
//! Bounded in number, and by what is left in the pool: while a guest posts too little, its port may
//! hold half as many frames as are still free, so that the others always find some. What waited too
//! long is thrown away. What is for everybody goes first, so that nobody who calls to all keeps those
//! from each other who talk to one.

use crate::frame::{FrameRef, Pool, SMALL};
use alloc::collections::VecDeque;

/// Most frames that wait at a port.
pub const MAX_WAITING: usize = 256;
/// How long a guest may post too little for the first frame that waits.
const STALL_NS: u64 = 1_000_000_000;

/// The frames at a port.
#[derive(Debug)]
pub struct Outbox {
    /// With whether they are for everybody.
    frames: VecDeque<(FrameRef, bool)>,
    /// How many of them are for everybody.
    for_all: usize,
    small: usize,
    large: usize,
    starved_since_ns: Option<u64>,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let frames = VecDeque::with_capacity(MAX_WAITING);
        Self { frames, for_all: 0, small: 0, large: 0, starved_since_ns: None }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frame that is next.
    #[must_use]
    pub fn first(&self) -> Option<&FrameRef> {
        self.frames.front().map(|(frame, _)| frame)
    }

    /// Adds a frame, or gives it back to the pool and returns false. What is for everybody gives way to
    /// what is for this port alone: it does not wait for a guest that posts too little.
    pub fn push(&mut self, frame: FrameRef, is_for_all: bool, pool: &Pool) -> bool {
        let len = frame.len();
        let is_starved = self.starved_since_ns.is_some();
        let is_full = self.frames.len() >= MAX_WAITING;
        let fits = match is_for_all {
            true => !is_starved && !is_full,
            false => {
                let has_room = !(is_full || is_starved && self.is_beyond_share(len, pool));
                has_room || (self.for_all > 0 && self.throw_last(pool))
            }
        };
        if !fits {
            pool.give(frame);
            return false;
        }
        *self.held_mut(len) += 1;
        self.for_all += usize::from(is_for_all);
        self.frames.push_back((frame, is_for_all));
        true
    }

    /// Frames that wait, of the size that `len` bytes need.
    #[must_use]
    pub const fn held(&self, len: usize) -> usize {
        if len > SMALL {
            self.large
        } else {
            self.small
        }
    }

    fn held_mut(&mut self, len: usize) -> &mut usize {
        if len > SMALL {
            &mut self.large
        } else {
            &mut self.small
        }
    }

    fn is_beyond_share(&self, len: usize, pool: &Pool) -> bool {
        2 * self.held(len) > pool.room(len).0
    }

    /// Takes the next frame; the port moves, so it is not starved.
    pub fn pop(&mut self) -> Option<FrameRef> {
        let (frame, is_for_all) = self.frames.pop_front()?;
        self.forget(frame.len(), is_for_all);
        self.starved_since_ns = None;
        Some(frame)
    }

    fn forget(&mut self, len: usize, is_for_all: bool) {
        let held = self.held_mut(len);
        *held = held.saturating_sub(1);
        self.for_all = self.for_all.saturating_sub(usize::from(is_for_all));
    }

    /// Throws away the last frame that is for everybody, or the last of all; false when there is none.
    fn throw_last(&mut self, pool: &Pool) -> bool {
        let for_all = match self.for_all {
            0 => None,
            _ => self.frames.iter().rposition(|(_, is_for_all)| *is_for_all),
        };
        let place = for_all.or(self.frames.len().checked_sub(1));
        let Some((frame, is_for_all)) = place.and_then(|place| self.frames.remove(place)) else {
            return false;
        };
        self.forget(frame.len(), is_for_all);
        pool.give(frame);
        true
    }

    /// Notes that the next frame cannot go now: throws away what is beyond the port's share, or
    /// everything when that has been so for too long. Returns how many frames were thrown away, and
    /// until when the others wait, if there are any.
    pub fn starve(&mut self, pool: &Pool, now_ns: u64) -> (usize, Option<u64>) {
        let since_ns = *self.starved_since_ns.get_or_insert(now_ns);
        let limit_ns = since_ns.saturating_add(STALL_NS);
        if now_ns >= limit_ns {
            return (self.clear(pool), None);
        }
        let mut thrown = 0;
        while self.frames.back().is_some_and(|(last, _)| self.is_beyond_share(last.len(), pool))
            && self.throw_last(pool)
        {
            thrown += 1;
        }
        if self.is_empty() {
            // Nothing waits that could be late: the next frame, for everybody or not, is a new beginning.
            self.starved_since_ns = None;
            return (thrown, None);
        }
        (thrown, Some(limit_ns))
    }

    /// Gives all frames back; returns how many.
    pub fn clear(&mut self, pool: &Pool) -> usize {
        let count = self.frames.len();
        while let Some(frame) = self.pop() {
            pool.give(frame);
        }
        self.starved_since_ns = None;
        count
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Outbox;
    use crate::frame::Pool;
    use std::vec::Vec;

    /// A port whose frames were all thrown away hears the next one, and does not lose it at once.
    #[test]
    fn a_port_that_lost_everything_begins_anew() {
        let pool = Pool::new(4, 1);
        let mut outbox = Outbox::new();
        for late_ns in [0, 5_000_000_000] {
            let taken: Vec<_> = (0..3).filter_map(|_| pool.take(60)).collect();
            let frame = pool.take(60).expect("the last one");
            assert!(outbox.push(frame, true, &pool));
            let (thrown, limit_ns) = outbox.starve(&pool, late_ns);
            assert_eq!((thrown, limit_ns, outbox.is_empty()), (1, None, true), "nobody has more");
            taken.into_iter().for_each(|frame| pool.give(frame));
        }
        let frame = pool.take(60).expect("all are free");
        assert!(outbox.push(frame, true, &pool), "what is for everybody is heard again");
        let (thrown, limit_ns) = outbox.starve(&pool, 9_000_000_000);
        assert_eq!((thrown, limit_ns), (0, Some(10_000_000_000)), "its time begins now");
        outbox.clear(&pool);
        assert!(pool.is_whole());
    }
}
