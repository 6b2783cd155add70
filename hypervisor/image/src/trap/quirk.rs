//! A quirk of QEMU: `iretq` in ring 3 faults when SMAP is on.
//!
//! QEMU reads the frame of an `iretq` with the rights of ring 0, whatever the privilege of the code, so
//! with SMAP it may not touch the guest's stack. No processor makes such a fault: the access of ring 3
//! to a present page of its own with the "user" bit clear. Guest kernels return from handlers this
//! way, so the instruction is carried out here.

use hv_core::trap::flags;
use hv_core::trap::pagefault::{PRESENT, USER};
use hv_machine::GuestRegs;
use hypercall_abi::addr::GuestVa;

use crate::guestmem;

/// `iretq`.
const IRETQ: [u8; 2] = [0x48, 0xcf];

/// Carries out an `iretq` that faulted for no reason of the guest's; false when it was not that.
pub fn iretq(regs: &mut GuestRegs, va: GuestVa) -> bool {
    let impossible = regs.error_code & (PRESENT | USER) == PRESENT && va.is_guest_accessible();
    if !impossible || guestmem::read::<[u8; 2]>(regs.rip) != Ok(IRETQ) {
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
