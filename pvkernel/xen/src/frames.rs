//! The frames of this machine or domain.
//!
//! A frame in use is owned by whoever allocated it; its memory is the page of the direct map.

use pvkernel_core::frames::FrameAllocator;
use pvkernel_core::sync::Lock;

use crate::layout::{direct_va, Pfn, PAGE};

static FRAMES: Lock<Option<FrameAllocator<'static>>> = Lock::new(None);

/// Frames of the bitmap for `count` frames.
pub(crate) const fn bitmap_frames(count: usize) -> usize {
    (FrameAllocator::words_for(count) * 8).div_ceil(PAGE as usize)
}

/// Makes an allocator of `count` frames, all in use at first; its bitmap lies in frames from `bitmap` on.
///
/// # Safety
/// The frames of the bitmap are unused, and mapped writable in the direct map.
pub(crate) unsafe fn init(bitmap: Pfn, count: usize) {
    let words = core::ptr::with_exposed_provenance_mut::<u64>(direct_va(bitmap) as usize);
    // SAFETY: passed on to the caller; any bits are words.
    let words = unsafe { core::slice::from_raw_parts_mut(words, FrameAllocator::words_for(count)) };
    *FRAMES.lock() = Some(FrameAllocator::new(words, count));
}

/// Takes a frame; its content is whatever it was.
pub fn alloc() -> Option<Pfn> {
    FRAMES.lock().as_mut()?.alloc().map(|frame| Pfn::new(frame as u64))
}

/// Takes `len` consecutive frames and returns the first.
pub fn alloc_run(len: usize) -> Option<Pfn> {
    FRAMES.lock().as_mut()?.alloc_run(len).map(|frame| Pfn::new(frame as u64))
}

/// Takes `len` consecutive frames, a power of two, aligned to their own size.
pub fn alloc_aligned_run(len: usize) -> Option<Pfn> {
    let first = FRAMES.lock().as_mut()?.alloc_aligned_run(len, len);
    first.map(|frame| Pfn::new(frame as u64))
}

/// Gives frames back that are mapped nowhere but in the direct map.
///
/// # Panics
/// If a frame is not in use: two owners believed to own it.
pub fn free(first: Pfn, len: usize) {
    let start = usize::try_from(first.get()).unwrap_or(usize::MAX);
    let result = FRAMES.lock().as_mut().map(|frames| frames.release(start, len));
    assert_eq!(result, Some(Ok(())), "frames {first}+{len} freed twice");
}

/// Frames that can be allocated.
#[must_use]
pub fn free_count() -> usize {
    FRAMES.lock().as_ref().map_or(0, FrameAllocator::free)
}
