//! Frames of ours that another domain may use, as one piece of memory.

use alloc::vec::Vec;
use core::ptr::NonNull;

use hypercall_abi::{DomId, Errno, GrantRef, Pfn, PAGE_SIZE};

use super::{deferred, table};
use crate::shared::SharedMemory;
use crate::{frames, layout, mmu};

/// Consecutive pages of the direct map, all granted to one domain; the grants end when it is dropped.
///
/// The peer may look at them, and change writable ones, at any time, hence `SharedMemory`. They hold
/// zeros at first: nothing of ours that lay there before is shown.
#[derive(Debug)]
pub struct GrantedPages {
    first: Pfn,
    refs: Vec<GrantRef>,
    pages: usize,
    memory: SharedMemory,
}

impl GrantedPages {
    /// Takes `pages` frames and grants them to `peer`.
    ///
    /// # Errors
    /// `EINVAL` for no pages, `ENOMEM` without so many consecutive frames, otherwise as [`table::reserve`].
    pub fn new(peer: DomId, pages: usize, writable: bool) -> Result<Self, Errno> {
        deferred::retry();
        let mut refs = Vec::new();
        refs.try_reserve_exact(pages).map_err(|_| Errno::ENOMEM)?;
        table::reserve(pages)?;
        if pages == 0 {
            return Err(Errno::EINVAL);
        }
        let first = frames::alloc_run(pages).ok_or(Errno::ENOMEM)?;
        let base = core::ptr::with_exposed_provenance_mut(layout::direct_va(first) as usize);
        let base = NonNull::new(base).ok_or(Errno::EFAULT)?;
        // SAFETY: (1) the direct map always holds these frames writable, and they are freed only with
        // the last use of this value; (2) pages are aligned; (3) the frames were just allocated.
        let memory = unsafe { SharedMemory::new(base, pages * PAGE_SIZE) };
        let mut granted = Self { first, refs, pages, memory };
        for page in 0..pages {
            mmu::zero_frame(granted.pfn(page));
            // On failure, dropping the value ends the grants made so far.
            let gref = table::grant(peer, granted.pfn(page), writable)?;
            granted.refs.push(gref);
        }
        Ok(granted)
    }

    /// The grants, page by page.
    #[must_use]
    pub fn refs(&self) -> &[GrantRef] {
        &self.refs
    }

    /// The bytes.
    #[must_use]
    pub const fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Pages.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.pages
    }

    /// The frame of a page.
    #[must_use]
    pub const fn pfn(&self, page: usize) -> Pfn {
        Pfn::new(self.first.get() + page as u64)
    }
}

impl Drop for GrantedPages {
    fn drop(&mut self) {
        deferred::retry();
        for page in 0..self.pages {
            match self.refs.get(page) {
                Some(gref) => deferred::end_or_defer(*gref, self.pfn(page)),
                None => frames::free(self.pfn(page), 1),
            }
        }
    }
}
