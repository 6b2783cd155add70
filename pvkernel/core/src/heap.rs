//! How the kernel heap grows, and which free blocks it keeps at hand.
//!
//! The heap itself (a buddy allocator) lives in the backend, because handing memory to an allocator
//! is unsafe. The decision how much to take from the frame allocator is here, and so is `Kept`: a buddy
//! allocator looks through a whole list of free blocks when one is freed, so the longer a system has
//! run, the longer it takes. Blocks of the sizes that come and go with every request do not go back.

use core::alloc::Layout;

/// Bytes in a page.
const PAGE_SIZE: usize = 4096;

/// Frames the heap takes at least when it grows, so that growing is rare.
pub const MIN_GROWTH_FRAMES: usize = 64;

/// Number of frames to add to the heap for a request that did not fit, or `None` when that cannot
/// help. A buddy allocator rounds requests up to a power of two, and so does this.
#[must_use]
pub fn growth_frames(request_bytes: usize, free_frames: usize) -> Option<usize> {
    let needed = request_bytes.checked_next_power_of_two()?.div_ceil(PAGE_SIZE).max(1);
    if needed > free_frames {
        return None;
    }
    // Prefer a chunk that serves further requests, but never take more than an eighth of what is
    // left for mere comfort.
    let comfortable = MIN_GROWTH_FRAMES.min(free_frames / 8).max(1);
    Some(needed.max(prev_power_of_two(comfortable)))
}

fn prev_power_of_two(value: usize) -> usize {
    1 << (usize::BITS - 1 - value.leading_zeros())
}

/// The smallest block, as a power of two.
const LEAST_ORDER: u32 = 3;
/// Sizes of blocks that are kept: 8 bytes to 4 KiB.
const CLASSES: usize = 10;
/// Blocks of each size that are kept.
const DEPTH: usize = 32;

/// A size of blocks that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(usize);

impl Class {
    /// The class of the blocks that serve such a request; `None` when such blocks are not kept.
    #[must_use]
    pub const fn of(layout: Layout) -> Option<Self> {
        let least = if layout.size() > layout.align() { layout.size() } else { layout.align() };
        if least > 1 << (LEAST_ORDER as usize + CLASSES - 1) {
            return None;
        }
        let order = least.next_power_of_two().trailing_zeros();
        Some(Self(order.saturating_sub(LEAST_ORDER) as usize))
    }

    /// Bytes of a block; it is aligned to as many.
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << (self.0 + LEAST_ORDER as usize)
    }
}

/// Free blocks by size, at most so many of each, as addresses.
#[derive(Debug)]
pub struct Kept {
    blocks: [[usize; DEPTH]; CLASSES],
    counts: [usize; CLASSES],
}

impl Kept {
    /// No blocks.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: [[0; DEPTH]; CLASSES], counts: [0; CLASSES] }
    }

    /// Takes the block that was kept last.
    pub fn take(&mut self, class: Class) -> Option<usize> {
        let count = self.counts[class.0].checked_sub(1)?;
        self.counts[class.0] = count;
        self.blocks[class.0].get(count).copied()
    }

    /// Keeps a block; false when there are enough.
    #[must_use]
    pub fn put(&mut self, class: Class, address: usize) -> bool {
        let count = &mut self.counts[class.0];
        let Some(place) = self.blocks[class.0].get_mut(*count) else { return false };
        *place = address;
        *count += 1;
        true
    }

    /// Takes any block.
    pub fn take_any(&mut self) -> Option<(Class, usize)> {
        let class = Class(self.counts.iter().position(|count| *count > 0)?);
        self.take(class).map(|address| (class, address))
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn growth_serves_the_request_and_fits(
            request in 0usize..1 << 24,
            free in 0usize..1 << 14,
        ) {
            match growth_frames(request, free) {
                Some(frames) => {
                    prop_assert!(frames <= free);
                    prop_assert!(frames.is_power_of_two());
                    prop_assert!(frames * 4096 >= request);
                }
                None => prop_assert!(request.next_power_of_two().div_ceil(4096).max(1) > free),
            }
        }

        #[test]
        fn absurd_requests_are_refused(request in (usize::MAX / 2 + 2)..usize::MAX) {
            prop_assert_eq!(growth_frames(request, 1 << 20), None);
        }
    }

    proptest! {
        #[test]
        fn a_class_serves_what_it_is_for(size in 0usize..5000, shift in 0u32..14) {
            let layout = Layout::from_size_align(size, 1 << shift).expect("small");
            match Class::of(layout) {
                Some(class) => {
                    prop_assert!(class.bytes() >= layout.size() && class.bytes() >= layout.align());
                    let half = class.bytes() / 2;
                    prop_assert!(half < 8 || half < layout.size() || half < layout.align());
                }
                None => prop_assert!(size > 4096 || shift > 12),
            }
        }

        #[test]
        fn every_block_is_kept_once_and_comes_back_last_first(
            ops in proptest::collection::vec((0usize..CLASSES, any::<bool>()), 0..400),
        ) {
            let mut kept = Kept::new();
            let mut model: [Vec<usize>; CLASSES] = Default::default();
            for (address, (class, is_put)) in ops.into_iter().enumerate() {
                let list = &mut model[class];
                if is_put {
                    prop_assert_eq!(kept.put(Class(class), address), list.len() < DEPTH);
                    if list.len() < DEPTH {
                        list.push(address);
                    }
                } else {
                    prop_assert_eq!(kept.take(Class(class)), list.pop());
                }
            }
            while let Some((class, address)) = kept.take_any() {
                prop_assert_eq!(model[class.0].pop(), Some(address));
            }
            prop_assert!(model.iter().all(Vec::is_empty));
        }
    }
}
