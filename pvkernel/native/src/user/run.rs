//! Into user mode and back.
//!
//! `pvkernel_user_enter` of `entry.S` is left by whatever stops the program: a system call, an exception or an
//! interrupt. Events are recorded here, and handled by the kernel when it likes.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pvkernel_core::platform::{FpuId, UserExit, UserRegs, ANSWERS};

use super::fpu;
use super::tricks::{self, Trick};
use crate::trap::{self, EXCEPTIONS, SYSCALL};
use crate::{cpu, event, platform, time};

/// Bits of the flags: single steps, and one that skips them once.
const TRAP: u64 = 1 << 8;
const RESUME: u64 = 1 << 16;
/// Flags a program may have: arithmetic, direction, these two, alignment, identification.
const FLAGS: u64 = 0x24_0cd5 | TRAP | RESUME;
/// Flags it always has: the one that is always set, and interrupts.
const FORCED: u64 = 0x202;
const NOT_AVAILABLE: u64 = 7;
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u64 = 14;
/// In the error code of a page fault: it was an access with a program's rights. QEMU makes those of
/// `iretq` with the kernel's, and then SMAP is against them.
const BY_PROGRAM: u32 = 4;

/// Addresses of programs are below this one.
const USER_END: u64 = 0x7fff_ffff_f000;

/// When `run` is to end, once; 0 for never.
static SLICE: AtomicU64 = AtomicU64::new(0);

/// What system calls answer without coming to `run`, if it is not negative; read by `entry.S`.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
static PVKERNEL_USER_ANSWERS: [AtomicI64; ANSWERS] = [const { AtomicI64::new(-1) }; ANSWERS];

#[cfg(target_os = "none")]
mod symbols {
    use pvkernel_core::platform::UserRegs;
    // SAFETY: defined in entry.S with this signature.
    unsafe extern "C" {
        pub fn pvkernel_user_enter(regs: *mut UserRegs, by_sysret: u32) -> u32;
    }
}

/// On a host there is no user mode; the name only has to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    use pvkernel_core::platform::UserRegs;
    pub unsafe extern "C" fn pvkernel_user_enter(_: *mut UserRegs, _: u32) -> u32 {
        u32::from(super::GENERAL_PROTECTION)
    }
}

// The offsets that `entry.S` uses.
const _: () = assert!(core::mem::offset_of!(UserRegs, rdi) == 112);
const _: () = assert!(core::mem::offset_of!(UserRegs, rip) == 120);
const _: () = assert!(core::mem::offset_of!(UserRegs, rsp) == 136);

/// What system calls answer without coming to `run`; none does until this was called.
pub(super) fn set_answers(answers: &[i64; ANSWERS]) {
    if tricks::is_on(Trick::NoAnswers) {
        return;
    }
    for (place, answer) in PVKERNEL_USER_ANSWERS.iter().zip(answers) {
        place.store(*answer, Ordering::Relaxed);
    }
}

/// Has `run` end at a time.
pub(super) fn set_slice(deadline_ns: Option<u64>) {
    SLICE.store(deadline_ns.unwrap_or(0), Ordering::Relaxed);
}

const fn is_canonical(address: u64) -> bool {
    (address << 16) as i64 >> 16 == address as i64
}

/// Whether `sysret` is enough: it takes two registers for itself, as `syscall` does, so they must have
/// what it leaves there; it must not begin a single step; and with an address outside of the lower half
/// it would fault in the kernel, on the program's stack.
const fn can_sysret(regs: &UserRegs) -> bool {
    regs.rcx == regs.rip
        && regs.r11 == regs.rflags
        && regs.rip < USER_END
        && regs.rflags & (TRAP | RESUME) == 0
}

/// Runs a program until it stops.
pub(super) fn run(regs: &mut UserRegs, fpu: FpuId) -> UserExit {
    // `iretq` would fault in the kernel. Any stack is good until the program uses it.
    if !is_canonical(regs.rip) {
        return UserExit::Fault { vector: GENERAL_PROTECTION, error: 0 };
    }
    regs.rflags = regs.rflags & FLAGS | FORCED;
    loop {
        fpu::prepare(fpu);
        // From here on no event is recorded until user mode runs, which it then interrupts at once.
        event::mask_upcalls();
        if event::is_raised() || is_slice_over() {
            event::enable_upcalls();
            return UserExit::Interrupted;
        }
        let by_sysret = u32::from(can_sysret(regs));
        // SAFETY: events are masked; the registers outlive the call and were made harmless. What the
        // program can reach is what its space shows it.
        let vector = unsafe { symbols::pvkernel_user_enter(regs, by_sysret) };
        let exit = exit_of(u64::from(vector), regs);
        event::enable_upcalls();
        match exit {
            Some(exit) => return exit,
            None => fpu::load(fpu),
        }
    }
}

/// Whether the time slice is over; if not, the timer is armed for its end.
fn is_slice_over() -> bool {
    let is_over = !platform::arm_slice(SLICE.load(Ordering::Relaxed));
    if is_over {
        SLICE.store(0, Ordering::Relaxed);
    }
    is_over
}

/// What a trap means; `None` if the program used floating point and has no registers for it yet.
fn exit_of(vector: u64, regs: &mut UserRegs) -> Option<UserExit> {
    if vector == SYSCALL {
        return Some(UserExit::Syscall);
    }
    let error = take_frame(regs);
    match vector {
        NOT_AVAILABLE => None,
        // The processor's own access for an instruction of the program: no page would help.
        PAGE_FAULT if error & BY_PROGRAM == 0 => {
            Some(UserExit::Fault { vector: GENERAL_PROTECTION, error: 0 })
        }
        PAGE_FAULT => Some(UserExit::PageFault {
            address: cpu::read_cr2(),
            present: error & 1 != 0,
            write: error & 2 != 0,
            execute: error & 16 != 0,
        }),
        0..EXCEPTIONS => Some(UserExit::Fault { vector: vector as u8, error }),
        _ => {
            event::upcall(vector as u8);
            if SLICE.load(Ordering::Relaxed) <= time::now_ns() {
                SLICE.store(0, Ordering::Relaxed);
            }
            Some(UserExit::Interrupted)
        }
    }
}

/// Takes the registers out of the frame that a trap left; its error code.
fn take_frame(regs: &mut UserRegs) -> u32 {
    let frame = trap::user_frame();
    *regs = UserRegs {
        r15: frame.r15,
        r14: frame.r14,
        r13: frame.r13,
        r12: frame.r12,
        rbp: frame.rbp,
        rbx: frame.rbx,
        r11: frame.r11,
        r10: frame.r10,
        r9: frame.r9,
        r8: frame.r8,
        rax: frame.rax,
        rcx: frame.rcx,
        rdx: frame.rdx,
        rsi: frame.rsi,
        rdi: frame.rdi,
        rip: frame.rip,
        rflags: frame.rflags,
        rsp: frame.rsp,
    };
    frame.error as u32
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
