//! Into user mode and back.
//!
//! `pvkernel_user_enter` of `entry.S` is left by whatever stops the program: a system call, an exception or an
//! event. Events are recorded here, and handled by the kernel when it likes.

use core::sync::atomic::{AtomicI64, Ordering};

use pvkernel_core::platform::{FpuId, UserExit, UserRegs, ANSWERS};
use spin::Once;

use super::fpu;
use super::tricks::{self, Trick};
use crate::hypercall::cpu;
use crate::{event, trap};

/// Flags a program may have: arithmetic, trap, direction, alignment, identification.
const FLAGS: u64 = 0x24_0dd5;
/// Flags it always has: the one that is always set, and interrupts.
const FORCED: u64 = 0x202;
const NOT_AVAILABLE: u32 = 7;
const PAGE_FAULT: u32 = 14;
const GENERAL_PROTECTION: u8 = 13;

#[cfg(target_os = "none")]
mod symbols {
    use super::{AtomicI64, ANSWERS};
    use pvkernel_core::platform::UserRegs;
    // SAFETY: defined in entry.S with these types.
    unsafe extern "C" {
        pub fn pvkernel_user_enter(regs: *mut UserRegs) -> u32;
        pub static pvkernel_user_answers: [AtomicI64; ANSWERS];
        pub static pvkernel_user_error: AtomicI64;
        pub static pvkernel_user_stack: u8;
    }
}

/// On a host there is no user mode; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    use super::{AtomicI64, ANSWERS};
    use pvkernel_core::platform::UserRegs;
    pub unsafe extern "C" fn pvkernel_user_enter(_: *mut UserRegs) -> u32 {
        super::GENERAL_PROTECTION as u32
    }
    pub static pvkernel_user_answers: [AtomicI64; ANSWERS] =
        [const { AtomicI64::new(-1) }; ANSWERS];
    pub static pvkernel_user_error: AtomicI64 = AtomicI64::new(0);
    pub static pvkernel_user_stack: u8 = 0;
}

/// Tells the hypervisor where traps from user mode go: once, because all programs share that stack.
pub(super) fn init() {
    static DONE: Once<()> = Once::new();
    DONE.call_once(|| {
        let top = &raw const symbols::pvkernel_user_stack as u64;
        // SAFETY: the stack is reserved for this in entry.S.
        let set = unsafe { cpu::stack_switch(0xe02b, top) };
        set.expect("a stack can always be set");
    });
}

/// What system calls answer without coming to `run`; none does until this was called.
pub(super) fn set_answers(answers: &[i64; ANSWERS]) {
    #[cfg_attr(not(target_os = "none"), allow(unused_unsafe))]
    // SAFETY: atomics in entry.S.
    let places = unsafe { &symbols::pvkernel_user_answers };
    if tricks::is_on(Trick::NoAnswers) {
        return;
    }
    for (place, answer) in places.iter().zip(answers) {
        place.store(*answer, Ordering::Relaxed);
    }
}

fn error_code() -> u32 {
    #[cfg_attr(not(target_os = "none"), allow(unused_unsafe))]
    // SAFETY: an atomic in entry.S.
    let error = unsafe { &symbols::pvkernel_user_error };
    error.load(Ordering::Relaxed) as u32
}

/// Runs a program until it stops.
pub(super) fn run(regs: &mut UserRegs, fpu: FpuId) -> UserExit {
    regs.rflags = regs.rflags & FLAGS | FORCED;
    loop {
        fpu::prepare(fpu);
        // From here on no event is recorded until user mode runs, which it then interrupts at once.
        event::mask_upcalls();
        if event::is_raised() {
            event::enable_upcalls();
            return UserExit::Interrupted;
        }
        // SAFETY: events are masked; the registers outlive the call; the trap stack is set and the space
        // is active since `activate`.
        let vector = unsafe { symbols::pvkernel_user_enter(regs) };
        let exit = exit_of(vector);
        event::enable_upcalls();
        match exit {
            Some(exit) => return exit,
            None => fpu::load(fpu),
        }
    }
}

/// What a trap means; `None` if the program used floating point and has no registers for it yet.
fn exit_of(vector: u32) -> Option<UserExit> {
    match u64::from(vector) {
        trap::SYSCALL => Some(UserExit::Syscall),
        trap::EVENT => {
            event::upcall();
            Some(UserExit::Interrupted)
        }
        trap::FAILSAFE => Some(UserExit::Fault { vector: GENERAL_PROTECTION, error: 0 }),
        _ => match vector {
            NOT_AVAILABLE => None,
            PAGE_FAULT => {
                let error = error_code();
                Some(UserExit::PageFault {
                    address: event::fault_address(),
                    present: error & 1 != 0,
                    write: error & 2 != 0,
                    execute: error & 16 != 0,
                })
            }
            _ => Some(UserExit::Fault { vector: vector as u8, error: error_code() }),
        },
    }
}
