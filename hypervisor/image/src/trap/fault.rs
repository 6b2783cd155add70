//! Page faults of guests.
//!
//! Two kinds are the hypervisor's own business: a look into the window of the guest's LDT, whose
//! pages are mapped when they are first used, and a write to a page table that is emulated. All
//! others are delivered, with the error code as the guest's mode makes it.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::page::{PageTables, Stop};
use hv_core::trap::{pagefault, vector};
use hv_machine::{cpu, desc, directmap, GuestRegs};
use hypercall_abi::addr::GuestVa;
use hypercall_abi::vm_assist;

use super::{ptwr, quirk};
use crate::current::Here;
use crate::domain::lifecycle;
use crate::host::Host;
use crate::hypercall::mmu::BUDGET;
use crate::upcall;

/// Offset of `arch.cr2` in `vcpu_info`.
const CR2_OFFSET: usize = 16;

/// A guest took a page fault.
pub fn page_fault(here: &Here, regs: &mut GuestRegs) {
    let va = cpu::cr2();
    let hardware = regs.error_code;
    if let Some(offset) = desc::ldt_offset(va) {
        return descriptor_fault(here, regs, offset);
    }
    if pagefault::may_be_page_table_write(hardware, upcall::mode())
        && writable_tables(here)
        && ptwr::emulate(here, regs, GuestVa::new(va))
    {
        return;
    }
    if quirk::iretq(regs, GuestVa::new(va)) {
        return;
    }
    match pagefault::guest_error_code(hardware, upcall::mode()) {
        Ok(code) => deliver(here, regs, va, code),
        Err(_) => {
            super::report(here, regs, "reserved bit in a page table");
            lifecycle::crash(here.dom(), "has a page table with a reserved bit");
        }
    }
}

/// Whether writes to page tables are emulated: when the domain asked for it, and for a control
/// domain always, as Xen does.
fn writable_tables(here: &Here) -> bool {
    here.dom().privileged || here.dom().assisted(vm_assist::TYPE_WRITABLE_PAGETABLES)
}

/// The guest's CR2, which is a word of its `vcpu_info`.
fn cr2_word(here: &Here) -> &'static AtomicU64 {
    let (mfn, offset) = here.vcpu().info_place();
    &directmap::table(mfn)[(offset + CR2_OFFSET) / 8]
}

/// What the guest reads from CR2.
pub fn guest_cr2(here: &Here) -> u64 {
    cr2_word(here).load(Ordering::Relaxed)
}

/// Sets what the guest reads from CR2.
pub fn set_guest_cr2(here: &Here, va: u64) {
    cr2_word(here).store(va, Ordering::Relaxed);
}

/// Delivers a page fault at an address.
pub fn deliver(here: &Here, regs: &mut GuestRegs, va: u64, code: u32) {
    set_guest_cr2(here, va);
    upcall::exception(here, regs, vector::PAGE_FAULT, code);
}

/// The CPU looked for a descriptor in an LDT page that is not mapped yet.
fn descriptor_fault(here: &Here, regs: &mut GuestRegs, offset: u64) {
    if map_ldt_page(here, offset) {
        return;
    }
    let base = here.vcpu().state.lock().ldt_base;
    let code = pagefault::guest_error_code(regs.error_code, upcall::mode()).unwrap_or(0);
    deliver(here, regs, base.wrapping_add(offset), code);
}

/// Maps the LDT page that contains byte `offset`: the frame behind the guest's own mapping of it
/// becomes a page of checked descriptors.
fn map_ldt_page(here: &Here, offset: u64) -> bool {
    let dom = here.dom();
    let index = (offset >> 12) as usize;
    let (root, va) = {
        let state = here.vcpu().state.lock();
        let Some(root) = state.root else { return false };
        if offset / 8 >= u64::from(state.ldt_ents) {
            return false;
        }
        (root, GuestVa::new(state.ldt_base.wrapping_add(offset & !0xfff)))
    };
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut mmu = dom.mmu.lock();
    let Some(found) = tables.translate(root, va) else { return false };
    let mut budget = BUDGET;
    loop {
        match tables.get_descriptor_page(&mut mmu, found.mfn(), &mut budget) {
            Ok(()) => break,
            Err(Stop::Preempted) => budget = BUDGET,
            Err(Stop::Refused(_)) => return false,
        }
    }
    let mut state = here.vcpu().state.lock();
    match state.ldt_pages.get_mut(index) {
        Some(slot @ None) => {
            *slot = Some(found.mfn());
            desc::ldt_map_page(index, found.mfn());
            true
        }
        _ => {
            // The page is there already, so the fault was about something else.
            drop(state);
            tables.put_descriptor_page(found.mfn());
            false
        }
    }
}
