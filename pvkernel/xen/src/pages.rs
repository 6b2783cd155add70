//! Whole frames as memory for transfers, where no device needs to reach them: the contents of RAM disks.

use alloc::boxed::Box;
use core::any::Any;
use core::ptr::NonNull;

use pvkernel_core::device::block::{IoBuffer, IoMemory};
use pvkernel_core::platform::OutOfMemory;

use crate::frames;
use crate::layout::{direct_va, Pfn, PAGE};

/// Consecutive frames of ours; they are free again when it is dropped.
pub struct Pages {
    first: Pfn,
    count: usize,
}

impl Pages {
    /// Frames for at least `bytes` bytes. What lies in them is whatever it was.
    ///
    /// # Errors
    /// Without so many consecutive frames.
    pub fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let count = bytes.div_ceil(PAGE as usize).max(1);
        let first = frames::alloc_run(count).ok_or(OutOfMemory)?;
        Ok(Self { first, count })
    }

    /// As `pvkernel_core::device::ram::PageSource`.
    ///
    /// # Errors
    /// As `new`.
    pub fn source(bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        Ok(Box::new(Self::new(bytes)?))
    }

    fn memory(&self) -> NonNull<[u8]> {
        let start = core::ptr::with_exposed_provenance_mut(direct_va(self.first) as usize);
        let start = NonNull::new(start).expect("the direct map is not at 0");
        NonNull::slice_from_raw_parts(start, self.count * PAGE as usize)
    }
}

impl IoMemory for Pages {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are ours alone, and mapped for ever; any bytes are bytes.
        unsafe { self.memory().as_ref() }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { self.memory().as_mut() }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        frames::free(self.first, self.count);
    }
}
