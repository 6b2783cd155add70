//! How the kernel heap grows.
//!
//! The heap itself (a buddy allocator) lives in the backend, because handing memory to an allocator
//! is unsafe. The decision how much to take from the frame allocator is here.

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

#[cfg(test)]
mod tests {
    use super::growth_frames;
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
}
