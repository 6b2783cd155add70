//! The `iret` hypercall: the way back from every guest handler.
//!
//! Called with the 72-byte frame that was copied once from the guest's stack. It decides the mode,
//! the registers and how to leave the hypervisor; the image applies them and then runs the normal
//! exit checks, so an event may be bounced at once.
//!
//! Invariants: selectors have privilege 3, the flags are safe, and `SYSRET` is chosen only for a
//! canonical rip (an Intel processor would otherwise fault in ring 0 on the guest's stack).
//! Whether the selectors can be loaded is found out by the final instruction, not here.

use super::flags;
use hypercall_abi::addr::is_canonical;
use hypercall_abi::regs::{
    IretContext, FLAT_KERNEL_SS, FLAT_RING3_CS32, FLAT_USER_CS, VGCF_IN_SYSCALL,
};

/// The instruction that leaves the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `IRETQ`: everything is restored.
    Iret,
    /// `SYSRETQ`: rcx and r11 become rip and flags.
    Sysret64,
    /// `SYSRETL`: the same, to 32-bit code.
    Sysret32,
}

/// Registers and mode after the hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IretOutcome {
    /// Whether to switch to user mode (page tables, GS); the mode was kernel before.
    pub to_user: bool,
    /// How to leave.
    pub exit: Exit,
    /// New value of the byte `evtchn_upcall_mask`.
    pub upcall_mask: u8,
    /// I/O privilege level in the frame; of interest only with architectural IOPL.
    pub iopl: u8,
    /// Register rax.
    pub rax: u64,
    /// Register rcx.
    pub rcx: u64,
    /// Register r11.
    pub r11: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Code segment.
    pub cs: u16,
    /// Real flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u16,
}

/// Decodes a frame.
#[inline]
#[must_use]
pub fn decode(frame: &IretContext) -> IretOutcome {
    let rflags = flags::for_guest(frame.rflags);
    let cs = frame.cs as u16 | 3;
    let mut outcome = IretOutcome {
        to_user: frame.cs & 3 == 3,
        exit: Exit::Iret,
        upcall_mask: u8::from(frame.rflags & flags::IF == 0),
        iopl: (frame.rflags >> flags::IOPL_SHIFT & 3) as u8,
        rax: frame.rax,
        rcx: frame.rcx,
        r11: frame.r11,
        rip: frame.rip,
        cs,
        rflags,
        rsp: frame.rsp,
        ss: frame.ss as u16 | 3,
    };
    if frame.flags & VGCF_IN_SYSCALL != 0 {
        let is_32_bit = cs == FLAT_RING3_CS32;
        outcome.cs = if is_32_bit { FLAT_RING3_CS32 } else { FLAT_USER_CS };
        outcome.ss = FLAT_KERNEL_SS;
        outcome.rcx = frame.rip;
        outcome.r11 = rflags;
        outcome.exit = match (is_canonical(frame.rip), is_32_bit) {
            (false, _) => Exit::Iret,
            (true, true) => Exit::Sysret32,
            (true, false) => Exit::Sysret64,
        };
    }
    outcome
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
        assert_eq!((masked.upcall_mask, masked.iopl), (1, 3));
        let open = decode(&frame(0, 0x1000, 0xe033, 0x202, 0xe02b));
        assert_eq!(open.upcall_mask, 0);
        assert_eq!(masked.rflags, 0x202);
        assert_eq!(open.rflags, 0x202);
    }

    #[test]
    fn a_plain_return_restores_everything_by_iret() {
        let out = decode(&frame(0, 0x1000, 0x33, 0x246, 0x2b));
        assert_eq!((out.exit, out.rax, out.r11, out.rcx), (Exit::Iret, 1, 2, 3));
        assert_eq!((out.cs, out.ss, out.rip, out.rsp), (0x33, 0x2b, 0x1000, 4));
    }

    #[test]
    fn a_system_call_return_has_fixed_selectors_and_gives_rip_and_flags_away() {
        let out = decode(&frame(VGCF_IN_SYSCALL, 0x1000, 0x33, 0x246, 0x2b));
        assert_eq!((out.exit, out.cs, out.ss), (Exit::Sysret64, 0xe033, 0xe02b));
        assert_eq!((out.rcx, out.r11, out.rax), (0x1000, 0x246, 1));
        let compat = decode(&frame(VGCF_IN_SYSCALL, 0x1000, 0xe023, 0x246, 0x2b));
        assert_eq!((compat.exit, compat.cs, compat.ss), (Exit::Sysret32, 0xe023, 0xe02b));
    }

    proptest! {
        #[test]
        fn no_frame_gains_privilege_or_a_bad_sysret(
            words in prop::array::uniform9(any::<u64>()),
        ) {
            let [rax, r11, rcx, flags, rip, cs, rflags, rsp, ss] = words;
            let out = decode(&IretContext { rax, r11, rcx, flags, rip, cs, rflags, rsp, ss });
            prop_assert_eq!(out.cs & 3, 3);
            prop_assert_eq!(out.ss & 3, 3);
            prop_assert_eq!(out.rflags & 0x200, 0x200);
            prop_assert_eq!(out.rflags & !0x25_4fd7, 0, "{:#x}", out.rflags);
            prop_assert!(out.exit == Exit::Iret || is_canonical(out.rip));
        }
    }
}
