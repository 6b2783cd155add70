//! Frames of other domains, mapped here: what a toolstack builds domains with.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Errno, Mfn, PAGE_SIZE};

use crate::shared::SharedMemory;
use crate::updates;
use crate::window::Range;

/// Machine frames of another domain at consecutive addresses; unmapped when dropped.
///
/// The owner of the frames may change them at any time, so there is no way to borrow the memory:
/// all access copies.
#[derive(Debug)]
pub struct Mapping {
    memory: SharedMemory,
    /// Unmaps on drop.
    _range: Range,
}

impl Mapping {
    /// Maps frames of `dom`, in batches of 128 per hypercall.
    ///
    /// # Errors
    /// `ENOMEM` without memory for page tables or addresses; `EINVAL` for an empty list; otherwise
    /// what the hypervisor answers for the first frame it refuses. Nothing stays mapped.
    pub fn new(dom: DomId, mfns: &[Mfn], writable: bool) -> Result<Self, Errno> {
        if mfns.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut range = Range::new(mfns.len()).map_err(|_| Errno::ENOMEM)?;
        let flags = pte::PRESENT | pte::ACCESSED | if writable { pte::RW | pte::DIRTY } else { 0 };
        let entries = mfns.iter().map(|mfn| mfn.maddr() | flags);
        range.map_by(0, entries, |start, entries| {
            // SAFETY: the range is ours and nothing is mapped in it, so no memory in use changes.
            unsafe { updates::write(start, entries, dom) }
        })?;
        let base = core::ptr::with_exposed_provenance_mut(range.start() as usize);
        let base = NonNull::new(base).ok_or(Errno::EFAULT)?;
        // SAFETY: (1) the range stays mapped until `_range` is dropped together with `memory`;
        // (2) it is page aligned; (3) addresses of the window are reached through it only.
        let memory = unsafe { SharedMemory::new(base, mfns.len() * PAGE_SIZE) };
        Ok(Self { memory, _range: range })
    }

    /// Bytes mapped.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether nothing is mapped; never true.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// The memory, for atomic access.
    #[must_use]
    pub const fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Copies bytes out.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        self.memory.read(offset, to);
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods. Writing to a read-only mapping faults.
    pub fn write(&self, offset: usize, from: &[u8]) {
        self.memory.write(offset, from);
    }

    /// Writes zeros.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods.
    pub fn zero(&self, offset: usize, len: usize) {
        self.memory.zero(offset, len);
    }

    /// Reads an aligned word.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods.
    #[must_use]
    pub fn read_u64(&self, offset: usize) -> u64 {
        self.memory.u64_at(offset).load(Ordering::Relaxed)
    }

    /// Writes an aligned word.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods.
    pub fn write_u64(&self, offset: usize, value: u64) {
        self.memory.u64_at(offset).store(value, Ordering::Relaxed);
    }

    /// Reads an index of a ring: what the peer wrote before it is visible afterwards.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods.
    #[must_use]
    pub fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.memory.u32_at(offset).load(Ordering::Acquire)
    }

    /// Writes an index of a ring: what was written before it is visible to the peer.
    ///
    /// # Panics
    /// Outside of the mapping, as all methods.
    pub fn store_u32_release(&self, offset: usize, value: u32) {
        self.memory.u32_at(offset).store(value, Ordering::Release);
    }
}
