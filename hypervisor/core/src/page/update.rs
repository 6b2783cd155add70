//! Replacing single entries: `mmu_update`, `update_va_mapping`, grants, emulated writes.
//!
//! What a store means is decided by what the frame is *now*: an entry of a validated table is
//! checked like a new mapping; anything else is memory, and is written only while a writable
//! reference keeps it from becoming a table. The order is always: references of the new entry, the
//! atomic store, references of the old entry, so a refused update has changed nothing.
//!
//! TLB flushes are not done here. [`Updated::flush_domain`] says that the CPU may have cached a
//! walk through the old entry (XSA-286): the caller flushes all CPUs of the owner before a guest
//! instruction runs and before the next hypercall of a multicall.

use crate::ensure;
use hypercall_abi::{DomId, GuestVa, Mfn};

use super::entry::Entry;
use super::error::{PageError, Progress};
use super::host::PageHost;
use super::refs;
use super::tables::PageTables;
use super::types::{Level, PageType, ENTRIES};
use super::walk::{is_hv_slot, MmuState};

/// How an entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// As given (`MMU_NORMAL_PT_UPDATE`).
    Normal,
    /// With the accessed and dirty bits of the old entry added (`MMU_PT_UPDATE_PRESERVE_AD`).
    PreserveAd,
}

/// What a successful update asks of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Updated {
    /// Flush all CPUs that run the owner of the tables; see the head of this file.
    pub flush_domain: bool,
}

/// One entry to replace, as `mmu_update` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryUpdate {
    /// Frame that holds the entry.
    pub table: Mfn,
    /// Number of the entry in it.
    pub index: usize,
    /// The new value.
    pub value: u64,
    /// How to store it.
    pub mode: UpdateMode,
    /// Owner of the page the new entry maps (`foreigndom`; the real id in place of `DOMID_SELF`).
    pub page_owner: DomId,
}

impl<H: PageHost> PageTables<'_, H> {
    /// Replaces an entry as `mmu_update` does.
    ///
    /// # Errors
    /// The frame is not the owner's or in use as something that cannot be written, or the entry is
    /// not acceptable at its level; see [`PageError`].
    pub fn update_entry(
        &self,
        mmu: &mut MmuState,
        update: &EntryUpdate,
        budget: &mut u32,
    ) -> Progress<Updated> {
        // Nearly all updates are of leaf tables and find nothing left to do by earlier ones.
        if mmu.is_quiet() && self.check_leaf(update.table, update.index).is_ok() {
            return Ok(self.update_leaf(update)?);
        }
        self.update_any_entry(mmu, update, budget)
    }

    #[inline(never)]
    fn update_any_entry(
        self,
        mmu: &mut MmuState,
        update: &EntryUpdate,
        budget: &mut u32,
    ) -> Progress<Updated> {
        self.operate(mmu, budget, |mmu, budget| {
            let EntryUpdate { table, index, value, .. } = *update;
            ensure(index < ENTRIES, PageError::BadFrame)?;
            let (_, state) = self.own_frame(table)?;
            match state.page_type().level().filter(|_| state.is_validated()) {
                Some(Level::L1) => Ok(self.update_leaf(update)?),
                Some(level) => self.update_upper(mmu, level, update, budget),
                None => {
                    // A store to a frame that is no table now.
                    let held = refs::get_writable(self.host, table, self.owner)?;
                    self.host.store(self.host.page(table), index, value);
                    refs::put_writable(self.host, held);
                    Ok(Updated::default())
                }
            }
        })
    }

    /// Replaces an entry of a validated leaf table.
    #[inline(always)]
    fn update_leaf(&self, update: &EntryUpdate) -> Result<Updated, PageError> {
        let page = self.host.page(update.table);
        let old = Entry::new(self.host.load(page, update.index));
        self.replace_leaf(update.page_owner, old, Entry::new(update.value), |new| {
            self.store_entry(page, update, old, new);
            Ok(())
        })?;
        Ok(Updated::default())
    }

    /// Replaces an entry of a validated table above the leaf level.
    fn update_upper(
        &self,
        mmu: &mut MmuState,
        level: Level,
        update: &EntryUpdate,
        budget: &mut u32,
    ) -> Progress<Updated> {
        let EntryUpdate { table, index, value, page_owner, .. } = *update;
        ensure(page_owner == self.owner, PageError::ForeignTable)?;
        ensure(!is_hv_slot(level, index), PageError::HypervisorSlot)?;
        let page = self.host.page(table);
        let old = Entry::new(self.host.load(page, index));
        let mut new = Entry::new(value);
        if new.is_present() {
            let is_refused = new.has_any(Entry::UPPER_FORBIDDEN) || self.is_unsupported(new);
            new = new.adjusted_upper(level);
            if old.is_refresh(new) && !is_refused {
                self.store_entry(page, update, old, new);
                return Ok(Updated::default());
            }
            let below = level.below().ok_or(PageError::BadFlags)?;
            self.acquire_with_walks(mmu, new.mfn(), below, budget, |mmu| {
                self.acquire_upper(mmu, table, level, new)
            })?;
        }
        self.store_entry(page, update, old, new);
        mmu.push(self.release_upper(table, level, old));
        // A CPU does not cache that something is absent, so filling a hole needs no flush.
        Ok(Updated { flush_domain: old.is_present() })
    }

    /// Stores an entry; with `PreserveAd` the bits the CPU may be setting at this moment are kept.
    #[inline(always)]
    fn store_entry(&self, page: H::Page, update: &EntryUpdate, old: Entry, new: Entry) {
        match update.mode {
            UpdateMode::Normal => self.host.store(page, update.index, new.bits()),
            UpdateMode::PreserveAd => self.merge_entry(page, update.index, old, new),
        }
    }

    #[inline(never)]
    fn merge_entry(self, page: H::Page, index: usize, old: Entry, new: Entry) {
        let mut seen = old.bits();
        let merged = |seen| new.bits() | seen & Entry::ACCESSED_DIRTY;
        while let Err(now) = self.host.exchange(page, index, seen, merged(seen)) {
            seen = now;
        }
    }

    /// Replaces the leaf entry that maps `va` below the root `root` (`update_va_mapping`).
    ///
    /// # Errors
    /// `NoLeafTable` when no validated leaf table of the owner maps the address; else as
    /// [`Self::update_entry`].
    pub fn update_va_mapping(
        &self,
        mmu: &mut MmuState,
        root: Mfn,
        va: GuestVa,
        value: u64,
        page_owner: DomId,
        budget: &mut u32,
    ) -> Progress<()> {
        self.quiet(mmu, budget)?;
        let (table, index) = self.leaf_place(root, va).ok_or(PageError::NoLeafTable)?;
        self.check_leaf(table, index)?;
        let page = self.host.page(table);
        let old = Entry::new(self.host.load(page, index));
        Ok(self.replace_leaf(page_owner, old, Entry::new(value), |new| {
            self.host.store(page, index, new.bits());
            Ok(())
        })?)
    }

    /// Replaces a leaf entry on behalf of an emulated instruction, which makes the new entry of the
    /// old one, or none: validated like any update, stored by compare-exchange.
    ///
    /// # Errors
    /// `NoLeafTable` when the frame is no validated leaf table of the owner now, `EntryChanged`
    /// when the CPU has changed the entry meanwhile: try again; else as an update of a leaf.
    pub fn update_leaf_from_emulation(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        index: usize,
        instruction: impl FnOnce(u64) -> Option<u64>,
        budget: &mut u32,
    ) -> Progress<()> {
        self.quiet(mmu, budget)?;
        self.check_leaf(table, index)?;
        let page = self.host.page(table);
        let old = self.host.load(page, index);
        let Some(new) = instruction(old) else { return Ok(()) };
        Ok(self.replace_leaf(self.owner, Entry::new(old), Entry::new(new), |new| {
            let stored = self.host.exchange(page, index, old, new.bits());
            stored.map_err(|_| PageError::EntryChanged)
        })?)
    }

    /// Stores an entry whose references the caller already holds, and returns the old entry with
    /// *its* references, for [`Self::drop_leaf`]. With `expected`, the old entry must map the same
    /// frame with the same permission (XSA-234). For grants; no walk may be pending ([`Self::settle`]).
    ///
    /// # Errors
    /// `NoLeafTable` when the frame is no validated leaf table of the owner, `EntryChanged` when
    /// the old entry is not as expected.
    pub fn swap_leaf(
        &self,
        table: Mfn,
        index: usize,
        new: Entry,
        expected: Option<Entry>,
    ) -> Result<Entry, PageError> {
        self.check_leaf(table, index)?;
        let page = self.host.page(table);
        let old = Entry::new(self.host.load(page, index));
        let is_other = |expected: Entry| (old.bits() ^ expected.bits()) & Entry::MAPPING != 0;
        ensure(!expected.is_some_and(is_other), PageError::EntryChanged)?;
        self.host.store(page, index, new.bits());
        Ok(old)
    }

    /// The leaf entry at that place of a validated leaf table of the owner.
    ///
    /// # Errors
    /// `NoLeafTable` when it is not one.
    pub fn read_leaf(&self, table: Mfn, index: usize) -> Result<Entry, PageError> {
        self.check_leaf(table, index)?;
        Ok(self.read(table, index))
    }

    /// The frame is a validated leaf table of the owner.
    pub fn is_leaf_table(&self, table: Mfn) -> bool {
        self.is_validated(table, PageType::L1)
    }

    fn check_leaf(&self, table: Mfn, index: usize) -> Result<(), PageError> {
        ensure(index < ENTRIES && self.is_leaf_table(table), PageError::NoLeafTable)
    }
}
