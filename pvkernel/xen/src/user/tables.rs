//! Frames for page tables of programs, and the updates that make and change them.
//!
//! The part of `space` that the other backend does without. A table is filled as ordinary memory, sealed (made read-only in the direct map) and then used; from
//! there on each change is checked by the hypervisor. Changes are collected in a `Batch` and carried out
//! in order, many with one hypercall.

use hypercall_abi::mmu::{mmuext, MmuUpdate, MmuextOp, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::{vm_assist, DomId, Mfn, Pfn};

use super::tricks::{self, Trick};
use crate::hypercall::misc;
use crate::hypercall::mmu::{mmu_update, mmuext_self};
use crate::layout::direct_va;
use crate::mmu::{self, KERNEL_RO, KERNEL_RW};
use crate::{boot, directmap, p2m, sealing};

/// Updates with one hypercall.
const BATCH: usize = 64;

/// A frame that is a table, or will be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) pfn: Pfn,
    pub(super) mfn: Mfn,
}

impl Table {
    /// Machine address of an entry.
    pub(super) const fn entry(self, index: usize) -> u64 {
        mmu::entry_maddr(self.mfn, index)
    }

    fn word(self, index: usize) -> *mut u64 {
        let address = direct_va(self.pfn) as usize + 8 * (index & 511);
        core::ptr::with_exposed_provenance_mut(address)
    }

    /// Writes an entry: of a table that is not sealed, or by a write that traps and is emulated.
    pub(super) fn write(self, index: usize, entry: u64) {
        // SAFETY: the frame belongs to a table that maps no memory of the kernel.
        unsafe { self.word(index).write_volatile(entry) };
    }
}

/// The machine frame of a frame of ours.
pub(super) fn machine(pfn: Pfn) -> Mfn {
    p2m::mfn(pfn).expect("frames in use have a machine frame")
}

/// Agrees with the hypervisor on tables of programs. The builder's own mapping of frames that are free now
/// would keep them from becoming tables.
pub(super) fn prepare() {
    // SAFETY: nobody uses frames by that mapping that were given to the frame allocator.
    unsafe { sealing::forget_initial_from(boot::first_free()) };
    // Programs need not see which machine frames there are; a hypervisor that cannot hide it may refuse.
    let _ = misc::vm_assist(vm_assist::CMD_ENABLE, vm_assist::TYPE_M2P_STRICT);
    if tricks::is_on(Trick::DirectWrites) {
        let kind = vm_assist::TYPE_WRITABLE_PAGETABLES;
        let enabled = misc::vm_assist(vm_assist::CMD_ENABLE, kind);
        enabled.expect("emulated writes can be turned on");
    }
}

/// Updates that are still to be made.
pub(super) struct Batch {
    updates: [MmuUpdate; BATCH],
    len: usize,
    limit: usize,
}

impl Batch {
    /// Nothing to do.
    pub(super) const fn new() -> Self {
        Self { updates: [MmuUpdate::new(MMU_NORMAL_PT_UPDATE, 0, 0); BATCH], len: 0, limit: 1 }
    }

    /// Writes an entry, by its machine address.
    #[inline(always)]
    pub(super) fn set(&mut self, maddr: u64, entry: u64) {
        self.updates[self.len] = MmuUpdate::new(MMU_NORMAL_PT_UPDATE, maddr, entry);
        self.len += 1;
        if self.len >= self.limit {
            self.carry_out();
        }
    }

    /// Makes a table read-only.
    pub(super) fn seal(&mut self, table: Table) {
        self.set(directmap::entry_of(table.pfn), table.mfn.maddr() | KERNEL_RO);
    }

    /// Makes a table that is none any more writable. A flush has to follow.
    pub(super) fn unseal(&mut self, table: Table) {
        self.set(directmap::entry_of(table.pfn), table.mfn.maddr() | KERNEL_RW);
    }

    /// Carries out what has been collected.
    #[inline]
    pub(super) fn carry_out(&mut self) {
        self.limit = if tricks::is_on(Trick::NoBatch) { 1 } else { BATCH };
        let updates = &self.updates[..core::mem::take(&mut self.len)];
        if !updates.is_empty() {
            update(updates);
        }
    }
}

/// Carries out updates, in order.
pub(super) fn update(updates: &[MmuUpdate]) {
    // SAFETY: the updates concern tables of programs, and access to frames that are such tables, which
    // nobody writes otherwise.
    let result = unsafe { mmu_update(updates, DomId::SELF) };
    if let Err((errno, done)) = result {
        let refused = updates.get(done);
        panic!("an update of a program's table was refused: {errno:?}, {refused:x?}");
    }
}

/// Operations on whole tables.
pub(super) fn operate(ops: &[MmuextOp]) {
    // SAFETY: pins and roots of programs' tables, and flushes, change no memory of the kernel.
    let result = unsafe { mmuext_self(ops) };
    if let Err((errno, done)) = result {
        panic!("an operation on a program's tables was refused: {errno:?}, {:x?}", ops.get(done));
    }
}

/// A flush of everything.
pub(super) fn flush_all() -> MmuextOp {
    MmuextOp { cmd: mmuext::TLB_FLUSH_LOCAL, ..Default::default() }
}
