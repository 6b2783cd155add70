//! Mapped frames of other domains, counted.

use core::sync::atomic::{AtomicU64, Ordering};
use hypercall_abi::{DomId, Errno, Mfn};
use pvkernel_xen::foreign::Mapping;
use zl_toolstack::client::{Access, ForeignMemory};

static MAPPED: AtomicU64 = AtomicU64::new(0);

/// Frames of other domains that are mapped now.
pub fn mapped_frames() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// Frames of another domain; unmapped when dropped.
pub struct ForeignFrames {
    mapping: Mapping,
    frames: u64,
}

impl ForeignFrames {
    /// Maps frames.
    ///
    /// # Errors
    /// What the hypervisor says about one of them.
    pub fn new(domain: DomId, frames: &[Mfn], access: Access) -> Result<Self, Errno> {
        let mapping = Mapping::new(domain, frames, access == Access::ReadWrite)?;
        let frames = frames.len() as u64;
        MAPPED.fetch_add(frames, Ordering::Relaxed);
        Ok(Self { mapping, frames })
    }
}

impl Drop for ForeignFrames {
    fn drop(&mut self) {
        MAPPED.fetch_sub(self.frames, Ordering::Relaxed);
    }
}

impl ForeignMemory for ForeignFrames {
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.mapping.read(offset, into);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.mapping.write(offset, bytes);
    }

    fn zero(&self, offset: usize, len: usize) {
        self.mapping.zero(offset, len);
    }

    fn load_u32(&self, offset: usize) -> u32 {
        self.mapping.load_u32_acquire(offset)
    }

    fn store_u32(&self, offset: usize, value: u32) {
        self.mapping.store_u32_release(offset, value);
    }
}
