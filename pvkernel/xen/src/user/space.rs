//! Page tables of programs: how they are written, made usable and loaded.
//!
//! Which tables there are and what is kept of them is the same on every machine (`pvkernel_core::tables`).
//! Here a process has a root of its own for the lower half only, which the hypervisor loads when user mode
//! is entered. A table that is in use cannot be written: each change of it is an update that the hypervisor
//! checks, many with one hypercall.

use hypercall_abi::mmu::{mmuext, MmuUpdate, MmuextOp, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::Mfn;
use pvkernel_core::platform::UserAccess;
use pvkernel_core::tables::{Spaces, Tables};
use spin::Once;

use super::run;
use super::tables::{self, flush_all, machine, operate, update, Batch, Table};
use super::tricks::{self, Trick};
use crate::layout::Pfn;
use crate::mmu::{self, pte, TABLE};
use crate::{frames, stack};

/// The spaces of all processes.
pub(super) static SPACES: Spaces<Machine> = Spaces::new(Machine(Batch::new()));

/// This machine, with the updates that are still to be made.
pub(super) struct Machine(Batch);

/// What is done before the first space.
pub(super) fn prepare() {
    static DONE: Once<()> = Once::new();
    DONE.call_once(|| {
        tricks::init();
        SPACES.reserve();
        run::init();
        tables::prepare();
    });
}

impl Tables for Machine {
    type Table = Table;

    fn alloc(&mut self) -> Option<Table> {
        let pfn = stack::alloc_frame()?;
        mmu::zero_frame(pfn);
        Some(Table { pfn, mfn: machine(pfn) })
    }

    fn clear(&mut self, table: Table) {
        mmu::zero_frame(table.pfn);
    }

    fn free(&mut self, table: Table) {
        frames::free(table.pfn, 1);
    }

    #[inline]
    fn table_entry(&self, table: Table, writable: bool) -> u64 {
        table.mfn.maddr() | if writable { TABLE } else { TABLE & !pte::RW }
    }

    #[inline]
    fn page_entry(&self, frame: usize, access: UserAccess) -> u64 {
        let write = if access.write { pte::RW | pte::DIRTY } else { 0 };
        let execute = if access.execute { 0 } else { pte::NX };
        let flags = pte::PRESENT | pte::USER | pte::ACCESSED | write | execute;
        mmu::frame_entry(Pfn::new(frame as u64), flags)
    }

    #[inline]
    fn write(&mut self, table: Table, index: usize, entry: u64) {
        table.write(index, entry);
    }

    #[inline]
    fn set(&mut self, table: Table, index: usize, entry: u64) {
        self.0.set(table.entry(index), entry);
    }

    #[inline]
    fn set_now(&mut self, table: Table, index: usize, entry: u64) {
        update(&[MmuUpdate::new(MMU_NORMAL_PT_UPDATE, table.entry(index), entry)]);
    }

    #[inline]
    fn is_writing(&self) -> bool {
        tricks::is_on(Trick::DirectWrites)
    }

    fn seal(&mut self, table: Table) {
        self.0.seal(table);
    }

    fn unseal(&mut self, table: Table) {
        self.0.unseal(table);
    }

    #[inline]
    fn carry_out(&mut self) {
        self.0.carry_out();
    }

    fn pin(&mut self, root: Table) {
        operate(&[MmuextOp::with_mfn(mmuext::PIN_L4_TABLE, root.mfn)]);
    }

    fn unpin(&mut self, root: Table) {
        operate(&[MmuextOp::with_mfn(mmuext::UNPIN_TABLE, root.mfn)]);
    }

    /// A user root alone flushes nothing, and pages of programs may survive the way through the kernel.
    #[inline]
    fn load(&mut self, root: Option<Table>) {
        let root = root.map_or(Mfn::new(0), |root| root.mfn);
        operate(&[MmuextOp::with_mfn(mmuext::NEW_USER_BASEPTR, root), flush_all()]);
    }

    fn forget(&mut self, addresses: Option<&[u64]>) {
        addresses.map_or_else(mmu::flush_all, mmu::flush_each);
    }

    fn is_early(&self) -> bool {
        tricks::is_on(Trick::EarlyPin)
    }

    fn is_keeping(&self) -> bool {
        !tricks::is_on(Trick::NoRecycle)
    }
}
