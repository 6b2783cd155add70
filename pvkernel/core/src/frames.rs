//! The allocator of pseudo-physical frames.
//!
//! One bit per frame in storage that the caller provides (the heap is built on frames, so the
//! allocator cannot use the heap). Frames are plain numbers here; what is mapped where is the
//! backend's business. A set bit is a frame in use.
//!
//! Invariant: `free` equals the number of clear bits below `count`.

/// Why frames could not be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// The range reaches beyond the managed frames.
    OutOfRange,
    /// A frame of the range is already free.
    NotInUse,
}

/// A bitmap of frames.
#[derive(Debug)]
pub struct FrameAllocator<'a> {
    used: &'a mut [u64],
    count: usize,
    free: usize,
    /// No frame below this one is free.
    first_free: usize,
}

impl<'a> FrameAllocator<'a> {
    /// Words of storage needed for `count` frames.
    #[must_use]
    pub const fn words_for(count: usize) -> usize {
        count.div_ceil(64)
    }

    /// An allocator of frames `0..count`, all in use; frames become available by `release`.
    ///
    /// # Panics
    /// If the storage is too small.
    #[must_use]
    pub fn new(storage: &'a mut [u64], count: usize) -> Self {
        assert!(storage.len() >= Self::words_for(count), "frame bitmap too small");
        storage.fill(u64::MAX);
        Self { used: storage, count, free: 0, first_free: count }
    }

    /// Frames managed.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Frames that can be allocated.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.free
    }

    /// Whether `frame` is in use; frames that are not managed count as in use.
    #[must_use]
    pub fn is_used(&self, frame: usize) -> bool {
        match self.used.get(frame / 64) {
            Some(word) if frame < self.count => word & bit(frame) != 0,
            _ => true,
        }
    }

    /// Takes one frame: the lowest.
    pub fn alloc(&mut self) -> Option<usize> {
        let words = self.used.iter().enumerate().skip(self.first_free / 64);
        let (index, word) = words.into_iter().find(|(_, word)| **word != u64::MAX)?;
        let frame = index * 64 + word.trailing_ones() as usize;
        if frame >= self.count {
            return None;
        }
        self.used[index] |= bit(frame);
        self.free -= 1;
        self.first_free = frame + 1;
        Some(frame)
    }

    /// Takes `len` consecutive frames: the lowest that fit.
    pub fn alloc_run(&mut self, len: usize) -> Option<usize> {
        self.alloc_aligned_run(len, 1)
    }

    /// Takes `len` consecutive frames whose first is a multiple of `align`: the lowest that fit.
    pub fn alloc_aligned_run(&mut self, len: usize, align: usize) -> Option<usize> {
        if len == 0 || len > self.free {
            return None;
        }
        let start = self.find_run(len, align.max(1))?;
        for frame in start..start + len {
            self.used[frame / 64] |= bit(frame);
        }
        self.free -= len;
        if start == self.first_free {
            self.first_free = start + len;
        }
        Some(start)
    }

    fn find_run(&self, len: usize, align: usize) -> Option<usize> {
        let mut start = self.first_free.next_multiple_of(align);
        let mut frame = start;
        while frame < self.count {
            if align == 1 && frame.is_multiple_of(64) && self.used[frame / 64] == u64::MAX {
                frame += 64;
                start = frame;
            } else if self.is_used(frame) {
                frame = (frame + 1).next_multiple_of(align);
                start = frame;
            } else {
                frame += 1;
                if frame - start == len {
                    return Some(start);
                }
            }
        }
        None
    }

    /// Gives `len` frames back.
    ///
    /// # Errors
    /// Nothing is changed when the range is out of bounds or contains a free frame.
    pub fn release(&mut self, start: usize, len: usize) -> Result<(), FreeError> {
        let end = start.checked_add(len).filter(|end| *end <= self.count);
        let end = end.ok_or(FreeError::OutOfRange)?;
        if (start..end).any(|frame| !self.is_used(frame)) {
            return Err(FreeError::NotInUse);
        }
        for frame in start..end {
            self.used[frame / 64] &= !bit(frame);
        }
        self.free += len;
        self.first_free = self.first_free.min(start);
        Ok(())
    }
}

const fn bit(frame: usize) -> u64 {
    1 << (frame % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_is_the_lowest_as_a_run_of_one_is() {
        let (mut one, mut other) = ([0; 3], [0; 3]);
        let mut frames = FrameAllocator::new(&mut one, 150);
        let mut model = FrameAllocator::new(&mut other, 150);
        for (start, len) in [(2, 3), (60, 10), (128, 1), (140, 10)] {
            frames.release(start, len).unwrap();
            model.release(start, len).unwrap();
        }
        for round in 0..30 {
            assert_eq!(frames.alloc(), model.alloc_run(1));
            if round % 3 == 0 {
                let freed = [3, 61, 128, 149][round % 4];
                assert_eq!(frames.release(freed, 1), model.release(freed, 1));
            }
            assert_eq!(frames.free(), model.free());
        }
        while model.alloc_run(1).is_some() {
            assert!(frames.alloc().is_some());
        }
        assert_eq!((frames.alloc(), frames.free()), (None, 0));
    }

    #[test]
    fn an_aligned_run_starts_at_a_multiple() {
        let mut storage = [0; 2];
        let mut frames = FrameAllocator::new(&mut storage, 128);
        frames.release(3, 120).unwrap();
        assert_eq!(frames.alloc_aligned_run(16, 16), Some(16));
        assert_eq!(frames.alloc_aligned_run(8, 8), Some(8));
        assert_eq!(frames.alloc_run(5), Some(3));
        assert_eq!(frames.alloc_aligned_run(128, 128), None);
        assert_eq!(frames.free(), 120 - 29);
    }

    use alloc::collections::BTreeSet;
    use alloc::vec;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Alloc(usize),
        Release(usize, usize),
    }

    fn ops() -> impl Strategy<Value = alloc::vec::Vec<Op>> {
        let op = prop_oneof![
            (0usize..9).prop_map(Op::Alloc),
            (0usize..140, 0usize..9).prop_map(|(start, len)| Op::Release(start, len)),
        ];
        proptest::collection::vec(op, 0..80)
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_free_frames(count in 1usize..140, ops in ops()) {
            let mut storage = vec![0; FrameAllocator::words_for(count)];
            let mut frames = FrameAllocator::new(&mut storage, count);
            let mut model: BTreeSet<usize> = BTreeSet::new();
            for op in ops {
                match op {
                    Op::Alloc(len) => {
                        let fits = |start: &usize| (*start..*start + len).all(|f| model.contains(&f));
                        let expected = (0..count).find(|s| len > 0 && fits(s));
                        prop_assert_eq!(frames.alloc_run(len), expected);
                        if let Some(start) = expected {
                            model.retain(|f| !(start..start + len).contains(f));
                        }
                    }
                    Op::Release(start, len) => {
                        let expected = if start + len > count {
                            Err(FreeError::OutOfRange)
                        } else if (start..start + len).any(|f| model.contains(&f)) {
                            Err(FreeError::NotInUse)
                        } else {
                            model.extend(start..start + len);
                            Ok(())
                        };
                        prop_assert_eq!(frames.release(start, len), expected);
                    }
                }
                prop_assert_eq!(frames.free(), model.len());
                prop_assert!((0..count).all(|f| frames.is_used(f) != model.contains(&f)));
            }
        }
    }
}
