//! A granter that writes between any two reads of the hypervisor: nothing may depend on reading
//! the same word twice, and nobody may be kept busy for ever.

use std::cell::Cell;

use hv_core::grant::{
    check_version, Access, CopyPlan, CopySide, EntryPlace, GrantError, GrantTable, SharedEntries,
    UseKinds,
};
use hypercall_abi::grant::{
    gtf, GnttabCopy, GnttabCopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF,
};
use hypercall_abi::{DomId, Errno, GrantRef, Mfn};

const MAPPER: DomId = DomId::new(3);
const GREF: GrantRef = GrantRef::new(5);
const PERMIT: u64 = gtf::PERMIT_ACCESS as u64 | (MAPPER.get() as u64) << 16 | FRAME << 32;
const FRAME: u64 = 101;

/// One entry that runs through `script`, one step per access, and stays at the end of it.
struct FlickerMemory {
    script: Vec<u64>,
    step: Cell<usize>,
    written: Cell<Option<u64>>,
    exchanges: Cell<u32>,
}

impl FlickerMemory {
    fn new(script: &[u64]) -> Self {
        Self {
            script: script.to_vec(),
            step: Cell::new(0),
            written: Cell::new(None),
            exchanges: Cell::new(0),
        }
    }

    fn next(&self) -> u64 {
        let step = self.step.replace(self.step.get() + 1);
        self.script[step.min(self.script.len() - 1)]
    }
}

impl SharedEntries for FlickerMemory {
    type Entry = ();
    fn find(&self, _: EntryPlace) {}
    fn load(&self, (): ()) -> u64 {
        self.next()
    }
    fn compare_exchange(&self, (): (), old: u64, new: u64) -> Result<(), u64> {
        self.exchanges.set(self.exchanges.get() + 1);
        let now = self.next();
        if now != old {
            return Err(now);
        }
        self.written.set(Some(new));
        Ok(())
    }
    fn clear_flags(&self, (): (), mask: u16) {
        let now = self.written.get().expect("bits cleared that were never set");
        self.written.set(Some(now & !u64::from(mask)));
    }
    fn store(&self, (): (), _: u64) {
        panic!("nothing here exchanges entries");
    }
}

fn table() -> GrantTable {
    GrantTable::new(Mfn::new(1), 1).unwrap()
}

fn write_to(memory: &FlickerMemory, table: &mut GrantTable) -> Result<Mfn, GrantError> {
    table.acquire(memory, GREF, MAPPER, Access::ReadWrite, UseKinds::HOST)
}

#[test]
fn an_entry_that_turns_read_only_before_the_exchange_is_not_written_through() {
    let memory = FlickerMemory::new(&[PERMIT, PERMIT | u64::from(gtf::READONLY)]);
    let mut table = table();
    assert_eq!(write_to(&memory, &mut table), Err(GrantError::NotPermitted));
    assert_eq!((memory.written.get(), table.pinned()), (None, 0));
}

#[test]
fn an_entry_that_turns_to_another_domain_before_the_exchange_is_not_used() {
    let other = u64::from(gtf::PERMIT_ACCESS) | 9 << 16 | FRAME << 32;
    let memory = FlickerMemory::new(&[PERMIT, other]);
    let mut table = table();
    assert_eq!(write_to(&memory, &mut table), Err(GrantError::NotPermitted));
    assert_eq!(memory.exchanges.get(), 1);
}

#[test]
fn a_change_that_still_permits_is_marked_as_it_is_now() {
    let cached = PERMIT | u64::from(gtf::PCD);
    let memory = FlickerMemory::new(&[PERMIT, cached]);
    write_to(&memory, &mut table()).unwrap();
    let in_use = u64::from(gtf::READING | gtf::WRITING);
    assert_eq!(memory.written.get(), Some(cached | in_use));
}

#[test]
fn a_granter_that_never_stops_changing_is_given_up_on_after_five_attempts() {
    let script: Vec<u64> = (0..100).map(|n| PERMIT | (n % 2) << 5).collect();
    let memory = FlickerMemory::new(&script);
    let mut table = table();
    assert_eq!(write_to(&memory, &mut table), Err(GrantError::Unstable));
    assert_eq!((memory.exchanges.get(), table.pinned()), (5, 0));
}

#[test]
fn the_frame_is_the_one_that_was_marked_and_is_kept_while_in_use() {
    let memory = FlickerMemory::new(&[PERMIT, PERMIT + (1 << 32), PERMIT + (1 << 32), 0]);
    let mut table = table();
    let first = write_to(&memory, &mut table);
    assert_eq!(first, Ok(Mfn::new(FRAME + 1)));
    assert_eq!(memory.exchanges.get(), 2);
    assert_eq!(write_to(&memory, &mut table), first);
    assert_eq!(memory.exchanges.get(), 2, "the entry is not looked at again");
    table.release(&memory, GREF, Access::ReadWrite, UseKinds::HOST);
    table.release(&memory, GREF, Access::ReadWrite, UseKinds::HOST);
    let left = Some(PERMIT + (1 << 32));
    assert_eq!(memory.written.get(), left, "all in-use bits are gone");
}

#[test]
fn writing_ends_with_the_last_writer_and_reading_with_the_last_user() {
    let memory = FlickerMemory::new(&[PERMIT]);
    let mut table = table();
    let read = (Access::ReadOnly, UseKinds::HOST);
    table.acquire(&memory, GREF, MAPPER, read.0, read.1).unwrap();
    assert_eq!(memory.written.get(), Some(PERMIT | u64::from(gtf::READING)));
    let both = UseKinds::HOST | UseKinds::DEVICE;
    table.acquire(&memory, GREF, MAPPER, Access::ReadWrite, both).unwrap();
    let writing = Some(PERMIT | u64::from(gtf::READING | gtf::WRITING));
    assert_eq!(memory.written.get(), writing);
    table.release(&memory, GREF, Access::ReadWrite, UseKinds::DEVICE);
    assert_eq!(memory.written.get(), writing);
    table.release(&memory, GREF, Access::ReadWrite, UseKinds::HOST);
    assert_eq!(memory.written.get(), Some(PERMIT | u64::from(gtf::READING)));
    table.release(&memory, GREF, read.0, read.1);
    assert_eq!(memory.written.get(), Some(PERMIT));
}

#[test]
fn parts_of_a_page_cannot_be_mapped_in_version_1() {
    let memory = FlickerMemory::new(&[PERMIT | u64::from(gtf::SUB_PAGE)]);
    assert_eq!(write_to(&memory, &mut table()), Err(GrantError::NotPermitted));
    let copied = table().acquire(&memory, GREF, MAPPER, Access::ReadOnly, UseKinds::COPY);
    assert_eq!(copied, Ok(Mfn::new(FRAME)));
}

#[test]
fn only_version_1_is_offered() {
    assert_eq!(check_version(1), Ok(()));
    assert_eq!(check_version(2), Err(Errno::ENOSYS));
    assert_eq!(check_version(0), Err(Errno::EINVAL));
    assert_eq!(check_version(3), Err(Errno::EINVAL));
}

fn side(u: u64, domid: DomId, offset: u16) -> GnttabCopyPtr {
    GnttabCopyPtr { u, domid, offset, ..GnttabCopyPtr::default() }
}

fn copy(source: GnttabCopyPtr, dest: GnttabCopyPtr, len: u16, flags: u16) -> GnttabCopy {
    GnttabCopy { source, dest, len, flags, ..GnttabCopy::default() }
}

#[test]
fn a_copy_stays_inside_both_pages() {
    let at = |source, dest, len| {
        let op = copy(side(1, DomId::SELF, source), side(2, DomId::SELF, dest), len, 0);
        CopyPlan::decode(&op).map(|plan| plan.map(|plan| plan.len))
    };
    assert_eq!(at(0, 0, 4096), Ok(Some(4096)));
    assert_eq!(at(4095, 4095, 1), Ok(Some(1)));
    assert_eq!(at(1, 0, 4096), Err(GrantError::CopyRange));
    assert_eq!(at(0, 1, 4096), Err(GrantError::CopyRange));
    assert_eq!(at(u16::MAX, 0, u16::MAX), Err(GrantError::CopyRange));
    assert_eq!(at(4096, 0, 1), Err(GrantError::CopyRange));
}

#[test]
fn a_copy_of_nothing_looks_at_nothing() {
    let foreign = side(1, DomId::new(9), u16::MAX);
    assert_eq!(CopyPlan::decode(&copy(foreign, foreign, 0, 0)), Ok(None));
}

#[test]
fn only_own_frames_can_be_named_directly() {
    let own = side(0x1_0000_0001, DomId::SELF, 0);
    let foreign = side(7, DomId::new(9), 0);
    let decode = |source, dest, flags| CopyPlan::decode(&copy(source, dest, 8, flags));
    assert_eq!(decode(foreign, own, 0), Err(GrantError::ForeignFrame));
    assert_eq!(decode(own, foreign, GNTCOPY_SOURCE_GREF), Err(GrantError::ForeignFrame));
    let plan = decode(own, foreign, GNTCOPY_DEST_GREF).unwrap().unwrap();
    assert_eq!(plan.source, CopySide::Own { frame: Mfn::new(0x1_0000_0001) });
    assert_eq!(plan.dest, CopySide::Grant { dom: DomId::new(9), gref: GrantRef::new(7) });
}
