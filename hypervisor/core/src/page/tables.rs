//! Page tables of one domain: the handle all page-table operations hang on, pins and roots.
//!
//! Called by the hypercalls `mmu_update`, `mmuext_op`, `update_va_mapping`, by grants, by the page
//! fault handler and by the domain builder. The caller holds the page-table lock of `owner` and
//! passes the [`MmuState`] that lock guards.
//!
//! Operations with a budget have the same frame ([`PageTables::operate`]): first finish what an
//! earlier operation left, then do the new one, then let go of a validated table that nobody came
//! back for. Those that leave nothing themselves do all that first ([`PageTables::quiet`]). On `Stop::Preempted` nothing of the new operation has happened that would be lost or
//! done twice: make the same call again.

use crate::ensure;
use hypercall_abi::{DomId, Mfn};

use super::entry::Entry;
use super::error::{PageError, Progress, Stop};
use super::frame::FrameInfo;
use super::host::PageHost;
use super::state::State;
use super::types::{Level, PageType};
use super::walk::{MmuState, Task};

/// The page tables of `owner`, changed on behalf of `caller`.
pub struct PageTables<'a, H> {
    pub(super) host: &'a H,
    pub(super) owner: DomId,
    pub(super) caller: DomId,
}

// A handle fits into two registers: functions off the usual way get a copy, so that it never needs
// to be in memory.
impl<H> Clone for PageTables<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for PageTables<'_, H> {}

impl<'a, H: PageHost> PageTables<'a, H> {
    /// A handle for the tables of `owner`, whose page-table lock the caller holds. `caller` is the
    /// domain that makes the hypercall; it matters for device memory only.
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
        self.settle(mmu, budget)?;
        let result = operation(mmu, budget);
        if !mmu.is_quiet() && !matches!(result, Err(Stop::Preempted)) {
            self.clean_up(mmu, budget);
        }
        result
    }

    /// After an operation: what does not fit into the budget stays for the next one or `settle`.
    #[cold]
    #[inline(never)]
    fn clean_up(self, mmu: &mut MmuState, budget: &mut u32) {
        self.release_unclaimed(mmu);
        if *budget > 0 {
            let _ = self.settle(mmu, budget);
        }
    }

    /// The beginning of an operation that leaves nothing to do itself: finishes what earlier ones
    /// left.
    #[inline(always)]
    pub(super) fn quiet(&self, mmu: &mut MmuState, budget: &mut u32) -> Progress<()> {
        match mmu.is_quiet() {
            true => Ok(()),
            false => self.make_quiet(mmu, budget),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_quiet(self, mmu: &mut MmuState, budget: &mut u32) -> Progress<()> {
        self.settle(mmu, budget)?;
        self.release_unclaimed(mmu);
        self.settle(mmu, budget)
    }

    /// Finishes what earlier operations left to do.
    ///
    /// # Errors
    /// `Preempted` when the budget is used up before the end; at least one unit has been done.
    pub fn settle(&self, mmu: &mut MmuState, budget: &mut u32) -> Progress<()> {
        if mmu.has_work() {
            self.finish_work(mmu, budget)
        } else {
            Ok(())
        }
    }

    #[cold]
    #[inline(never)]
    fn finish_work(self, mmu: &mut MmuState, budget: &mut u32) -> Progress<()> {
        while mmu.has_work() {
            self.step(mmu, budget);
            if *budget == 0 && mmu.has_work() {
                return Err(Stop::Preempted);
            }
        }
        Ok(())
    }

    /// Takes the reference on `table` as a table of `level` that `acquire` takes, doing the tasks
    /// it returns. No walk is pending when this is called. What an abandoned validation has left
    /// goes first: it may be in the way, and there is room for one verdict only.
    #[inline(always)]
    pub(super) fn acquire_with_walks(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
        budget: &mut u32,
        acquire: impl Fn(&mut MmuState) -> Result<Option<Task>, PageError>,
    ) -> Progress<()> {
        if !mmu.is_quiet() && !mmu.has_verdict_on(table, level) {
            self.release_unclaimed(mmu);
            self.settle(mmu, budget)?;
        }
        while let Some(task) = acquire(mmu)? {
            mmu.push(Some(task));
            self.settle(mmu, budget)?;
        }
        Ok(())
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
            let (frame, state) = self.own_frame(table)?;
            ensure(!state.is_pinned(), PageError::AlreadyPinned)?;
            self.acquire_with_walks(mmu, table, level, budget, |mmu| {
                self.acquire_table(mmu, table, level)
            })?;
            // Under the owner's lock nobody else pins.
            Ok(frame.try_change(State::pin)?)
        })
    }

    /// Drops the pin of a table of the owner.
    ///
    /// # Errors
    /// Not the owner's, or not pinned.
    pub fn unpin(&self, mmu: &mut MmuState, table: Mfn, budget: &mut u32) -> Progress<()> {
        self.operate(mmu, budget, |mmu, _| {
            self.own_frame(table)?.0.try_change(State::unpin)?;
            mmu.push(self.release_table(table));
            Ok(())
        })
    }

    /// Takes the reference a vCPU holds on its root `new`, and drops the one on `old`, if there are
    /// such. Both happen, or neither.
    ///
    /// # Errors
    /// `new` is not the owner's, in use otherwise, or what the validation says.
    #[inline(always)]
    pub fn switch_root(
        &self,
        mmu: &mut MmuState,
        new: Option<Mfn>,
        old: Option<Mfn>,
        budget: &mut u32,
    ) -> Progress<()> {
        // Nearly all switches are between tables that are validated and stay so.
        let is_usual = |new| self.acquire_usual(self.owner, new, PageType::L4);
        if !mmu.is_quiet() || !new.is_none_or(is_usual) {
            return self.switch_root_anew(mmu, new, old, budget);
        }
        let walk = old.and_then(|old| self.release_table(old));
        if walk.is_some() {
            mmu.push(walk);
            self.clean_up(mmu, budget);
        }
        Ok(())
    }

    #[inline(never)]
    fn switch_root_anew(
        self,
        mmu: &mut MmuState,
        new: Option<Mfn>,
        old: Option<Mfn>,
        budget: &mut u32,
    ) -> Progress<()> {
        self.operate(mmu, budget, |mmu, budget| {
            if let Some(new) = new {
                self.acquire_with_walks(mmu, new, Level::L4, budget, |mmu| {
                    self.acquire_table(mmu, new, Level::L4)
                })?;
            }
            mmu.push(old.and_then(|old| self.release_table(old)));
            Ok(())
        })
    }

    /// A frame of the owner and its state, whose table type is stable under the owner's lock.
    pub(super) fn own_frame(&self, mfn: Mfn) -> Result<(&FrameInfo, State), PageError> {
        let frame = self.host.frame(mfn)?;
        // First the state, then the owner: under the owner's lock no frame becomes the owner's, so
        // it was the owner's when the state was read.
        let state = frame.state();
        ensure(frame.owner() == self.owner, PageError::NotOwned)?;
        Ok((frame, state))
    }

    /// `table` is a validated table of this owner, of this level. Stable under the owner's lock.
    pub(super) fn is_validated(&self, table: Mfn, page_type: PageType) -> bool {
        FrameInfo::of(self.host.frames(), table).is_some_and(|frame| {
            frame.state().is_valid_table(page_type) && frame.owner() == self.owner
        })
    }

    /// An entry as it is now.
    pub(super) fn read(&self, table: Mfn, index: usize) -> Entry {
        Entry::new(self.host.load(self.host.page(table), index))
    }
}
