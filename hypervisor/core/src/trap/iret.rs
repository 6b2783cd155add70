//! The `iret` hypercall: the way back from every guest handler.
//!
//! Called with the 72-byte frame that was copied once from the guest's stack. It decides the mode,
//! the registers and how to leave the hypervisor; the image applies them and then runs the normal
//! exit checks, so an event may be bounced at once.
//!
//! Invariants: selectors have privilege 3 and the flags are safe. That `SYSRET` is not used for a rip
//! that is not canonical is the machine's part, and so the last thing before it. Whether the selectors can be loaded is found out by the final instruction, not here.

use super::{flags, Interrupted};
use hypercall_abi::regs::{
    IretContext, FLAT_KERNEL_SS, FLAT_RING3_CS32, FLAT_USER_CS, VGCF_IN_SYSCALL,
};

/// Registers and mode after the hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IretOutcome {
    /// Whether to switch to user mode (page tables, GS); the mode was kernel before.
    pub to_user: bool,
    /// Whether to leave with `SYSRETQ`: rcx and r11 become rip and flags. Else with `IRETQ`.
    pub by_sysret: bool,
    /// New value of the byte `evtchn_upcall_mask`.
    pub masks_events: bool,
    /// I/O privilege level in the frame; of interest only with architectural IOPL.
    pub iopl: u8,
    /// Register rax.
    pub rax: u64,
    /// The other registers.
    pub regs: Interrupted,
}

/// Decodes a frame.
#[must_use]
pub fn decode(frame: &IretContext) -> IretOutcome {
    let rflags = flags::for_guest(frame.rflags);
    let (cs, ss) = (frame.cs as u16 | 3, frame.ss as u16 | 3);
    let (rcx, r11, rip, rsp) = (frame.rcx, frame.r11, frame.rip, frame.rsp);
    let mut regs = Interrupted { rcx, r11, rip, cs, rflags, rsp, ss };
    let in_syscall = frame.flags & VGCF_IN_SYSCALL != 0;
    if in_syscall {
        regs.cs = if cs == FLAT_RING3_CS32 { FLAT_RING3_CS32 } else { FLAT_USER_CS };
        regs.ss = FLAT_KERNEL_SS;
        (regs.rcx, regs.r11) = (rip, rflags);
    }
    IretOutcome {
        to_user: frame.cs & 3 == 3,
        by_sysret: in_syscall && regs.cs == FLAT_USER_CS,
        masks_events: frame.rflags & flags::IF == 0,
        iopl: (frame.rflags >> flags::IOPL_SHIFT & 3) as u8,
        rax: frame.rax,
        regs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(flags: u64, rip: u64, cs: u64, rflags: u64, ss: u64) -> IretContext {
        IretContext { rax: 1, r11: 2, rcx: 3, flags, rip, cs, rflags, rsp: 4, ss }
    }

    #[test]
    fn the_code_segment_alone_decides_the_mode() {
        assert!(!decode(&frame(0, 0, 0xe030, 0, 0)).to_user);
        assert!(decode(&frame(0, 0, 0xe033, 0, 0)).to_user);
        assert!(!decode(&frame(0, 0, 0x10, 0, 0)).to_user);
        assert!(!decode(&frame(0, 0, 0x12, 0, 0)).to_user);
    }

    #[test]
    fn the_interrupt_flag_becomes_the_event_mask() {
        let masked = decode(&frame(0, 0x1000, 0xe033, 0x3002, 0xe02b));
        assert_eq!((masked.masks_events, masked.iopl), (true, 3));
        let open = decode(&frame(0, 0x1000, 0xe033, 0x202, 0xe02b));
        assert!(!open.masks_events);
        assert_eq!((masked.regs.rflags, open.regs.rflags), (0x202, 0x202));
    }

    #[test]
    fn a_plain_return_restores_everything_by_iret() {
        let out = decode(&frame(0, 0x1000, 0x33, 0x246, 0x2b));
        assert_eq!((out.by_sysret, out.rax), (false, 1));
        let (rcx, r11, rip, rsp) = (3, 2, 0x1000, 4);
        let expected = Interrupted { rcx, r11, rip, cs: 0x33, rflags: 0x246, rsp, ss: 0x2b };
        assert_eq!(out.regs, expected);
    }

    #[test]
    fn a_system_call_return_has_fixed_selectors_and_gives_rip_and_flags_away() {
        let out = decode(&frame(VGCF_IN_SYSCALL, 0x1000, 0x33, 0x246, 0x2b));
        assert_eq!((out.by_sysret, out.regs.cs, out.regs.ss), (true, 0xe033, 0xe02b));
        assert_eq!((out.regs.rcx, out.regs.r11, out.rax), (0x1000, 0x246, 1));
        let compat = decode(&frame(VGCF_IN_SYSCALL, 0x1000, 0xe023, 0x246, 0x2b));
        assert_eq!((compat.by_sysret, compat.regs.cs, compat.regs.ss), (false, 0xe023, 0xe02b));
        assert_eq!((compat.regs.rcx, compat.regs.r11), (0x1000, 0x246));
    }

    proptest! {
        #[test]
        fn no_frame_gains_privilege_or_a_bad_sysret(
            words in prop::array::uniform9(any::<u64>()),
        ) {
            let [rax, r11, rcx, flags, rip, cs, rflags, rsp, ss] = words;
            let out = decode(&IretContext { rax, r11, rcx, flags, rip, cs, rflags, rsp, ss });
            prop_assert_eq!(out.regs.cs & 3, 3);
            prop_assert_eq!(out.regs.ss & 3, 3);
            prop_assert_eq!(out.regs.rflags & 0x200, 0x200);
            prop_assert_eq!(out.regs.rflags & !0x25_4fd7, 0, "{:#x}", out.regs.rflags);
            prop_assert!(!out.by_sysret || out.regs.cs == FLAT_USER_CS);
        }
    }
}
