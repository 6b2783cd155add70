//! Faults of the hypervisor itself: expected ones are fixed up, all others end in a panic.
//!
//! Called by `trap.S` only. Expected are the instructions listed in the exception table (copies
//! from and to guests, MSRs, segment loads) and the `iretq` that returns to the guest.

use crate::mem::extable;
use crate::regs::GuestRegs;
use crate::{cpu, percpu};
use core::fmt;

extern "C" {
    /// The return instruction of `exit.S`.
    static hv_iret_insn: u8;
}

/// Decides about an exception in ring 0: 0 to resume at `frame.rip`, 1 when the return to the guest
/// faulted and the guest's registers have been put back into `CpuInfo`.
#[no_mangle]
extern "C" fn hv_trap_ring0(frame: &mut GuestRegs) -> u32 {
    if let Some(fixup) = extable::lookup(frame.rip) {
        frame.rip = fixup;
        return 0;
    }
    if frame.rip == (&raw const hv_iret_insn).addr() as u64 && (11..=14).contains(&frame.vector) {
        rebuild_guest_regs(*frame);
        return 1;
    }
    fatal(frame)
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

/// #DF and #MC.
#[no_mangle]
extern "C" fn hv_fatal_trap(frame: &mut GuestRegs) -> ! {
    fatal(frame)
}

fn fatal(frame: &GuestRegs) -> ! {
    panic!("exception {} of the hypervisor\n{}", frame.vector, Report(frame));
}

/// Registers of a fatal frame, for the report.
struct Report<'a>(&'a GuestRegs);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        writeln!(
            f,
            " rip {:016x} cs {:x} rflags {:08x} error {:x}",
            r.rip, r.cs, r.rflags, r.error_code
        )?;
        writeln!(
            f,
            " rsp {:016x} ss {:x} cr2 {:016x} cr3 {:x}",
            r.rsp,
            r.ss,
            cpu::cr2(),
            cpu::current_root()
        )?;
        writeln!(
            f,
            " rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
            r.rax, r.rbx, r.rcx, r.rdx
        )?;
        writeln!(f, " rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", r.rsi, r.rdi, r.rbp, r.r8)?;
        writeln!(f, " r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", r.r9, r.r10, r.r11, r.r12)?;
        write!(f, " r13 {:016x} r14 {:016x} r15 {:016x}", r.r13, r.r14, r.r15)
    }
}
