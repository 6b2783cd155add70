//! Frames that are contiguous for devices.

use pvkernel_core::platform::OutOfMemory;

use super::exchange;
use crate::layout::Pfn;
use crate::{frames, p2m};

/// What to do where there is too little memory for devices.
pub(crate) const MORE_MEMORY: &str = "give dom0 more with dom0_mem=";

/// Takes `pages` frames, a power of two, that are consecutive for devices; returns the first. Their content
/// is whatever it was.
///
/// # Errors
/// Without so many consecutive frames.
pub fn alloc(pages: usize) -> Result<Pfn, OutOfMemory> {
    let first = frames::alloc_aligned_run(pages).ok_or(OutOfMemory)?;
    // SAFETY: the frames were just allocated: nobody uses them.
    if unsafe { exchange::make_contiguous(first, pages) }.is_err() {
        frames::free(first, pages);
        return Err(OutOfMemory);
    }
    Ok(first)
}

/// Where a device finds a frame.
pub(super) fn device_address(pfn: Pfn) -> u64 {
    p2m::mfn(pfn).expect("frames in use have a machine frame").maddr()
}
