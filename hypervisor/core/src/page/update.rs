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

use hypercall_abi::{DomId, GuestVa, Mfn};

use super::entry::Entry;
use super::error::{PageError, Progress, Stop};
use super::host::{lookup_ram, PageHost};
use super::refs;
use super::tables::{PageTables, UpdateMode};
use super::types::{Level, PageType, ENTRIES};
use super::walk::{is_hv_slot, MmuState, Target};

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

/// What a leaf entry must be for [`PageTables::swap_leaf`] to replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedLeaf {
    /// The frame it maps.
    pub mfn: Mfn,
    /// Whether it maps it writable.
    pub is_writable: bool,
}

impl<H: PageHost> PageTables<'_, H> {
    /// Replaces an entry as `mmu_update` does.
    ///
    /// # Errors
    /// The frame is not the owner's or in use as something that cannot be written, or the entry is
    /// not acceptable at its level; see [`PageError`].
    #[inline]
    pub fn update_entry(
        &self,
        mmu: &mut MmuState,
        update: &EntryUpdate,
        budget: &mut u32,
    ) -> Progress<Updated> {
        // Nearly all updates are of leaf tables and find nothing left to do by earlier ones.
        if mmu.is_quiet() && self.check_leaf(update.table, update.index).is_ok() {
            let EntryUpdate { table, index, value, mode, page_owner } = *update;
            self.update_leaf(table, index, Entry::new(value), mode, page_owner)?;
            return Ok(Updated::default());
        }
        self.update_any_entry(mmu, update, budget)
    }

    #[inline(never)]
    fn update_any_entry(
        &self,
        mmu: &mut MmuState,
        update: &EntryUpdate,
        budget: &mut u32,
    ) -> Progress<Updated> {
        self.operate(mmu, budget, |mmu, budget| {
            let EntryUpdate { table, index, value, mode, page_owner } = *update;
            if index >= ENTRIES {
                return Err(PageError::BadFrame.into());
            }
            let frame = lookup_ram(self.host, table).ok_or(PageError::BadFrame)?;
            // First the state, then the owner: under the owner's lock no frame becomes the
            // owner's, so it was the owner's when the state was read, and its type is stable.
            let state = frame.state();
            if frame.owner() != self.owner {
                return Err(PageError::NotOwned.into());
            }
            match state.page_type().level() {
                Some(Level::L1) if state.is_validated() => {
                    self.update_leaf(table, index, Entry::new(value), mode, page_owner)?;
                    Ok(Updated::default())
                }
                Some(level) if state.is_validated() => {
                    self.update_upper(mmu, level, update, budget)
                }
                _ => self.update_memory(table, index, value),
            }
        })
    }

    /// A store to a frame that is no table now.
    fn update_memory(&self, table: Mfn, index: usize, value: u64) -> Progress<Updated> {
        let held = refs::get_writable(self.host, table, self.owner)?;
        self.host.write_entry(table, index, value);
        refs::put_writable(self.host, held);
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
        let EntryUpdate { table, index, value, mode, page_owner } = *update;
        if page_owner != self.owner {
            return Err(PageError::ForeignTable.into());
        }
        if is_hv_slot(level, index) {
            return Err(PageError::HypervisorSlot.into());
        }
        let old = Entry::new(self.host.read_entry(table, index));
        let mut new = Entry::new(value);
        if new.is_present() {
            let target = self.target_of(table, new)?;
            new = new.adjusted_upper(level);
            if old.is_upper_refresh(new) {
                self.store_entry(table, index, old, new, mode);
                return Ok(Updated::default());
            }
            if let Target::Table(child) = target {
                self.acquire_target(mmu, table, level, new, child, budget)?;
            }
        }
        self.store_entry(table, index, old, new, mode);
        self.release_upper(mmu, table, level, old);
        // A CPU does not cache that something is absent, so filling a hole needs no flush.
        Ok(Updated { flush_domain: old.is_present() })
    }

    /// Takes the reference of an upper entry, with a walk if need be.
    fn acquire_target(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
        entry: Entry,
        child: Mfn,
        budget: &mut u32,
    ) -> Progress<()> {
        let Some(below) = level.below() else { return Err(PageError::BadFlags.into()) };
        match self.acquire_table(mmu, child, below, budget) {
            Err(Stop::Refused(error)) => Ok(self.acquire_linear(table, level, entry, error)?),
            other => other,
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
        self.operate(mmu, budget, |_, _| {
            let (table, index) = self.leaf_slot(root, va).ok_or(PageError::NoLeafTable)?;
            let new = Entry::new(value);
            Ok(self.update_leaf(table, index, new, UpdateMode::Normal, page_owner)?)
        })
    }

    /// Replaces a leaf entry on behalf of an emulated instruction that has seen `old` there and
    /// wants `new`: validated like any update, stored by compare-exchange.
    ///
    /// # Errors
    /// `NoLeafTable` when the frame is no validated leaf table of the owner now, `EntryChanged`
    /// when the entry is not `old` (any more): look again; else as an update of a leaf.
    pub fn update_leaf_from_emulation(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        index: usize,
        old: u64,
        new: u64,
        budget: &mut u32,
    ) -> Progress<()> {
        self.operate(mmu, budget, |_, _| {
            self.check_leaf(table, index)?;
            let (old, new) = (Entry::new(old), Entry::new(new));
            if self.host.read_entry(table, index) != old.bits() {
                return Err(PageError::EntryChanged.into());
            }
            if old.is_leaf_refresh(new) && self.is_nx_acceptable(new) {
                let adjusted = new.adjusted_leaf();
                return self
                    .host
                    .cmpxchg_entry(table, index, old.bits(), adjusted.bits())
                    .map_err(|_| PageError::EntryChanged.into());
            }
            let mut adjusted = new;
            if new.is_present() {
                adjusted = self.acquire_leaf(self.owner, new)?;
            }
            if self.host.cmpxchg_entry(table, index, old.bits(), adjusted.bits()).is_err() {
                self.release_leaf(adjusted);
                return Err(PageError::EntryChanged.into());
            }
            self.release_leaf(old);
            Ok(())
        })
    }

    /// Stores an entry whose references the caller already holds, and returns the old entry with
    /// *its* references, for [`Self::drop_leaf`]. With `expected`, the old entry must map that
    /// frame with that permission (XSA-234). For grants; no walk may be pending ([`Self::settle`]).
    ///
    /// # Errors
    /// `NoLeafTable` when the frame is no validated leaf table of the owner, `EntryChanged` when
    /// the old entry is not as expected.
    pub fn swap_leaf(
        &self,
        table: Mfn,
        index: usize,
        new: Entry,
        expected: Option<ExpectedLeaf>,
    ) -> Result<Entry, PageError> {
        self.check_leaf(table, index)?;
        let old = Entry::new(self.host.read_entry(table, index));
        if let Some(expected) = expected {
            let is_expected = old.is_present()
                && old.mfn() == expected.mfn
                && old.is_writable() == expected.is_writable;
            if !is_expected {
                return Err(PageError::EntryChanged);
            }
        }
        self.host.write_entry(table, index, new.bits());
        Ok(old)
    }

    /// The leaf entry at that place of a validated leaf table of the owner.
    ///
    /// # Errors
    /// `NoLeafTable` when it is not one.
    pub fn read_leaf(&self, table: Mfn, index: usize) -> Result<Entry, PageError> {
        self.check_leaf(table, index)?;
        Ok(Entry::new(self.host.read_entry(table, index)))
    }

    /// Drops the references of an entry that [`Self::swap_leaf`] has taken out.
    pub fn drop_leaf(&self, old: Entry) {
        self.release_leaf(old);
    }

    #[inline]
    fn check_leaf(&self, table: Mfn, index: usize) -> Result<(), PageError> {
        if index < ENTRIES && self.is_validated(table, PageType::L1) {
            Ok(())
        } else {
            Err(PageError::NoLeafTable)
        }
    }
}
