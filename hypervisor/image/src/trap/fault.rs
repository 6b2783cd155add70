//! Page faults of guests.
//!
//! Two kinds are the hypervisor's own business: a look into the window of the guest's LDT, whose
//! pages are mapped when they are first used, and a write to a page table that is emulated. All
//! others are delivered, with the error code as the guest's mode makes it. A third kind exists in one
//! emulator only ([`emulate_iretq`]).

use core::sync::atomic::Ordering;
use hv_core::emul::{apply, decode_store, Outcome, Store};
use hv_core::page::{PageError, Stop, Translation};
use hv_core::trap::pagefault::{self, PRESENT, USER};
use hv_core::trap::{flags, vector};
use hv_machine::{cpu, cpuinfo, desc, GuestRegs};
use hypercall_abi::vm_assist;
use hypercall_abi::{GuestVa, Mfn};

use super::fetch;
use super::privop::{write_gpr, View};
use crate::counters::bump;
use crate::current::Here;
use crate::domain::lifecycle;
use crate::host::to_end;
use crate::hypercall::mmu::BUDGET;
use crate::{guestmem, upcall};

/// Delivers a page fault that is the guest's own for sure; false when it has to be looked at.
#[inline(always)]
pub fn deliver_plain(here: &Here, regs: &mut GuestRegs) -> bool {
    let (va, hardware) = (cpu::cr2(), regs.error_code);
    let is_special = desc::ldt_offset(va).is_some() || is_impossible(hardware, va);
    !is_special && !may_be_write(here, hardware) && deliver_own(here, regs, va)
}

/// Delivers a page fault the hypervisor has no part in; false when a page table is damaged.
#[inline(always)]
fn deliver_own(here: &Here, regs: &mut GuestRegs, va: u64) -> bool {
    let Some(code) = pagefault::guest_error_code(regs.error_code, upcall::mode()) else {
        return false;
    };
    cpuinfo::vcpu_words().cr2.store(va, Ordering::Relaxed);
    upcall::raise(here, regs, vector::PAGE_FAULT, code);
    true
}

/// A page fault of any kind.
pub fn page_fault(here: &Here, regs: &mut GuestRegs) {
    let (va, hardware) = (cpu::cr2(), regs.error_code);
    if let Some(offset) = desc::ldt_offset(va) {
        return descriptor_fault(here, regs, offset);
    }
    let is_done = may_be_write(here, hardware) && emulate_write(here, regs, GuestVa::new(va))
        || is_impossible(hardware, va) && emulate_iretq(regs);
    if !is_done && !deliver_own(here, regs, va) {
        super::report(here, regs, "reserved bit in a page table");
        lifecycle::crash(here.dom(), "has a page table with a reserved bit");
    }
}

/// Whether it may be a write to a page table that is emulated. Those are when the domain asked for it,
/// and for a control domain always, as Xen does.
fn may_be_write(here: &Here, hardware: u32) -> bool {
    pagefault::may_be_page_table_write(hardware, upcall::mode())
        && (here.dom().privileged || here.dom().assisted(vm_assist::TYPE_WRITABLE_PAGETABLES))
}

/// Delivers a page fault at an address.
pub fn deliver(here: &Here, regs: &mut GuestRegs, va: u64, code: u32) {
    cpuinfo::vcpu_words().cr2.store(va, Ordering::Relaxed);
    upcall::exception(here, regs, vector::PAGE_FAULT, code);
}

/// The CPU looked for a descriptor in an LDT page that is not mapped yet.
fn descriptor_fault(here: &Here, regs: &mut GuestRegs, offset: u64) {
    if map_ldt_page(here, offset).is_some() {
        return;
    }
    let base = here.vcpu().state.lock().ldt_base;
    let code = pagefault::guest_error_code(regs.error_code, upcall::mode()).unwrap_or(0);
    deliver(here, regs, base.wrapping_add(offset), code);
}

/// Maps the LDT page that contains byte `offset`: the frame behind the guest's own mapping of it
/// becomes a page of checked descriptors.
fn map_ldt_page(here: &Here, offset: u64) -> Option<()> {
    let (dom, vcpu) = (here.dom(), here.vcpu());
    let index = (offset >> 12) as usize;
    let (root, va) = {
        let state = vcpu.state.lock();
        let root = state.root.filter(|_| offset / 8 < u64::from(state.ldt_ents))?;
        (root, GuestVa::new(state.ldt_base.wrapping_add(offset & !0xfff)))
    };
    let tables = dom.tables();
    let mut mmu = dom.mmu.lock();
    let mfn = tables.translate(root, va)?.mfn;
    to_end(|budget| tables.get_descriptor_page(&mut mmu, mfn, budget)).ok()?;
    let mut state = vcpu.state.lock();
    let Some(slot @ None) = state.ldt_pages.get_mut(index) else {
        // The page is there already, so the fault was about something else.
        tables.put_descriptor_page(mfn);
        return None;
    };
    *slot = Some(mfn);
    desc::ldt_map_page(index, mfn);
    Some(())
}

/// `iretq`.
const IRETQ: [u8; 2] = [0x48, 0xcf];

/// Whether no processor makes such a fault; see [`emulate_iretq`].
fn is_impossible(hardware: u32, va: u64) -> bool {
    hardware & (PRESENT | USER) == PRESENT && GuestVa::new(va).is_guest_accessible()
}

/// Carries out an `iretq` that faulted for no reason of the guest's; false when it was not that.
///
/// A quirk of QEMU: it reads the frame of an `iretq` with the rights of ring 0, whatever the
/// privilege of the code, so with SMAP it may not touch the guest's stack. No processor makes such a
/// fault: the access of ring 3 to a present page of its own with the "user" bit clear. Guest kernels
/// return from handlers this way, so the instruction is carried out here.
fn emulate_iretq(regs: &mut GuestRegs) -> bool {
    if guestmem::read::<[u8; 2]>(regs.rip) != Ok(IRETQ) {
        return false;
    }
    let Ok([rip, cs, rflags, rsp, ss]) = guestmem::read::<[u64; 5]>(regs.rsp) else {
        return false;
    };
    // As on a processor at privilege 3: the interrupt flag and the I/O privilege level stay. A bad
    // selector faults when the hypervisor's own IRETQ loads it, and the guest gets that fault.
    regs.rip = rip;
    regs.cs = u64::from(cs as u16 | 3);
    regs.rflags = flags::for_guest(rflags);
    regs.rsp = rsp;
    regs.ss = u64::from(ss as u16 | 3);
    true
}

// Writes to page tables: the guest's own read-only L1 tables, written with ordinary instructions.
// The instruction is decoded from a copy, its effect on the entry computed, and the new entry validated
// and stored as an update would be. If anything does not fit, the guest gets the fault.

/// Attempts at storing an entry that others keep changing.
const ATTEMPTS: u32 = 8;

/// Emulates a write to a page table at `va`; false when it is not one.
fn emulate_write(here: &Here, regs: &mut GuestRegs, va: GuestVa) -> bool {
    let Some(found) = find_table(here, va) else { return false };
    let Some(store) = decode(regs, va) else { return false };
    let attempt = |_| attempt(here, regs, found.mfn, &store);
    let done = (0..ATTEMPTS).find_map(attempt).unwrap_or(false);
    if done {
        bump(&here.counters().emulated);
    }
    done
}

/// The page table behind the address, if it is mapped read-only and is an L1 table of the domain.
fn find_table(here: &Here, va: GuestVa) -> Option<Translation> {
    let dom = here.dom();
    let tables = dom.tables();
    let _mmu = dom.mmu.lock();
    // The fault was the kernel's, so its tables are those that are loaded.
    let found = tables.translate(cpu::current_root(), va).filter(|found| !found.is_writable)?;
    tables.is_leaf_table(found.mfn).then_some(found)
}

/// The instruction at rip as a write to `va`.
fn decode(regs: &GuestRegs, va: GuestVa) -> Option<Store> {
    let read = |source: GuestVa, width: u8| guestmem::read_number(source.get(), width.into()).ok();
    decode_store(&fetch(regs), &View(regs), va, read).ok()
}

/// Makes the store; says whether it is done, or nothing if it is to be tried again. On its own
/// because in a loop more would be prepared for other rounds than one round takes.
#[inline(never)]
fn attempt(here: &Here, regs: &mut GuestRegs, table: Mfn, store: &Store) -> Option<bool> {
    let (dom, index) = (here.dom(), store.address.page_offset() / 8);
    let (mut mmu, mut budget, mut outcome) = (dom.mmu.lock(), BUDGET, None);
    let instruction = |old| {
        let outcome = outcome.insert(apply(store, old, &View(regs)));
        outcome.is_written.then_some(outcome.entry)
    };
    let tables = dom.tables();
    let done = tables.update_leaf_from_emulation(&mut mmu, table, index, instruction, &mut budget);
    match (done, outcome) {
        (Ok(()), Some(outcome)) => {
            finish(regs, &outcome);
            Some(true)
        }
        (Err(Stop::Preempted | Stop::Refused(PageError::EntryChanged)), _) => None,
        _ => Some(false),
    }
}

/// Lets the guest go on behind the instruction.
fn finish(regs: &mut GuestRegs, outcome: &Outcome) {
    for (number, value) in outcome.regs.iter().flatten() {
        write_gpr(regs, *number, *value);
    }
    regs.rflags = outcome.rflags;
    regs.rip = outcome.rip;
}
