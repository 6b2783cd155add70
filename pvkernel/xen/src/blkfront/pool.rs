//! Pages a back half reaches at any time, given out as memory for transfers.
//!
//! They are granted once, so a request costs neither a grant nor a copy. A buffer is a run of
//! consecutive pages; it is free again when it is dropped.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use hypercall_abi::{DomId, Errno, GrantRef, PAGE_SIZE};
use pvkernel_core::device::block::{IoBuffer, IoMemory};
use pvkernel_core::platform::OutOfMemory;
use pvkernel_core::ranges::Ranges;
use pvkernel_core::sync::Lock;

use crate::grants::GrantedPages;
use crate::iopages::{frame_bytes, frame_bytes_mut};

/// The smallest pool that is of use.
const LEAST: usize = 16;

/// The pages: first those for data, then those for lists of segments.
pub(super) struct Pool {
    granted: GrantedPages,
    peer: DomId,
    data: usize,
    runs: Lock<Ranges>,
}

impl Pool {
    /// Grants `pages` pages for data, or fewer if there is not so much memory in one piece, and a
    /// page for lists to each 32 of them.
    pub(super) fn new(peer: DomId, pages: usize) -> Result<Arc<Self>, Errno> {
        let mut data = pages.max(LEAST);
        let granted = loop {
            match GrantedPages::new(peer, data + lists_for(data), true) {
                Ok(granted) => break granted,
                Err(errno) if data / 2 < LEAST => return Err(errno),
                Err(_) => data /= 2,
            }
        };
        Ok(Arc::new(Self { granted, peer, data, runs: Lock::new(Ranges::new(data)) }))
    }

    /// Whom the pages are granted to.
    pub(super) const fn peer(&self) -> DomId {
        self.peer
    }

    /// Pages for data.
    pub(super) const fn pages(&self) -> usize {
        self.data
    }

    /// Pages for lists.
    pub(super) const fn lists(&self) -> usize {
        lists_for(self.data)
    }

    /// The grants of all pages.
    pub(super) fn refs(&self) -> &[GrantRef] {
        self.granted.refs()
    }

    /// The grant of a page for lists.
    pub(super) fn list_ref(&self, list: usize) -> Option<GrantRef> {
        self.refs().get(self.data + list).copied()
    }

    /// Writes a list.
    pub(super) fn write_list(&self, list: usize, bytes: &[u8]) {
        self.granted.memory().write((self.data + list) * PAGE_SIZE, bytes);
    }

    /// A run of pages.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        let pages = bytes.div_ceil(PAGE_SIZE).max(1);
        let first = self.runs.lock().take(pages).ok_or(OutOfMemory)?;
        Ok(Box::new(Run { pool: Arc::clone(self), first, pages }))
    }
}

const fn lists_for(data: usize) -> usize {
    let lists = data / 32;
    if lists < 32 {
        lists
    } else {
        32
    }
}

/// Consecutive pages of a pool.
pub(super) struct Run {
    pool: Arc<Pool>,
    first: usize,
    pages: usize,
}

impl Run {
    /// The first page, if the run is one of this pool.
    pub(super) fn page_in(&self, pool: &Arc<Pool>) -> Option<usize> {
        Arc::ptr_eq(&self.pool, pool).then_some(self.first)
    }
}

impl IoMemory for Run {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are this run's alone in this domain. The back half writes them only while
        // a request is in flight, when the driver has the run; that it does not do so at other times
        // is believed of the control domain, which can write any memory of this domain.
        unsafe { frame_bytes(self.pool.granted.pfn(self.first), self.pages) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the borrow of the run makes this the only reference.
        unsafe { frame_bytes_mut(self.pool.granted.pfn(self.first), self.pages) }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.pool.runs.lock().release(self.first);
    }
}
