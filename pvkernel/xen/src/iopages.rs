//! Memory for transfers: consecutive frames of ours, in the direct map.

use alloc::boxed::Box;
use core::any::Any;

use hypercall_abi::{Pfn, PAGE_SIZE};
use pvkernel_core::device::block::{IoBuffer, IoMemory};
use pvkernel_core::platform::OutOfMemory;

use crate::{frames, layout};

/// Frames that belong to the value; they become free when it is dropped.
pub struct IoPages {
    first: Pfn,
    pages: usize,
}

impl IoPages {
    /// At least `bytes` bytes of whole pages; a page source for disks in memory. What they contain is
    /// whatever it was.
    ///
    /// # Errors
    /// Without so many consecutive frames.
    pub fn source(bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        let pages = bytes.div_ceil(PAGE_SIZE).max(1);
        let first = frames::alloc_run(pages).ok_or(OutOfMemory)?;
        Ok(Box::new(Self { first, pages }))
    }

    /// The first frame; the others follow it.
    #[must_use]
    pub const fn first(&self) -> Pfn {
        self.first
    }
}

impl IoMemory for IoPages {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are this value's alone until it is dropped, and nobody else can write
        // them.
        unsafe { frame_bytes(self.first, self.pages) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the borrow of the value makes this the only reference.
        unsafe { frame_bytes_mut(self.first, self.pages) }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for IoPages {
    fn drop(&mut self) {
        frames::free(self.first, self.pages);
    }
}

/// The memory of frames.
///
/// # Safety
/// The frames are the caller's for `'a`, and nobody writes them meanwhile.
pub(crate) unsafe fn frame_bytes<'a>(first: Pfn, pages: usize) -> &'a [u8] {
    let start = core::ptr::with_exposed_provenance(layout::direct_va(first) as usize);
    // SAFETY: the direct map holds every frame of ours for ever; the rest is the caller's promise.
    unsafe { core::slice::from_raw_parts(start, pages * PAGE_SIZE) }
}

/// The memory of frames, to be changed.
///
/// # Safety
/// The frames are the caller's alone for `'a`, and nobody else reads or writes them meanwhile.
pub(crate) unsafe fn frame_bytes_mut<'a>(first: Pfn, pages: usize) -> &'a mut [u8] {
    let start = core::ptr::with_exposed_provenance_mut(layout::direct_va(first) as usize);
    // SAFETY: as in `frame_bytes`.
    unsafe { core::slice::from_raw_parts_mut(start, pages * PAGE_SIZE) }
}
