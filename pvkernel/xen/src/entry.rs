//! The Rust side of `entry.S` and `common.S`: where their code is, and what both sides read and write.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pvkernel_core::platform::{UserRegs, ANSWERS};

use crate::trap::STUBS;

#[cfg(target_os = "none")]
mod symbols {
    use pvkernel_core::platform::UserRegs;
    // SAFETY: defined in entry.S and common.S with these types.
    unsafe extern "C" {
        pub static trap_stubs: [u64; super::STUBS];
        pub static pvkernel_user_stack: u8;
        pub fn trap_syscall();
        pub fn pvkernel_user_enter(regs: *mut UserRegs) -> u32;
    }
}

/// On a host nothing is ever entered; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    use pvkernel_core::platform::UserRegs;
    pub static trap_stubs: [u64; super::STUBS] = [0; super::STUBS];
    pub static pvkernel_user_stack: u8 = 0;
    pub extern "C" fn trap_syscall() {}
    pub unsafe extern "C" fn pvkernel_user_enter(_: *mut UserRegs) -> u32 {
        13
    }
}

// The offsets that `common.S` and `entry.S` use.
const _: () = assert!(core::mem::offset_of!(UserRegs, rdi) == 14 * 8);
const _: () = assert!(core::mem::offset_of!(UserRegs, rip) == 15 * 8);
const _: () = assert!(core::mem::offset_of!(UserRegs, rsp) == 17 * 8);

/// What the program that runs next gets as answers of system calls; negative: none is known.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
static PVKERNEL_USER_ANSWERS: [AtomicI64; ANSWERS] = [const { AtomicI64::new(-1) }; ANSWERS];

/// Error code of a program's last trap.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
static PVKERNEL_USER_ERROR: AtomicU64 = AtomicU64::new(0);

/// Addresses of the stubs by vector.
pub(crate) fn stubs() -> [u64; STUBS] {
    #[cfg_attr(not(target_os = "none"), allow(unused_unsafe))]
    // SAFETY: the table is constant data of `common.S`.
    unsafe {
        symbols::trap_stubs
    }
}

/// Address of the entry for system calls of programs.
#[must_use]
pub fn syscall() -> u64 {
    symbols::trap_syscall as *const () as u64
}

/// End of the stack for traps of programs.
pub(crate) fn user_stack() -> u64 {
    &raw const symbols::pvkernel_user_stack as u64
}

/// What system calls answer from now on without ending `user_enter`.
pub(crate) fn set_answers(answers: &[i64; ANSWERS]) {
    for (place, answer) in PVKERNEL_USER_ANSWERS.iter().zip(answers) {
        place.store(*answer, Ordering::Relaxed);
    }
}

/// Error code of a program's last trap.
pub(crate) fn user_error() -> u32 {
    PVKERNEL_USER_ERROR.load(Ordering::Relaxed) as u32
}

/// Runs a program until it traps; the number of the trap.
///
/// # Safety
/// Upcalls are masked; entry points and the stack for traps are installed; whoever loads the registers can
/// do it without a fault in the kernel.
#[inline]
pub(crate) unsafe fn user_enter(regs: &mut UserRegs) -> u64 {
    // SAFETY: the caller's promise; the registers outlive the call.
    u64::from(unsafe { symbols::pvkernel_user_enter(regs) })
}
