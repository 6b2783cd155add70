//! References held by entries of leaf (L1) tables.
//!
//! A present leaf entry for memory holds a general reference on the frame and, when it is writable,
//! a writable reference too. That is the whole defence: a frame with a writable reference cannot
//! become a page table, and a page table cannot get one. Entries for device memory hold nothing.
//!
//! Called by validation (a whole table at a time) and by updates of single entries. The hot path
//! is one compare-exchange per mapping; whatever is unusual goes to the cold functions below it.

use hypercall_abi::{DomId, Mfn};

use super::entry::Entry;
use super::error::PageError;
use super::frame::FrameInfo;
use super::host::{lookup, lookup_ram, PageHost};
use super::refs::{drop_ref, drop_typed, make_usable};
use super::state::RefError;
use super::tables::{PageTables, UpdateMode};
use super::types::{PageType, ENTRIES};

impl<H: PageHost> PageTables<'_, H> {
    /// Takes the references a present leaf entry needs, and returns the value to store for it.
    #[inline(always)]
    pub(super) fn acquire_leaf(&self, page_owner: DomId, entry: Entry) -> Result<Entry, PageError> {
        let suspect =
            if self.host.nx_supported() { Entry::CACHE } else { Entry::CACHE | Entry::NX };
        if !entry.has_any(suspect) && self.acquire_usual_leaf(page_owner, entry) {
            return Ok(entry.adjusted_leaf());
        }
        self.acquire_unusual_leaf(page_owner, entry)
    }

    /// The frame is `page_owner`'s memory, and plain memory already if a writable mapping is
    /// asked for. `false` says nothing: the cold path looks again from the start.
    #[inline(always)]
    fn acquire_usual_leaf(&self, page_owner: DomId, entry: Entry) -> bool {
        let mfn = entry.mfn();
        let Some(frame) = lookup(self.host, mfn) else { return false };
        if frame.owner() != page_owner {
            return false;
        }
        // Holes are never live, so no reference can be taken on one.
        let taken =
            if entry.is_writable() { frame.take_writable_fast() } else { frame.take_ref().is_ok() };
        taken && (frame.owner() == page_owner || self.give_back(entry))
    }

    /// The frame changed hands between the look and the reference.
    #[cold]
    fn give_back(&self, entry: Entry) -> bool {
        self.release_leaf(entry);
        false
    }

    #[cold]
    #[inline(never)]
    fn acquire_unusual_leaf(&self, page_owner: DomId, entry: Entry) -> Result<Entry, PageError> {
        if entry.has_any(Entry::CACHE) && !self.host.has_device_rights(self.owner) {
            return Err(PageError::BadFlags);
        }
        if entry.has_any(Entry::NX) && !self.host.nx_supported() {
            return Err(PageError::BadFlags);
        }
        match lookup_ram(self.host, entry.mfn()) {
            Some(frame) => self.acquire_ram(page_owner, frame, entry)?,
            None => return self.acquire_mmio(page_owner, entry),
        }
        Ok(entry.adjusted_leaf())
    }

    fn acquire_ram(
        &self,
        page_owner: DomId,
        frame: &FrameInfo,
        entry: Entry,
    ) -> Result<(), PageError> {
        let mfn = entry.mfn();
        // This reference makes the owner stable.
        frame.take_ref().map_err(map_error)?;
        let usable = self.check_mappable(page_owner, frame, entry).and_then(|()| {
            if !entry.is_writable() {
                return Ok(());
            }
            let taken = frame.take_typed(PageType::Writable).map_err(map_error)?;
            make_usable(self.host, frame, mfn, taken);
            if entry.has_any(Entry::CACHE) {
                frame.set_noncoherent(true);
            }
            Ok(())
        });
        if usable.is_err() || entry.is_writable() {
            drop_ref(self.host, frame, mfn);
        }
        usable
    }

    fn check_mappable(
        &self,
        page_owner: DomId,
        frame: &FrameInfo,
        entry: Entry,
    ) -> Result<(), PageError> {
        let owner = frame.owner();
        let is_foreign_right =
            || page_owner != self.owner && self.host.may_map_foreign(page_owner, owner);
        if owner != page_owner && !is_foreign_right() {
            return Err(PageError::CannotMap);
        }
        if frame.state().is_special() && entry.has_any(Entry::CACHE) {
            return Err(PageError::CacheAttribute);
        }
        Ok(())
    }

    /// Device memory: permission in place of references.
    fn acquire_mmio(&self, page_owner: DomId, entry: Entry) -> Result<Entry, PageError> {
        let mfn = entry.mfn();
        let asking = if page_owner == DomId::IO { self.caller } else { page_owner };
        let may = self.host.may_map_mmio(asking, mfn)
            && (asking == self.owner || self.host.may_map_mmio(self.owner, mfn));
        if may {
            Ok(entry.adjusted_leaf().adjusted_mmio(self.host.is_mmio_read_only(mfn)))
        } else if entry.is_frame_all_ones() {
            // So that a guest that maps "no frame" by mistake gets a recognizable answer.
            Err(PageError::BadFrame)
        } else {
            Err(PageError::NoIomemPermission)
        }
    }

    /// Drops the references a leaf entry holds, whoever owns the frame.
    #[inline(always)]
    pub(super) fn release_leaf(&self, entry: Entry) {
        if !entry.is_present() {
            return;
        }
        let mfn = entry.mfn();
        if let Some(frame) = lookup(self.host, mfn) {
            // A mapped frame of memory is live; what is not live is a hole.
            if !frame.state().is_live() {
                return;
            }
            if entry.is_writable() {
                drop_typed(self.host, frame, mfn);
            } else {
                drop_ref(self.host, frame, mfn);
            }
        }
    }

    /// Takes the references of all entries of a table, or none.
    pub(super) fn acquire_leaf_table(&self, table: Mfn) -> Result<(), PageError> {
        for index in 0..ENTRIES {
            let entry = Entry::new(self.host.read_entry(table, index));
            if !entry.is_present() {
                continue;
            }
            match self.acquire_leaf(self.owner, entry) {
                Ok(adjusted) if adjusted == entry => {}
                Ok(adjusted) => self.host.write_entry(table, index, adjusted.bits()),
                Err(error) => {
                    self.release_leaf_entries(table, index);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Drops the references of the first `count` entries of a table nobody can write to.
    pub(super) fn release_leaf_entries(&self, table: Mfn, count: usize) {
        for index in 0..count {
            self.release_leaf(Entry::new(self.host.read_entry(table, index)));
        }
    }

    /// Replaces an entry of a validated leaf table: new references, atomic store, old references.
    #[inline]
    pub(super) fn update_leaf(
        &self,
        table: Mfn,
        index: usize,
        new: Entry,
        mode: UpdateMode,
        page_owner: DomId,
    ) -> Result<(), PageError> {
        let old = Entry::new(self.host.read_entry(table, index));
        if !new.is_present() {
            self.store_entry(table, index, old, new, mode);
        } else if old.is_leaf_refresh(new) && self.is_nx_acceptable(new) {
            self.store_entry(table, index, old, new.adjusted_leaf(), mode);
            return Ok(());
        } else {
            let adjusted = self.acquire_leaf(page_owner, new)?;
            self.store_entry(table, index, old, adjusted, mode);
        }
        self.release_leaf(old);
        Ok(())
    }

    #[inline]
    pub(super) fn is_nx_acceptable(&self, entry: Entry) -> bool {
        self.host.nx_supported() || !entry.has_any(Entry::NX)
    }

    /// Stores an entry; with `PreserveAd` the bits the CPU may be setting at this moment are kept.
    #[inline]
    pub(super) fn store_entry(
        &self,
        table: Mfn,
        index: usize,
        old: Entry,
        new: Entry,
        mode: UpdateMode,
    ) {
        match mode {
            UpdateMode::Normal => self.host.write_entry(table, index, new.bits()),
            UpdateMode::PreserveAd => {
                let mut seen = old.bits();
                loop {
                    let merged = new.bits() | (seen & Entry::ACCESSED_DIRTY);
                    match self.host.cmpxchg_entry(table, index, seen, merged) {
                        Ok(()) => return,
                        Err(now) => seen = now,
                    }
                }
            }
        }
    }
}

/// Error of a mapping: one errno for all the ways a frame cannot be mapped.
fn map_error(error: RefError) -> PageError {
    match error {
        RefError::Limit => PageError::CountLimit,
        _ => PageError::CannotMap,
    }
}
