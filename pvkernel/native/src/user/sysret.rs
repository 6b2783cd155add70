//! How a program is entered: by `sysretq`, which is cheaper, or by `iretq`, which can load everything but an
//! address that is none. Each would fault in the kernel.

use core::sync::atomic::{AtomicBool, Ordering};

use pvkernel_core::platform::UserRegs;

/// The flag for single steps.
const TRAP: u64 = 1 << 8;

/// Whether the program that runs next is entered by `sysretq`; read by `entry.S`.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
static PVKERNEL_BY_SYSRET: AtomicBool = AtomicBool::new(false);

/// Addresses of programs are below this one.
const USER_END: u64 = 0x7fff_ffff_f000;

/// Whether `iretq` can go there. Any stack is good until the program uses it.
pub(super) const fn is_canonical(address: u64) -> bool {
    (address << 16) as i64 >> 16 == address as i64
}

/// Whether `sysretq` is enough: it takes two registers for itself, as `syscall` does, so they must have
/// what it leaves there; it must not begin a single step; and with an address outside of the lower half
/// it would fault in the kernel, on the program's stack.
const fn can_sysret(regs: &UserRegs) -> bool {
    regs.rcx == regs.rip
        && regs.r11 == regs.rflags
        && regs.rip < USER_END
        && regs.rflags & TRAP == 0
}

/// Chooses how a program is entered next.
#[inline]
pub(super) fn choose(regs: &UserRegs) {
    PVKERNEL_BY_SYSRET.store(can_sysret(regs), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysret_is_not_used_for_what_it_does_not_restore_or_survive() {
        let after_call = UserRegs {
            rip: 0x40_1000,
            rcx: 0x40_1000,
            rflags: 0x202,
            r11: 0x202,
            ..UserRegs::default()
        };
        assert!(can_sysret(&after_call));
        assert!(!can_sysret(&UserRegs { rcx: 5, ..after_call }));
        assert!(!can_sysret(&UserRegs { r11: 0x203, ..after_call }));
        assert!(!can_sysret(&UserRegs { rflags: 0x302, r11: 0x302, ..after_call }));
        let edge = 0x8000_0000_0000;
        assert!(!can_sysret(&UserRegs { rip: edge, rcx: edge, ..after_call }));
    }

    #[test]
    fn addresses_are_canonical_whose_upper_bits_are_the_same() {
        for (address, canonical) in [
            (0, true),
            (0x7fff_ffff_ffff, true),
            (0xffff_8000_0000_0000, true),
            (u64::MAX, true),
            (0x8000_0000_0000, false),
            (0xffff_7fff_ffff_ffff, false),
            (1 << 63, false),
        ] {
            assert_eq!(is_canonical(address), canonical, "{address:#x}");
        }
    }
}
