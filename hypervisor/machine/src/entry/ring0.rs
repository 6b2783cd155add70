//! Faults of the hypervisor itself: expected ones are fixed up, all others end in a panic.
//!
//! Called by `trap.S` only. Expected are the instructions listed in the exception table (copies
//! from and to guests, MSRs, segment loads) and the `iretq` that returns to the guest.

use super::regs::GuestRegs;
use crate::mem::fixups;
use crate::{cpu, percpu};

extern "C" {
    /// The return instruction of `exit.S`.
    static hv_iret_insn: u8;
}

/// Decides about an exception in ring 0: 0 to resume at `frame.rip`, 1 when the return to the guest
/// faulted and the guest's registers have been put back into `CpuInfo`.
#[no_mangle]
extern "C" fn hv_trap_ring0(frame: &mut GuestRegs) -> u32 {
    if let Some(next) = fixups::after_fault(frame.rip) {
        frame.rip = next;
        frame.r8 = fixups::FAILED;
        return 0;
    }
    if frame.rip == (&raw const hv_iret_insn).addr() as u64 && (11..=14).contains(&frame.vector) {
        rebuild_guest_regs(*frame);
        return 1;
    }
    hv_fatal_trap(frame)
}

/// The frame of the guest's general registers was partly overwritten by the pushes of the fault,
/// but they were live in the CPU and so are in `fault`; rip to ss were above the pushes.
fn rebuild_guest_regs(fault: GuestRegs) {
    // SAFETY: the block is this CPU's; the guest frame in it is not lent out, because the way out
    // was taken after the last hook had returned.
    let regs = unsafe { &mut *percpu::info().regs.get() };
    let (rip, cs, rflags, rsp, ss) = (regs.rip, regs.cs, regs.rflags, regs.rsp, regs.ss);
    *regs = GuestRegs { rip, cs, rflags, rsp, ss, ..fault };
}

/// The end: what cannot be fixed up, #DF and #MC.
#[no_mangle]
extern "C" fn hv_fatal_trap(frame: &mut GuestRegs) -> ! {
    let (cr2, cr3) = (cpu::cr2(), cpu::current_root());
    panic!("exception {} of the hypervisor, cr2 {cr2:x} cr3 {cr3:x}\n{frame:#x?}", frame.vector);
}
