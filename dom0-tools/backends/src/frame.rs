//! Frames in dom0: memory for Ethernet frames, reserved once and used again and again.
//!
//! A frame is filled by whoever took it out of the pool, alone; from then on it is shared and only
//! read, since a broadcast waits at several ports at once. The last one that gives it back makes it
//! free again. There are two sizes, so that many small frames do not use up the memory of large ones.
//!
//! Holds always: the pool never allocates after `new`; a frame is free or with somebody, never both.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use pvkernel_core::device::net::FrameMeta;
use pvkernel_core::sync::Lock;

/// Bytes of a small frame: what a network with an MTU of 1500 carries.
pub const SMALL: usize = 2048;
/// Bytes of a large frame: the longest there is.
pub const LARGE: usize = 65536;

/// A frame.
#[derive(Debug)]
pub struct Frame {
    data: Vec<u8>,
    len: usize,
    meta: FrameMeta,
}

/// A frame that somebody has.
pub type FrameRef = Arc<Frame>;

impl Frame {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.data.get(..self.len).unwrap_or(&[])
    }

    /// The bytes, to be filled.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(..self.len).unwrap_or(&mut [])
    }

    /// How many bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is known about them.
    #[must_use]
    pub const fn meta(&self) -> FrameMeta {
        self.meta
    }

    /// Says what is known about them.
    pub fn set_meta(&mut self, meta: FrameMeta) {
        self.meta = meta;
    }
}

/// What is free.
#[derive(Debug)]
struct Free {
    small: Vec<FrameRef>,
    large: Vec<FrameRef>,
}

impl Free {
    fn list(&mut self, capacity: usize) -> &mut Vec<FrameRef> {
        if capacity > SMALL {
            &mut self.large
        } else {
            &mut self.small
        }
    }
}

/// All frames of dom0.
pub struct Pool {
    free: Lock<Free>,
    small: usize,
    large: usize,
}

impl Pool {
    /// Reserves memory for that many frames of each size.
    #[must_use]
    pub fn new(small: usize, large: usize) -> Self {
        let frames = |count, bytes| {
            let frame = || Frame { data: vec![0; bytes], len: 0, meta: FrameMeta::default() };
            let mut list = Vec::with_capacity(count);
            list.extend((0..count).map(|_| Arc::new(frame())));
            list
        };
        let free = Free { small: frames(small, SMALL), large: frames(large, LARGE) };
        Self { free: Lock::new(free), small, large }
    }

    /// A frame of `len` bytes, whose contents are old; none when there is none left or it is longer
    /// than any.
    pub fn take(&self, len: usize) -> Option<FrameRef> {
        if len > LARGE {
            return None;
        }
        let mut frame = self.free.lock().list(len).pop()?;
        // Free frames have one owner, the list, so this succeeds.
        let inner = Arc::get_mut(&mut frame)?;
        inner.len = len;
        inner.meta = FrameMeta::default();
        Some(frame)
    }

    /// Takes a frame back from one of those that have it.
    pub fn give(&self, mut frame: FrameRef) {
        let Some(inner) = Arc::get_mut(&mut frame) else { return };
        let capacity = inner.data.len();
        let mut free = self.free.lock();
        free.list(capacity).push(frame);
    }

    /// Free frames of the size that `len` bytes need, and how many there are in all.
    #[must_use]
    pub fn room(&self, len: usize) -> (usize, usize) {
        let all = if len > SMALL { self.large } else { self.small };
        (self.free.lock().list(len).len(), all)
    }

    /// Whether every frame is free.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let free = self.free.lock();
        (free.small.len(), free.large.len()) == (self.small, self.large)
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameRef, Pool, LARGE, SMALL};
    use alloc::sync::Arc;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize),
        Share(usize),
        Give(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..=LARGE + 1).prop_map(Step::Take),
            (0..=SMALL).prop_map(Step::Take),
            any::<usize>().prop_map(Step::Share),
            any::<usize>().prop_map(Step::Give),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn frames_come_back_and_are_never_with_two_that_fill_them(steps in steps()) {
            let pool = Pool::new(3, 2);
            let mut held: Vec<FrameRef> = Vec::new();
            for step in steps {
                let distinct = |large: bool| {
                    let mut all: Vec<*const u8> = held.iter()
                        .filter(|f| (f.data.len() == LARGE) == large)
                        .map(|f| f.data.as_ptr()).collect();
                    all.sort_unstable();
                    all.dedup();
                    all.len()
                };
                match step {
                    Step::Take(len) => {
                        let large = len > SMALL;
                        let is_left = distinct(large) < if large { 2 } else { 3 };
                        match pool.take(len) {
                            Some(mut frame) => {
                                prop_assert!(is_left && len <= LARGE);
                                let mine = Arc::get_mut(&mut frame).expect("nobody else has it");
                                mine.bytes_mut().fill(7);
                                prop_assert_eq!(mine.len(), len);
                                held.push(frame);
                            }
                            None => prop_assert!(!is_left || len > LARGE),
                        }
                    }
                    Step::Share(at) if !held.is_empty() => {
                        let copy = Arc::clone(&held[at % held.len()]);
                        held.push(copy);
                    }
                    Step::Give(at) if !held.is_empty() => {
                        let at = at % held.len();
                        pool.give(held.swap_remove(at));
                    }
                    Step::Share(_) | Step::Give(_) => {}
                }
            }
            held.into_iter().for_each(|frame| pool.give(frame));
            prop_assert!(pool.is_whole());
        }
    }
}
