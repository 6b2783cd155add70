//! Frames that other domains granted us, at consecutive addresses.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use hypercall_abi::grant::{
    self as abi, gntmap, gntst, GnttabMapGrantRef, GnttabUnmapGrantRef, GrantHandle,
};
use hypercall_abi::{DomId, Errno, GrantRef, Mfn, PAGE_SIZE};

use super::check_status;
use crate::hypercall::grant::grant_table_op;
use crate::layout::PAGE;
use crate::shared::SharedMemory;
use crate::window::Range;

/// Operations in one hypercall; the list of them lies on the stack.
pub(super) const BATCH: usize = 128;

pub(super) static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Granted frames of another domain, mapped; unmapped when dropped.
///
/// The other domain may change them at any time and even die meanwhile; the memory stays valid until
/// the mapping is dropped.
#[derive(Debug)]
pub struct GrantMapping {
    memory: SharedMemory,
    pages: Pages,
}

/// What was mapped so far.
#[derive(Debug)]
struct Pages {
    /// Handle and machine frame of each page.
    mapped: Vec<(GrantHandle, Mfn)>,
    /// Given back after the pages were unmapped; kept for ever when they could not be.
    range: Option<Range>,
}

impl GrantMapping {
    /// Maps what `peer` granted under `refs`, in their order.
    ///
    /// # Errors
    /// `EINVAL` for an empty list; `ENOMEM` without addresses or page tables; otherwise the answer to
    /// the first grant that was refused. Nothing stays mapped then.
    pub fn new(peer: DomId, refs: &[GrantRef], writable: bool) -> Result<Self, Errno> {
        if refs.is_empty() {
            return Err(Errno::EINVAL);
        }
        let range = Range::new(refs.len()).map_err(|_| Errno::ENOMEM)?;
        let start = range.start();
        let mut pages = Pages { mapped: Vec::new(), range: Some(range) };
        pages.mapped.try_reserve_exact(refs.len()).map_err(|_| Errno::ENOMEM)?;
        let flags = gntmap::HOST_MAP | if writable { 0 } else { gntmap::READONLY };
        for some in refs.chunks(BATCH) {
            pages.map(start, peer, flags, some)?;
        }
        let base = core::ptr::with_exposed_provenance_mut(start as usize);
        let base = NonNull::new(base).ok_or(Errno::EFAULT)?;
        // SAFETY: (1) every page of the range was mapped and stays so until `pages` is dropped
        // together with `memory`; (2) it is page aligned; (3) addresses of the window are reached
        // through it only.
        let memory = unsafe { SharedMemory::new(base, refs.len() * PAGE_SIZE) };
        Ok(Self { memory, pages })
    }

    /// The bytes. Writing to a read-only mapping faults.
    #[must_use]
    pub const fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// The machine frames, page by page.
    pub fn frames(&self) -> impl Iterator<Item = Mfn> + '_ {
        self.pages.mapped.iter().map(|(_, mfn)| *mfn)
    }

    /// Pages.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.mapped.len()
    }
}

impl Pages {
    /// Maps a batch behind what is mapped already. After a failure the pages before the first that was
    /// refused are in `mapped`, and no other.
    fn map(&mut self, start: u64, peer: DomId, flags: u32, refs: &[GrantRef]) -> Result<(), Errno> {
        let mut ops = [GnttabMapGrantRef::default(); BATCH];
        let first = self.mapped.len();
        let ops = &mut ops[..refs.len()];
        for (at, (op, gref)) in ops.iter_mut().zip(refs).enumerate() {
            op.host_addr = start + (first + at) as u64 * PAGE;
            (op.flags, op.gref, op.dom) = (flags, *gref, peer);
            // Should the hypervisor stop half-way, the rest counts as refused.
            op.status = gntst::GENERAL_ERROR;
        }
        // SAFETY: the addresses are in a range of the window that is ours and in which nothing is
        // mapped, so no memory in use changes.
        let answer = unsafe { grant_table_op(abi::MAP_GRANT_REF, ops) };
        let mut verdict = answer.map(|_| ());
        let mut refused = Vec::new();
        for op in ops.iter() {
            match check_status(op.status) {
                Ok(()) if verdict.is_ok() => {
                    self.mapped.push((op.handle, Mfn::from_maddr(op.dev_bus_addr)));
                    MAPPED.fetch_add(1, Ordering::Relaxed);
                }
                // Behind a page that was refused: not at the place that `drop` would look at.
                Ok(()) => refused.push(undo(op.host_addr, op.handle)),
                Err(errno) => verdict = verdict.and(Err(errno)),
            }
        }
        if !unmap(&mut refused) {
            core::mem::forget(self.range.take());
        }
        verdict
    }
}

pub(super) fn undo(host_addr: u64, handle: GrantHandle) -> GnttabUnmapGrantRef {
    GnttabUnmapGrantRef { host_addr, handle, status: gntst::GENERAL_ERROR, ..Default::default() }
}

/// Unmaps; false when something stayed mapped, which nothing that others do can cause.
pub(super) fn unmap(ops: &mut [GnttabUnmapGrantRef]) -> bool {
    if ops.is_empty() {
        return true;
    }
    // SAFETY: the pages are ours to unmap; whoever used them has given them up.
    let answer = unsafe { grant_table_op(abi::UNMAP_GRANT_REF, ops) };
    answer.is_ok() && ops.iter().all(|op| op.status == gntst::OKAY)
}

impl Drop for Pages {
    fn drop(&mut self) {
        let Some(range) = self.range.take() else { return };
        let mut whole = true;
        for (batch, some) in self.mapped.chunks(BATCH).enumerate() {
            let mut ops = [GnttabUnmapGrantRef::default(); BATCH];
            for (at, (op, (handle, _))) in ops.iter_mut().zip(some).enumerate() {
                *op = undo(range.start() + (batch * BATCH + at) as u64 * PAGE, *handle);
            }
            whole &= unmap(&mut ops[..some.len()]);
            MAPPED.fetch_sub(some.len(), Ordering::Relaxed);
        }
        if !whole {
            // The addresses still mean the other domain's frames: nobody may get them again.
            core::mem::forget(range);
        }
    }
}

/// Pages of other domains that are mapped.
#[must_use]
pub fn count() -> usize {
    MAPPED.load(Ordering::Relaxed)
}
