//! Validation and its opposite, as a preemptible walk with an explicit stack.
//!
//! A walk is a stack of tasks, one for each table it is inside of. A task *owns* one type reference
//! of its table (and the general reference that comes with it), and the references held by the
//! entries it has finished; nothing about a half-finished table is recorded in the frame except
//! that it is not validated. So a walk can stop after any entry and go on later, and no other
//! operation can see or use a table in between.
//!
//! * `Promote`: entries below `index` hold their references. At the end the table is validated and
//!   its reference passes to the verdict.
//! * `Undo`: a promotion that failed; entries below `index` still hold references. At the end the
//!   table's reference is dropped and the error becomes the verdict.
//! * `Demote`: the last use has gone; entries below `index` still hold references.
//!
//! Who needs a table that nobody has validated yet starts a task for it and asks again when that is
//! done: the second time the verdict is there to be claimed. This is so for operations and for the
//! task of the table above alike, so there is one verdict at a time.
//!
//! Depth: one table per level, and per level above the leaf at most one more through a linear
//! entry (a table that is named by linear entries has none itself), so at most seven tasks for each
//! walk. A finished operation leaves at most two walks, one on top of the other.

use crate::ensure;
use hypercall_abi::addr::{ROOT_PAGETABLE_FIRST_XEN_SLOT, ROOT_PAGETABLE_LAST_XEN_SLOT};
use hypercall_abi::Mfn;

use super::entry::Entry;
use super::error::PageError;
use super::frame::FrameInfo;
use super::host::PageHost;
use super::refs;
use super::state::State;
use super::tables::PageTables;
use super::teardown::Cursor;
use super::types::{Level, ENTRIES};

const MAX_TASKS: usize = 16;

/// What a task does with its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Promote,
    Undo(PageError),
    Demote,
}

/// A table a walk is inside of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    table: Mfn,
    level: Level,
    index: usize,
    job: Job,
}

impl Task {
    pub(super) const fn demote(table: Mfn, level: Level) -> Self {
        Self { table, level, index: ENTRIES, job: Job::Demote }
    }

    /// No entry is left to look at.
    fn is_done(&self) -> bool {
        self.index == if self.job == Job::Promote { ENTRIES } else { 0 }
    }
}

/// What the last validation has found; `Ok` holds a reference on the table.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    table: Mfn,
    level: Level,
    result: Result<(), PageError>,
}

/// What a domain's page-table operations remember from call to call. Guarded by the domain's
/// page-table lock.
#[derive(Debug, Default)]
pub struct MmuState {
    tasks: [Option<Task>; MAX_TASKS],
    depth: usize,
    verdict: Option<Verdict>,
    pub(super) teardown: Cursor,
}

impl MmuState {
    /// A walk is pending: see [`PageTables::settle`].
    pub const fn has_work(&self) -> bool {
        self.depth != 0
    }

    /// No walk is pending and no unclaimed verdict is held.
    pub const fn is_quiet(&self) -> bool {
        self.depth == 0 && self.verdict.is_none()
    }

    /// # Panics
    /// When the stack is full, which the depth argument at the head of this file excludes.
    pub(super) fn push(&mut self, task: Option<Task>) {
        if task.is_some() {
            self.tasks[self.depth] = task;
            self.depth += 1;
        }
    }

    fn pop(&mut self) -> Option<Task> {
        self.depth = self.depth.checked_sub(1)?;
        self.tasks.get_mut(self.depth)?.take()
    }

    /// The last validation was of that table, and nobody has claimed the verdict.
    pub(super) fn has_verdict_on(&self, table: Mfn, level: Level) -> bool {
        self.verdict.is_some_and(|found| (found.table, found.level) == (table, level))
    }
}

impl<H: PageHost> PageTables<'_, H> {
    /// Takes a reference on a frame of the owner as a table of `level`: at once, from the verdict,
    /// or by way of the task that is returned. That is to be pushed and done before asking again.
    pub(super) fn acquire_table(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
    ) -> Result<Option<Task>, PageError> {
        // Most tables that are asked for are validated.
        if mmu.verdict.is_none() && self.acquire_usual(self.owner, table, level.page_type()) {
            return Ok(None);
        }
        self.acquire_unusual_table(mmu, table, level)
    }

    #[inline(never)]
    fn acquire_unusual_table(
        self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
    ) -> Result<Option<Task>, PageError> {
        if mmu.has_verdict_on(table, level) {
            return mmu.verdict.take().map_or(Ok(()), |found| found.result).map(|()| None);
        }
        if !refs::acquire(self.host, table, self.owner, level.page_type())?.validate {
            return Ok(None);
        }
        self.host.frame(table)?.set_linear(0);
        Ok(Some(Task { table, level, index: 0, job: Job::Promote }))
    }

    /// Drops a use of a table; the last use becomes a task that takes it apart.
    #[must_use]
    pub(super) fn release_table(&self, table: Mfn) -> Option<Task> {
        let frame = FrameInfo::of(self.host.frames(), table)?;
        if frame.try_change(State::drop_typed_fast).is_ok() {
            return None;
        }
        self.release_last_use(table)
    }

    #[inline(never)]
    fn release_last_use(self, table: Mfn) -> Option<Task> {
        let frame = self.host.frame(table).ok()?;
        let level = frame.state().page_type().level()?;
        frame.change(State::drop_table).then(|| Task::demote(table, level))
    }

    /// Drops the reference of a verdict that nobody has claimed.
    #[cold]
    pub(super) fn release_unclaimed(self, mmu: &mut MmuState) {
        if let Some(Verdict { table, result: Ok(()), .. }) = mmu.verdict.take() {
            mmu.push(self.release_table(table));
        }
    }

    /// One unit of the pending walk: entries of one table, up to the first that leads to another.
    pub(super) fn step(&self, mmu: &mut MmuState, budget: &mut u32) {
        let Some(mut task) = mmu.pop() else { return };
        let next = match task.job {
            Job::Promote => self.promote(mmu, &mut task, budget),
            Job::Undo(_) | Job::Demote => self.demote(&mut task, budget),
        };
        if next.is_none() && task.is_done() {
            self.finish(mmu, &task);
        } else {
            mmu.push(Some(task));
            mmu.push(next);
        }
    }

    /// Takes the references of entries, from `task.index` on, as far as the budget goes.
    fn promote(&self, mmu: &mut MmuState, task: &mut Task, budget: &mut u32) -> Option<Task> {
        let (first, left) = (task.index, (*budget).max(1) as usize);
        let end = ENTRIES.min(first + left);
        let result = if task.level == Level::L1 {
            self.promote_leaves(task, end).map(|()| None)
        } else {
            self.promote_uppers(mmu, task, end)
        };
        // One at least, so that a walk always ends.
        *budget = budget.saturating_sub((task.index - first).max(1) as u32);
        result.unwrap_or_else(|error| {
            task.job = Job::Undo(error);
            None
        })
    }

    // This loop and its opposite stand alone, so that all they need stays in registers.
    #[inline(never)]
    fn promote_leaves(&self, task: &mut Task, end: usize) -> Result<(), PageError> {
        let page = self.host.page(task.table);
        while task.index < end {
            let entry = Entry::new(self.host.load(page, task.index));
            if !entry.is_present() {
                task.index = self.next_present(page, task.index + 1, end);
                continue;
            }
            let adjusted = self.acquire_leaf(self.owner, entry)?;
            if adjusted != entry {
                self.host.store(page, task.index, adjusted.bits());
            }
            task.index += 1;
        }
        Ok(())
    }

    /// Stops at an entry for which another task must be done first, and returns that.
    fn promote_uppers(
        &self,
        mmu: &mut MmuState,
        task: &mut Task,
        end: usize,
    ) -> Result<Option<Task>, PageError> {
        let page = self.host.page(task.table);
        loop {
            task.index = self.next_present(page, task.index, end);
            if task.index == end {
                return Ok(None);
            }
            let entry = Entry::new(self.host.load(page, task.index));
            if !is_hv_slot(task.level, task.index) {
                let below = self.acquire_upper(mmu, task.table, task.level, entry)?;
                if below.is_some() {
                    return Ok(below);
                }
                let adjusted = entry.adjusted_upper(task.level);
                if adjusted != entry {
                    self.host.store(page, task.index, adjusted.bits());
                }
            }
            task.index += 1;
        }
    }

    /// Drops the references of entries, from `task.index` down, as far as the budget goes.
    fn demote(&self, task: &mut Task, budget: &mut u32) -> Option<Task> {
        let (first, left) = (task.index, (*budget).max(1) as usize);
        let end = first.saturating_sub(left);
        let below = if task.level == Level::L1 {
            self.demote_leaves(task, end);
            None
        } else {
            self.demote_uppers(task, end)
        };
        *budget = budget.saturating_sub((first - task.index) as u32);
        below
    }

    #[inline(never)]
    fn demote_leaves(&self, task: &mut Task, end: usize) {
        let (page, mut index) = (self.host.page(task.table), task.index);
        while index > end {
            index -= 1;
            let entry = Entry::new(self.host.load(page, index));
            if entry.is_present() {
                self.drop_leaf(entry);
            } else {
                index = self.last_present(page, index, end);
            }
        }
        task.index = end;
    }

    fn demote_uppers(&self, task: &mut Task, end: usize) -> Option<Task> {
        let page = self.host.page(task.table);
        loop {
            task.index = self.last_present(page, task.index, end);
            if task.index == end {
                return None;
            }
            task.index -= 1;
            let entry = Entry::new(self.host.load(page, task.index));
            if !is_hv_slot(task.level, task.index) {
                let below = self.release_upper(task.table, task.level, entry);
                if below.is_some() {
                    return below;
                }
            }
        }
    }

    /// The end of a task: the table is good, or none of its entries holds a reference any more.
    fn finish(&self, mmu: &mut MmuState, task: &Task) {
        let Task { table, level, .. } = *task;
        let Ok(frame) = self.host.frame(table) else { return };
        if task.job == Job::Promote {
            if level == Level::L4 {
                self.fill_hv_slots(table);
            }
            frame.change(State::validated);
        } else {
            debug_assert_eq!(frame.linear(), 0, "linear entries outlive their table");
            refs::release(self.host, table, level.page_type());
        }
        let result = match task.job {
            Job::Promote => Ok(()),
            Job::Undo(error) => Err(error),
            Job::Demote => return,
        };
        debug_assert!(mmu.verdict.is_none(), "a verdict was not claimed");
        mmu.verdict = Some(Verdict { table, level, result });
    }

    /// Takes the references a present entry above the leaf level needs; like
    /// [`Self::acquire_table`], it may return a task instead.
    pub(super) fn acquire_upper(
        &self,
        mmu: &mut MmuState,
        table: Mfn,
        level: Level,
        entry: Entry,
    ) -> Result<Option<Task>, PageError> {
        let is_refused = entry.has_any(Entry::UPPER_FORBIDDEN) || self.is_unsupported(entry);
        ensure(!is_refused, PageError::BadFlags)?;
        let child = entry.mfn();
        if child == table {
            // An entry for its own table holds nothing, because it keeps nothing alive.
            return if entry.is_writable() { Err(PageError::TypeConflict) } else { Ok(None) };
        }
        let below = level.below().ok_or(PageError::TypeConflict)?;
        self.acquire_table(mmu, child, below)
            .or_else(|error| self.acquire_linear(table, level, entry, error).map(|()| None))
    }

    /// Tries an entry as a linear one: read-only, to another validated table of the same level,
    /// and no chain. `otherwise` is the error when it is not one.
    fn acquire_linear(
        &self,
        table: Mfn,
        level: Level,
        entry: Entry,
        otherwise: PageError,
    ) -> Result<(), PageError> {
        let (other, page_type) = (entry.mfn(), level.page_type());
        let (from, to) = (self.host.frame(table)?, self.host.frame(other)?);
        let is_linear = !entry.is_writable()
            && self.is_validated(other, page_type)
            && from.linear() >= 0
            && to.linear() <= 0;
        ensure(is_linear, otherwise)?;
        refs::acquire(self.host, other, self.owner, page_type)?;
        from.set_linear(from.linear() + 1);
        to.set_linear(to.linear() - 1);
        Ok(())
    }

    /// Drops the references an entry above the leaf level holds; the last use of a table becomes a
    /// task.
    #[must_use]
    pub(super) fn release_upper(&self, table: Mfn, level: Level, entry: Entry) -> Option<Task> {
        let child = entry.mfn();
        if !entry.is_present() || child == table {
            return None;
        }
        let (from, to) = (self.host.frame(table).ok()?, self.host.frame(child).ok()?);
        // The entry's reference keeps the type of its target, which tells what kind of entry it is.
        if to.state().page_type() == level.page_type() {
            from.set_linear(from.linear() - 1);
            to.set_linear(to.linear() + 1);
        }
        self.release_table(child)
    }

    /// Whatever the guest had in the hypervisor's slots is replaced, never looked at.
    fn fill_hv_slots(&self, table: Mfn) {
        let page = self.host.page(table);
        for slot in ROOT_PAGETABLE_FIRST_XEN_SLOT..=ROOT_PAGETABLE_LAST_XEN_SLOT {
            self.host.store(page, slot, self.host.hv_slot(slot, table));
        }
    }
}

/// The slot of a table of this level belongs to the hypervisor.
pub(super) fn is_hv_slot(level: Level, index: usize) -> bool {
    let slots = ROOT_PAGETABLE_FIRST_XEN_SLOT..=ROOT_PAGETABLE_LAST_XEN_SLOT;
    level == Level::L4 && slots.contains(&index)
}
