//! The pages that received frames are copied into.
//!
//! Each is granted to the other half while it is posted, and ours alone from `end` to `post`. A page
//! whose grant cannot be ended is the other half's until it lets go; another takes its place.

use alloc::vec::Vec;

use hypercall_abi::{DomId, Errno, GrantRef, Pfn};

use crate::{frames, grants, mmu};

/// A page, with its grant while it is posted.
struct Page {
    pfn: Pfn,
    gref: Option<GrantRef>,
}

/// The pages, consecutive as long as none had to be replaced.
pub(super) struct RxPages {
    peer: DomId,
    pages: Vec<Page>,
}

impl RxPages {
    /// Takes `count` pages, and makes sure that they can be granted.
    ///
    /// # Errors
    /// `ENOMEM` without so many consecutive frames, or as [`grants::reserve`].
    pub(super) fn new(peer: DomId, count: usize) -> Result<Self, Errno> {
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        grants::reserve(count)?;
        let first = frames::alloc_run(count).ok_or(Errno::ENOMEM)?;
        for at in 0..count {
            let pfn = Pfn::new(first.get() + at as u64);
            mmu::zero_frame(pfn);
            pages.push(Page { pfn, gref: None });
        }
        Ok(Self { peer, pages })
    }

    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The frame of a page that is ours.
    pub(super) fn pfn(&self, page: usize) -> Option<Pfn> {
        self.pages.get(page).filter(|page| page.gref.is_none()).map(|page| page.pfn)
    }

    /// Gives a page to the other half.
    ///
    /// # Errors
    /// As [`grants::grant`].
    pub(super) fn post(&mut self, page: usize) -> Result<GrantRef, Errno> {
        let page = self.pages.get_mut(page).ok_or(Errno::EINVAL)?;
        match page.gref {
            Some(gref) => Ok(gref),
            None => {
                let gref = grants::grant(self.peer, page.pfn, true)?;
                page.gref = Some(gref);
                Ok(gref)
            }
        }
    }

    /// Takes a page back; false when it had to be replaced, so that what was written is lost.
    ///
    /// # Errors
    /// `ENOMEM` when it had to be and could not.
    pub(super) fn end(&mut self, page: usize) -> Result<bool, Errno> {
        let page = self.pages.get_mut(page).ok_or(Errno::EINVAL)?;
        let Some(gref) = page.gref else { return Ok(true) };
        if grants::end(gref).is_ok() {
            page.gref = None;
            return Ok(true);
        }
        let other = frames::alloc().ok_or(Errno::ENOMEM)?;
        mmu::zero_frame(other);
        grants::end_or_defer(gref, core::mem::replace(&mut page.pfn, other));
        page.gref = None;
        Ok(false)
    }
}

impl Drop for RxPages {
    fn drop(&mut self) {
        for page in &self.pages {
            match page.gref {
                Some(gref) => grants::end_or_defer(gref, page.pfn),
                None => frames::free(page.pfn, 1),
            }
        }
    }
}
