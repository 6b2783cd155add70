//! Page tables of one domain: the handle all page-table operations hang on, pins and roots.
//!
//! Called by the hypercalls `mmu_update`, `mmuext_op`, `update_va_mapping`, by grants, by the page
//! fault handler and by the domain builder. The caller holds the page-table lock of `owner` and
//! passes the [`MmuState`] that lock guards.
//!
//! All operations with a budget have the same frame ([`PageTables::operate`]): first finish what an
//! earlier operation left, then do the new one, then let go of a validated table that nobody came
//! back for. On `Stop::Preempted` nothing of the new operation has happened that would be lost or
//! done twice: make the same call again.

use hypercall_abi::{DomId, Mfn};

use super::error::{PageError, Progress, Stop};
use super::host::{lookup, lookup_ram, PageHost};
use super::state::TableDrop;
use super::types::{Level, PageType};
use super::walk::{Job, MmuState, Task};

/// How an entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// As given (`MMU_NORMAL_PT_UPDATE`).
    Normal,
    /// With the accessed and dirty bits of the old entry added (`MMU_PT_UPDATE_PRESERVE_AD`).
    PreserveAd,
}

/// The page tables of `owner`, changed on behalf of `caller`.
pub struct PageTables<'a, H> {
    pub(super) host: &'a H,
    pub(super) owner: DomId,
    pub(super) caller: DomId,
}

impl<'a, H: PageHost> PageTables<'a, H> {
    /// A handle for the tables of `owner`, whose page-table lock the caller holds. `caller` is the
    /// domain that makes the hypercall; it matters for device memory only.
    #[inline]
    pub const fn new(host: &'a H, owner: DomId, caller: DomId) -> Self {
        Self { host, owner, caller }
    }

    /// The frame every budgeted operation has; see the head of this file.
    #[inline(always)]
    pub(super) fn operate<T>(
        &self,
        mmu: &mut MmuState,
        budget: &mut u32,
        operation: impl FnOnce(&mut MmuState, &mut u32) -> Progress<T>,
    ) -> Progress<T> {
        if mmu.has_work() {
            self.settle(mmu, budget)?;
        }
        let result = operation(mmu, budget);
        if !mmu.is_quiet() && !matches!(result, Err(Stop::Preempted)) {
            self.clean_up(mmu, budget);
        }
        result
    }

    /// After an operation: what does not fit into the budget stays for the next one or `settle`.
    #[cold]
    #[inline(never)]
    fn clean_up(&self, mmu: &mut MmuState, budget: &mut u32) {
        self.release_unclaimed(mmu);
        if *budget > 0 {
            let _ = self.settle(mmu, budget);
        }
    }

    /// Finishes what earlier operations left to do.
    ///
    /// # Errors
    /// `Preempted` when the budget is used up before the end; at least one unit has been done.
    #[inline(never)]
    pub fn settle(&self, mmu: &mut MmuState, budget: &mut u32) -> Progress<()> {
        while mmu.has_work() {
            self.step(mmu, budget);
            if *budget == 0 && mmu.has_work() {
                return Err(Stop::Preempted);
            }
        }
        Ok(())
    }

    /// Drops the reference of a validation that nobody has claimed.
    #[cold]
    pub(super) fn release_unclaimed(&self, mmu: &mut MmuState) {
        if let Some(finished) = mmu.take_finished() {
            if finished.result.is_ok() {
                self.drop_table(mmu, finished.table);
            }
        }
    }

    /// Takes a reference on `table` as a table of `level`, validating it if nobody uses it so yet.
    /// No walk is pending when this is called.
    pub(super) fn acquire_table(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
        budget: &mut u32,
    ) -> Progress<()> {
        if let Some(result) = mmu.claim(table, level) {
            return Ok(result?);
        }
        if self.would_validate(table, level) {
            self.release_unclaimed(mmu);
            self.settle(mmu, budget)?;
        }
        match self.take_table(table, level)? {
            Taken::Validated => Ok(()),
            Taken::ToValidate => {
                mmu.push(Task::new(table, level, Job::Promote));
                self.settle(mmu, budget)?;
                // The walk has just put its verdict there.
                Ok(mmu.claim(table, level).unwrap_or(Err(PageError::TypeConflict))?)
            }
        }
    }

    /// Taking the reference would start a walk.
    fn would_validate(&self, table: Mfn, level: Level) -> bool {
        lookup_ram(self.host, table)
            .is_some_and(|frame| !frame.state().is_valid_table(level.page_type()))
    }

    /// Takes a general and a type reference on a frame of the owner.
    pub(super) fn take_table(&self, table: Mfn, level: Level) -> Result<Taken, PageError> {
        use super::state::Taken as Outcome;
        let page_type = level.page_type();
        match super::refs::take_typed(self.host, table, self.owner, page_type)? {
            Outcome::Validate { .. } => {
                if let Some(frame) = lookup_ram(self.host, table) {
                    frame.set_linear(0);
                }
                Ok(Taken::ToValidate)
            }
            Outcome::Ready | Outcome::FlushThenReady => Ok(Taken::Validated),
        }
    }

    /// Drops a use of a table; the last use becomes a pending walk that takes it apart.
    pub(super) fn drop_table(&self, mmu: &mut MmuState, table: Mfn) {
        let Some(frame) = lookup_ram(self.host, table) else { return };
        let Some(level) = frame.state().page_type().level() else { return };
        if frame.drop_table() == TableDrop::TakeApart {
            mmu.push(Task::new(table, level, Job::Demote));
        }
    }

    /// Pins a frame of the owner as a table of `level`.
    ///
    /// # Errors
    /// Not the owner's, pinned already, in use otherwise, or what the validation says.
    pub fn pin(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
        budget: &mut u32,
    ) -> Progress<()> {
        self.operate(mmu, budget, |mmu, budget| {
            let frame = lookup_ram(self.host, table).ok_or(PageError::BadFrame)?;
            if frame.owner() != self.owner {
                return Err(PageError::NotOwned.into());
            }
            if frame.state().is_pinned() {
                return Err(PageError::AlreadyPinned.into());
            }
            self.acquire_table(mmu, table, level, budget)?;
            // Under the owner's lock nobody else pins.
            frame.pin().map_err(|_| PageError::AlreadyPinned.into())
        })
    }

    /// Drops the pin of a table of the owner.
    ///
    /// # Errors
    /// Not the owner's, or not pinned.
    pub fn unpin(&self, mmu: &mut MmuState, table: Mfn, budget: &mut u32) -> Progress<()> {
        self.operate(mmu, budget, |mmu, _| {
            let frame = lookup_ram(self.host, table).ok_or(PageError::BadFrame)?;
            if frame.owner() != self.owner {
                return Err(PageError::NotOwned.into());
            }
            frame.unpin().map_err(|_| PageError::NotPinned)?;
            self.drop_table(mmu, table);
            Ok(())
        })
    }

    /// Takes the reference a vCPU holds on its root `new`, and drops the one on `old`. Both
    /// happen, or neither.
    ///
    /// # Errors
    /// `new` is not the owner's, in use otherwise, or what the validation says.
    pub fn switch_root(
        &self,
        mmu: &mut MmuState,
        new: Mfn,
        old: Option<Mfn>,
        budget: &mut u32,
    ) -> Progress<()> {
        self.operate(mmu, budget, |mmu, budget| {
            self.acquire_table(mmu, new, Level::L4, budget)?;
            if let Some(old) = old {
                self.drop_table(mmu, old);
            }
            Ok(())
        })
    }

    /// Drops the reference a vCPU holds on a root, as taken by [`Self::switch_root`].
    ///
    /// # Errors
    /// Only `Preempted`, with the reference still held.
    pub fn put_root(&self, mmu: &mut MmuState, old: Mfn, budget: &mut u32) -> Progress<()> {
        self.operate(mmu, budget, |mmu, _| {
            self.drop_table(mmu, old);
            Ok(())
        })
    }

    /// `table` is a validated table of this owner, of this level. Stable under the owner's lock.
    #[inline]
    pub(super) fn is_validated(&self, table: Mfn, page_type: PageType) -> bool {
        lookup(self.host, table).is_some_and(|frame| {
            frame.state().is_valid_table(page_type) && frame.owner() == self.owner
        })
    }
}

/// What taking a table reference found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The table is validated.
    Validated,
    /// It is ours to validate.
    ToValidate,
}
