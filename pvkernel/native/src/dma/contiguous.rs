//! Frames that are contiguous for devices.

use pvkernel_core::platform::OutOfMemory;

use crate::frames;
use crate::layout::Pfn;

/// What to do where there is too little memory for devices.
pub(crate) const MORE_MEMORY: &str = "give the machine more with --mem";

/// Takes `pages` frames, a power of two, that are consecutive for devices; returns the first. Their content
/// is whatever it was.
///
/// # Errors
/// Without so many consecutive frames.
pub fn alloc(pages: usize) -> Result<Pfn, OutOfMemory> {
    let first = frames::alloc_aligned_run(pages).ok_or(OutOfMemory)?;
    Ok(first)
}

/// Where a device finds a frame.
pub(super) fn device_address(pfn: Pfn) -> u64 {
    pfn.paddr()
}
