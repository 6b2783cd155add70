//! Page tables of programs: how they are written, made usable and loaded.
//!
//! Which tables there are and what is kept of them is the same on every machine (`pvkernel_core::tables`).
//! Here a process has a root whose upper half is a copy of the kernel's, whose tables it shares, so the
//! kernel is the same in all. A table is memory like any other. No entry is global, so loading a root
//! forgets what was cached of the last one.

use pvkernel_core::platform::UserAccess;
use pvkernel_core::tables::{Spaces, Tables};
use spin::Once;

use super::tricks::{self, Trick};
use crate::layout::Pfn;
use crate::mmu::{self, pte, TABLE};
use crate::{cpu, frames, stack};

/// Slots of the kernel's half.
const KERNEL_SLOTS: core::ops::Range<usize> = 256..512;

/// The spaces of all processes.
pub(super) static SPACES: Spaces<Machine> = Spaces::new(Machine);

/// A frame that is a table, or will be.
type Table = Pfn;

/// This machine.
pub(super) struct Machine;

/// What is done before the first space.
pub(super) fn prepare() {
    static DONE: Once<()> = Once::new();
    DONE.call_once(|| {
        tricks::init();
        SPACES.reserve();
    });
}

impl Tables for Machine {
    type Table = Table;

    fn alloc(&mut self) -> Option<Table> {
        let pfn = stack::alloc_frame()?;
        mmu::zero_frame(pfn);
        Some(pfn)
    }

    fn clear(&mut self, table: Table) {
        mmu::zero_frame(table);
    }

    fn free(&mut self, table: Table) {
        frames::free(table, 1);
    }

    #[inline]
    fn table_entry(&self, table: Table, writable: bool) -> u64 {
        table.paddr() | if writable { TABLE } else { TABLE & !pte::RW }
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
        // SAFETY: the frame belongs to a table that maps no memory of the kernel.
        unsafe { mmu::write_entry(table, index, entry) };
    }

    #[inline]
    fn set(&mut self, table: Table, index: usize, entry: u64) {
        self.write(table, index, entry);
    }

    fn pin(&mut self, root: Table) {
        KERNEL_SLOTS.for_each(|slot| self.write(root, slot, mmu::read_entry(mmu::root(), slot)));
    }

    #[inline]
    fn load(&mut self, root: Option<Table>) {
        let root = root.unwrap_or(mmu::root());
        // SAFETY: the upper half is the kernel's in all roots, so what the kernel uses stays where it is.
        unsafe { cpu::write_cr3(root.paddr()) };
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
