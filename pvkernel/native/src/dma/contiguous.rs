//! Frames that are contiguous for devices: consecutive ones.

use pvkernel_core::platform::OutOfMemory;

use crate::frames;
use crate::layout::Pfn;

/// Takes `pages` frames, a power of two, that are consecutive for devices; returns the first and its
/// physical address. Their content is whatever it was.
///
/// # Errors
/// Without so many consecutive frames.
pub fn alloc(pages: usize) -> Result<(Pfn, u64), OutOfMemory> {
    let first = frames::alloc_aligned_run(pages).ok_or(OutOfMemory)?;
    Ok((first, first.paddr()))
}
