//! Validation and its opposite, as a preemptible walk with an explicit stack.
//!
//! A walk is a stack of tasks, one for each table it is inside of. A task *owns* one type reference
//! of its table (and the general reference that comes with it), and the references held by the
//! entries it has finished; nothing about a half-finished table is recorded in the frame except
//! that it is not validated. So a walk can stop after any entry and go on later, and no other
//! operation can see or use a table in between.
//!
//! * `Promote`: entries below `index` hold their references. At the end the table is validated and
//!   its reference passes to the entry above, or to whoever claims the verdict.
//! * `Undo`: a promotion that failed; entries below `index` still hold references. At the end the
//!   table's reference is dropped and the error passes upwards.
//! * `Demote`: the last use has gone; entries below `index` still hold references.
//!
//! Depth: one table per level, and per level above the leaf at most one more through a linear
//! entry (a table that is named by linear entries has none itself), so at most seven tasks for each
//! walk. A finished operation leaves at most two walks, one on top of the other.

use hypercall_abi::addr::{ROOT_PAGETABLE_FIRST_XEN_SLOT, ROOT_PAGETABLE_LAST_XEN_SLOT};
use hypercall_abi::Mfn;

use super::entry::Entry;
use super::error::PageError;
use super::host::{lookup_ram, PageHost};
use super::refs;
use super::tables::{PageTables, Taken};
use super::types::{Level, ENTRIES};

const MAX_TASKS: usize = 16;

/// What a task does with its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Promote,
    Undo(PageError),
    Demote,
}

/// A table a walk is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    table: u32,
    index: u16,
    level: Level,
    job: Job,
}

impl Task {
    pub(super) fn new(table: Mfn, level: Level, job: Job) -> Self {
        let index = if job == Job::Promote { 0 } else { ENTRIES as u16 };
        // The frame table is indexed by 32 bits; a table was looked up in it.
        Self { table: table.get() as u32, index, level, job }
    }

    fn mfn(self) -> Mfn {
        Mfn::new(u64::from(self.table))
    }
}

/// The verdict of a validation; `Ok` holds a reference on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) table: Mfn,
    pub(super) level: Level,
    pub(super) result: Result<(), PageError>,
}

/// What a domain's page-table operations remember from call to call. Guarded by the domain's
/// page-table lock.
#[derive(Debug)]
pub struct MmuState {
    tasks: [Option<Task>; MAX_TASKS],
    depth: usize,
    finished: Option<Finished>,
    pub(super) teardown: super::teardown::Cursor,
}

impl Default for MmuState {
    fn default() -> Self {
        Self::new()
    }
}

impl MmuState {
    /// Nothing pending.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tasks: [None; MAX_TASKS],
            depth: 0,
            finished: None,
            teardown: super::teardown::Cursor::Start,
        }
    }

    /// A walk is pending: see [`PageTables::settle`].
    #[inline]
    #[must_use]
    pub const fn has_work(&self) -> bool {
        self.depth != 0
    }

    /// No walk is pending and no unclaimed verdict is held.
    #[inline]
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.depth == 0 && self.finished.is_none()
    }

    /// # Panics
    /// When the stack is full, which the depth argument at the head of this file excludes.
    pub(super) fn push(&mut self, task: Task) {
        self.tasks[self.depth] = Some(task);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn top(&mut self) -> Option<&mut Task> {
        self.tasks.get_mut(self.depth.checked_sub(1)?)?.as_mut()
    }

    pub(super) fn take_finished(&mut self) -> Option<Finished> {
        self.finished.take()
    }

    /// The verdict on `table`, with its reference, if the last validation was of that table.
    pub(super) fn claim(&mut self, table: Mfn, level: Level) -> Option<Result<(), PageError>> {
        let finished = self.finished?;
        if finished.table != table || finished.level != level {
            return None;
        }
        self.finished = None;
        Some(finished.result)
    }
}

/// What an entry above the leaf level refers to.
pub(super) enum Target {
    /// The table itself: allowed without any reference, because it keeps nothing alive.
    Itself,
    /// A table of the next level, or a linear entry.
    Table(Mfn),
}

impl<H: PageHost> PageTables<'_, H> {
    /// One unit of the pending walk: a whole leaf table, or entries of another one up to the
    /// first that leads to another table.
    pub(super) fn step(&self, mmu: &mut MmuState, budget: &mut u32) {
        let Some(task) = mmu.top().copied() else { return };
        match (task.job, task.level) {
            (Job::Promote, Level::L1) => self.promote_leaf(mmu, task, budget),
            (Job::Promote, level) => self.promote_upper(mmu, task, level, budget),
            (_, Level::L1) => self.demote_leaf(mmu, task, budget),
            (_, _) => self.demote_upper(mmu, task, budget),
        }
    }

    fn promote_leaf(&self, mmu: &mut MmuState, task: Task, budget: &mut u32) {
        *budget = budget.saturating_sub(ENTRIES as u32);
        match self.acquire_leaf_table(task.mfn()) {
            Ok(()) => self.promoted(mmu, task),
            Err(error) => {
                let failed = Task { index: 0, job: Job::Undo(error), ..task };
                self.taken_apart(mmu, failed);
            }
        }
    }

    fn promote_upper(&self, mmu: &mut MmuState, task: Task, level: Level, budget: &mut u32) {
        let table = task.mfn();
        let mut index = usize::from(task.index);
        while index < ENTRIES {
            if is_hv_slot(level, index) {
                index = ROOT_PAGETABLE_LAST_XEN_SLOT + 1;
                continue;
            }
            let entry = Entry::new(self.host.read_entry(table, index));
            match self.acquire_upper(table, level, entry) {
                Ok(Child::Ready) => self.store_adjusted(table, level, index, entry),
                Ok(Child::Absent) => {}
                Ok(Child::ToValidate(child, below)) => {
                    *budget = budget.saturating_sub(1);
                    save(mmu, Task { index: index as u16, ..task });
                    mmu.push(Task::new(child, below, Job::Promote));
                    return;
                }
                Err(error) => {
                    save(mmu, Task { index: index as u16, job: Job::Undo(error), ..task });
                    return;
                }
            }
            index += 1;
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                save(mmu, Task { index: index as u16, ..task });
                return;
            }
        }
        if level == Level::L4 {
            self.fill_hv_slots(table);
        }
        self.promoted(mmu, task);
    }

    /// The table is good: its reference goes to the entry above or to the verdict.
    fn promoted(&self, mmu: &mut MmuState, task: Task) {
        if let Some(frame) = lookup_ram(self.host, task.mfn()) {
            frame.mark_validated();
        }
        mmu.pop();
        match mmu.top() {
            Some(parent) => {
                let (table, level, index) = (parent.mfn(), parent.level, usize::from(parent.index));
                parent.index += 1;
                let entry = Entry::new(self.host.read_entry(table, index));
                self.store_adjusted(table, level, index, entry);
            }
            None => {
                mmu.finished =
                    Some(Finished { table: task.mfn(), level: task.level, result: Ok(()) });
            }
        }
    }

    fn demote_leaf(&self, mmu: &mut MmuState, task: Task, budget: &mut u32) {
        *budget = budget.saturating_sub(ENTRIES as u32);
        self.release_leaf_entries(task.mfn(), usize::from(task.index));
        self.taken_apart(mmu, task);
    }

    fn demote_upper(&self, mmu: &mut MmuState, task: Task, budget: &mut u32) {
        let table = task.mfn();
        let mut index = usize::from(task.index);
        while index > 0 {
            index -= 1;
            if is_hv_slot(task.level, index) {
                index = ROOT_PAGETABLE_FIRST_XEN_SLOT;
                continue;
            }
            let entry = Entry::new(self.host.read_entry(table, index));
            save(mmu, Task { index: index as u16, ..task });
            let depth = mmu.depth;
            self.release_upper(mmu, table, task.level, entry);
            *budget = budget.saturating_sub(1);
            if *budget == 0 || mmu.depth != depth {
                return;
            }
        }
        self.taken_apart(mmu, task);
    }

    /// No entry of the table holds a reference any more: drop the task's own.
    fn taken_apart(&self, mmu: &mut MmuState, task: Task) {
        let table = task.mfn();
        mmu.pop();
        if let Some(frame) = lookup_ram(self.host, table) {
            debug_assert_eq!(frame.linear(), 0, "linear entries outlive their table");
            refs::drop_typed(self.host, frame, table);
        }
        let Job::Undo(error) = task.job else { return };
        match mmu.top() {
            Some(parent) => parent.job = Job::Undo(error),
            None => {
                mmu.finished = Some(Finished { table, level: task.level, result: Err(error) });
            }
        }
    }

    /// What a present entry above the leaf level refers to, if its flags are acceptable.
    pub(super) fn target_of(&self, table: Mfn, entry: Entry) -> Result<Target, PageError> {
        if entry.has_forbidden_upper(self.host.nx_supported()) {
            return Err(PageError::BadFlags);
        }
        if entry.mfn() != table {
            return Ok(Target::Table(entry.mfn()));
        }
        if entry.is_writable() {
            return Err(PageError::TypeConflict);
        }
        Ok(Target::Itself)
    }

    /// Takes the references an entry above the leaf level needs, as far as that needs no walk.
    fn acquire_upper(&self, table: Mfn, level: Level, entry: Entry) -> Result<Child, PageError> {
        let Some(below) = level.below() else { return Ok(Child::Absent) };
        if !entry.is_present() {
            return Ok(Child::Absent);
        }
        let child = match self.target_of(table, entry)? {
            Target::Itself => return Ok(Child::Ready),
            Target::Table(child) => child,
        };
        match self.take_table(child, below) {
            Ok(Taken::Validated) => Ok(Child::Ready),
            Ok(Taken::ToValidate) => Ok(Child::ToValidate(child, below)),
            Err(error) => self.acquire_linear(table, level, entry, error).map(|()| Child::Ready),
        }
    }

    /// Tries an entry as a linear one: read-only, to another validated table of the same level,
    /// and no chain. `otherwise` is the error when it is not one.
    pub(super) fn acquire_linear(
        &self,
        table: Mfn,
        level: Level,
        entry: Entry,
        otherwise: PageError,
    ) -> Result<(), PageError> {
        let other = entry.mfn();
        if entry.is_writable() || !self.is_validated(other, level.page_type()) {
            return Err(otherwise);
        }
        let (Some(from), Some(to)) = (lookup_ram(self.host, table), lookup_ram(self.host, other))
        else {
            return Err(otherwise);
        };
        if from.linear() < 0 || to.linear() > 0 {
            return Err(otherwise);
        }
        self.take_table(other, level)?;
        from.set_linear(from.linear() + 1);
        to.set_linear(to.linear() - 1);
        Ok(())
    }

    /// Drops the references an entry above the leaf level holds.
    pub(super) fn release_upper(&self, mmu: &mut MmuState, table: Mfn, level: Level, entry: Entry) {
        let child = entry.mfn();
        if !entry.is_present() || child == table {
            return;
        }
        let (Some(from), Some(to)) = (lookup_ram(self.host, table), lookup_ram(self.host, child))
        else {
            return;
        };
        // The entry's reference keeps the type of its target, which tells what kind of entry it is.
        if to.state().page_type() == level.page_type() {
            from.set_linear(from.linear() - 1);
            to.set_linear(to.linear() + 1);
        }
        self.drop_table(mmu, child);
    }

    fn store_adjusted(&self, table: Mfn, level: Level, index: usize, entry: Entry) {
        let adjusted = entry.adjusted_upper(level);
        if adjusted != entry {
            self.host.write_entry(table, index, adjusted.bits());
        }
    }

    /// Whatever the guest had in the hypervisor's slots is replaced, never looked at.
    fn fill_hv_slots(&self, table: Mfn) {
        for slot in ROOT_PAGETABLE_FIRST_XEN_SLOT..=ROOT_PAGETABLE_LAST_XEN_SLOT {
            self.host.write_entry(table, slot, self.host.hv_slot(slot, table));
        }
    }
}

/// What taking the references of an upper entry found.
enum Child {
    Absent,
    Ready,
    ToValidate(Mfn, Level),
}

fn save(mmu: &mut MmuState, task: Task) {
    if let Some(top) = mmu.top() {
        *top = task;
    }
}

/// The slot of a table of this level belongs to the hypervisor.
#[inline]
pub(super) const fn is_hv_slot(level: Level, index: usize) -> bool {
    matches!(level, Level::L4)
        && index >= ROOT_PAGETABLE_FIRST_XEN_SLOT
        && index <= ROOT_PAGETABLE_LAST_XEN_SLOT
}
