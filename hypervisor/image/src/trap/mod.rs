//! Exceptions of guests: what the hypervisor handles itself, and what it passes on.
//!
//! [`exception`] is reached from the machine for every exception taken in ring 3. A page fault may
//! be a write to a page table that is emulated, or a look into a descriptor table that is mapped
//! lazily; a protection fault may be a privileged instruction; an invalid opcode may be the prefix
//! for emulated `cpuid`. Everything else goes to the guest's own handler.

pub mod cpuid;
pub mod fault;
pub mod hypercall_page;
pub mod io;
pub mod msr;
pub mod privop;

use hv_core::emul::code::{Code, MAX_LEN};
use hv_core::trap::{softint, vector, Kind, Mode};
use hv_machine::{cpu, segments, warn, GuestRegs};
use hypercall_abi::regs::FLAT_KERNEL_CS;
use hypercall_abi::GuestVa;

use crate::counters::bump;
use crate::current::{self, Current, Here};
use crate::upcall;
use crate::{fpu, guestmem};

/// A guest took an exception. Returns whether that is done with; else it is to be examined.
pub extern "C" fn exception(regs: &mut GuestRegs, current: &Current, number: u8) -> bool {
    let here = current::here(current);
    if let Some(counter) = here.counters().exceptions.get(usize::from(number)) {
        bump(counter);
    }
    match number {
        vector::INVALID_OPCODE if cpuid::may_be_forced(regs) => return false,
        vector::NO_DEVICE if !fpu::not_available(here) => return true,
        vector::DEBUG => debug(here),
        vector::INT80 if here.vcpu().state.lock().traps.handler(number).is_none() => return false,
        vector::INT80 => {}
        _ if vector::is_bounced(number) => {}
        _ => return true,
    }
    let code = regs.error_code;
    upcall::raise(here, regs, number, code);
    true
}

/// A guest took a page fault; likewise.
pub extern "C" fn page_fault(regs: &mut GuestRegs, current: &Current) -> bool {
    let here = current::here(current);
    bump(&here.counters().exceptions[usize::from(vector::PAGE_FAULT)]);
    fault::deliver_plain(here, regs)
}

/// An exception that may be more than something to pass on.
pub extern "C" fn examine(regs: &mut GuestRegs, current: &Current, number: u8) {
    let here = current::here(current);
    let code = regs.error_code;
    match number {
        vector::PAGE_FAULT => fault::page_fault(here, regs),
        vector::GENERAL_PROTECTION => general_protection(here, regs),
        vector::INT80 => refuse_int80(here, regs),
        _ if cpuid::forced(here, regs) => {}
        _ => upcall::exception(here, regs, number, code),
    }
}

/// The return to a guest faulted: its selectors or its instruction pointer are bad. The guest
/// gets the fault as if it had happened where it was to continue.
pub extern "C" fn iret_fault(regs: &mut GuestRegs, current: &Current, number: u8) {
    let here = current::here(current);
    let code = regs.error_code;
    upcall::exception(here, regs, number, code);
}

fn general_protection(here: &Here, regs: &mut GuestRegs) {
    bump(&here.counters().exceptions[usize::from(vector::GENERAL_PROTECTION)]);
    let code = regs.error_code;
    if softint::is_gate_error(code) {
        return software_interrupt(here, regs, code);
    }
    if code == 0 && privop::emulate(here, regs) {
        bump(&here.counters().emulated);
        return;
    }
    upcall::exception(here, regs, vector::GENERAL_PROTECTION, code);
}

#[inline(never)]
fn software_interrupt(here: &Here, regs: &mut GuestRegs, code: u32) {
    let bytes: [u8; 2] = guestmem::read(regs.rip).unwrap_or_default();
    let answer = softint::resolve(bytes, code, upcall::mode(), &here.vcpu().state.lock().traps);
    match answer {
        Ok(handler) => {
            regs.rip = regs.rip.wrapping_add(softint::INT_LEN);
            upcall::deliver(here, regs, Kind::Plain, |_| Some(handler));
        }
        Err(code) => upcall::exception(here, regs, vector::GENERAL_PROTECTION, code),
    }
}

/// `int 0x80` has a gate of its own that guests may use; without a handler it is refused.
#[cold]
fn refuse_int80(here: &Here, regs: &mut GuestRegs) {
    regs.rip = regs.rip.wrapping_sub(2);
    let code = u32::from(vector::INT80) << 3 | 2;
    upcall::exception(here, regs, vector::GENERAL_PROTECTION, code);
}

#[cold]
fn debug(here: &Here) {
    let causes = cpu::take_dr6();
    here.vcpu().state.lock().debug.merge_dr6(causes);
}

/// Tells on the console where a guest was when it became beyond repair.
pub fn report(here: &Here, regs: &GuestRegs, what: &str) {
    let id = here.dom().id;
    let mode = if upcall::mode() == Mode::Kernel { "kernel" } else { "user" };
    warn!("domain {id} vCPU {} in {mode} mode, {what}:", here.vcpu().id);
    warn!("  rip {:#x} rsp {:#x} rflags {:#x}", regs.rip, regs.rsp, regs.rflags);
    // Registers a function preserves are not in the frame of a hypercall, so they are not shown.
    warn!("  rax {:#x} rcx {:#x} rdx {:#x}", regs.rax, regs.rcx, regs.rdx);
    warn!("  rsi {:#x} rdi {:#x} cr2 {:#x}", regs.rsi, regs.rdi, cpu::cr2());
}

/// Whether the guest executes 64-bit code.
fn is_64_bit(regs: &GuestRegs) -> bool {
    regs.cs as u16 == FLAT_KERNEL_CS || segments::is_long_code(regs.cs as u16)
}

/// The bytes of the instruction at rip, as many as can be read up to the longest there is. None of
/// 32-bit code, whose instructions mean other things and are not emulated.
pub fn fetch(regs: &GuestRegs) -> Code {
    let rip = regs.rip;
    let mut bytes = [0u8; 16];
    if !is_64_bit(regs) {
        return Code::from_buffer(bytes, 0);
    }
    if guestmem::read_bytes(rip, &mut bytes).is_ok() {
        return Code::from_buffer(bytes, MAX_LEN);
    }
    // The instruction may end before an unmapped page.
    let in_page = 4096 - GuestVa::new(rip).page_offset();
    let len = in_page.min(MAX_LEN);
    let read = bytes.get_mut(..len).is_some_and(|part| guestmem::read_bytes(rip, part).is_ok());
    Code::from_buffer(bytes, if read { len } else { 0 })
}
