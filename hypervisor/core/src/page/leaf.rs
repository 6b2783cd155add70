//! References held by entries of leaf (L1) tables.
//!
//! A present leaf entry for memory holds a general reference on the frame and, when it is writable,
//! a writable reference too. That is the whole defence: a frame with a writable reference cannot
//! become a page table, and a page table cannot get one. Entries for device memory hold nothing.
//!
//! Called by validation and by updates of single entries. The hot path
//! is one compare-exchange per mapping; whatever is unusual goes to the cold functions below it.

use crate::ensure;
use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Mfn};

use super::entry::Entry;
use super::error::PageError;
use super::host::PageHost;
use super::refs;
use super::state::State;
use super::tables::PageTables;
use super::types::PageType;

impl<H: PageHost> PageTables<'_, H> {
    /// The entry has a bit this machine does not have.
    pub(super) fn is_unsupported(&self, entry: Entry) -> bool {
        entry.has_any(pte::NX) && !self.host.nx_supported()
    }

    /// Takes the references a present leaf entry needs, and returns the value to store for it.
    #[inline(always)]
    pub(super) fn acquire_leaf(&self, page_owner: DomId, entry: Entry) -> Result<Entry, PageError> {
        let is_suspect = entry.has_any(Entry::CACHE) || self.is_unsupported(entry);
        if !is_suspect && self.acquire_usual_leaf(page_owner, entry) {
            return Ok(entry.adjusted_leaf());
        }
        self.acquire_unusual_leaf(page_owner, entry)
    }

    // Here and where references are dropped two calls are spelt out: each is short because its type
    // is a constant.
    #[inline(always)]
    fn acquire_usual_leaf(&self, page_owner: DomId, entry: Entry) -> bool {
        if entry.is_writable() {
            self.acquire_usual(page_owner, entry.mfn(), PageType::Writable)
        } else {
            self.acquire_usual(page_owner, entry.mfn(), PageType::None)
        }
    }

    /// Takes a reference if the frame is `page_owner`'s memory and of that type already (for leaves
    /// `None` or `Writable`). `false` says nothing: the cold path looks again from the start.
    #[inline(always)]
    pub(super) fn acquire_usual(&self, page_owner: DomId, mfn: Mfn, want: PageType) -> bool {
        refs::acquire_usual(self.host, mfn, page_owner, want)
    }

    #[cold]
    #[inline(never)]
    fn acquire_unusual_leaf(self, page_owner: DomId, entry: Entry) -> Result<Entry, PageError> {
        let chooses_cache = entry.has_any(Entry::CACHE);
        let may_choose = !chooses_cache || self.host.has_device_rights(self.owner);
        ensure(!self.is_unsupported(entry) && may_choose, PageError::BadFlags)?;
        let mfn = entry.mfn();
        let Ok(frame) = self.host.frame(mfn) else { return self.acquire_mmio(page_owner, entry) };
        // This reference makes the owner stable.
        frame.try_change(State::take_ref).map_err(|_| PageError::CannotMap)?;
        let owner = frame.owner();
        let may_map = owner == page_owner
            || page_owner != self.owner && self.host.may_map_foreign(page_owner, owner);
        let acquired = if !may_map {
            Err(PageError::CannotMap)
        } else if chooses_cache && frame.state().is_special() {
            Err(PageError::CacheAttribute)
        } else {
            refs::acquire_of_any(self.host, frame, mfn, entry.leaf_type())
                .map_err(|_| PageError::CannotMap)
        };
        if acquired.is_ok() && chooses_cache && entry.is_writable() {
            frame.set_noncoherent();
        }
        refs::release(self.host, mfn, PageType::None);
        acquired.map(|_| entry.adjusted_leaf())
    }

    /// Device memory: permission in place of references.
    fn acquire_mmio(&self, page_owner: DomId, entry: Entry) -> Result<Entry, PageError> {
        let mfn = entry.mfn();
        let asking = if page_owner == DomId::IO { self.caller } else { page_owner };
        if [asking, self.owner].into_iter().all(|dom| self.host.may_map_mmio(dom, mfn)) {
            Ok(entry.adjusted_leaf().adjusted_mmio())
        } else if entry.bits() & pte::FRAME_MASK == pte::FRAME_MASK {
            // So that a guest that maps "no frame" by mistake gets a recognizable answer.
            Err(PageError::BadFrame)
        } else {
            Err(PageError::NoIomemPermission)
        }
    }

    /// Drops the references a leaf entry holds, whoever owns the frame: also one that
    /// [`Self::swap_leaf`] has taken out.
    #[inline(always)]
    pub fn drop_leaf(&self, entry: Entry) {
        if entry.is_present() {
            if entry.is_writable() {
                refs::release(self.host, entry.mfn(), PageType::Writable);
            } else {
                refs::release(self.host, entry.mfn(), PageType::None);
            }
        }
    }

    /// Replaces a leaf entry: takes the references of the new one, lets `store` store what it has
    /// become, drops those of the old one. A refused store leaves everything as it was.
    #[inline(always)]
    pub(super) fn replace_leaf(
        &self,
        page_owner: DomId,
        old: Entry,
        new: Entry,
        store: impl FnOnce(Entry) -> Result<(), PageError>,
    ) -> Result<(), PageError> {
        if old.is_refresh(new) && !self.is_unsupported(new) {
            return store(new.adjusted_leaf());
        }
        let new = if new.is_present() { self.acquire_leaf(page_owner, new)? } else { new };
        let stored = store(new);
        self.drop_leaf(if stored.is_ok() { old } else { new });
        stored
    }
}
