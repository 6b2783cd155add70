//! Into user mode and back.
//!
//! `pvkernel_user_enter` of `common.S` is left by whatever stops the program: a system call, an exception or
//! an interrupt. Events are recorded here, and handled by the kernel when it likes.

use pvkernel_core::platform::{FpuId, UserExit, UserRegs, ANSWERS};

use super::tricks::{self, Trick};
use super::{exit, fpu, sysret};
use crate::trap::{EXCEPTIONS, SYSCALL};
use crate::{entry, event};

/// What system calls answer without coming to `run`; none does until this was called.
pub(super) fn set_answers(answers: &[i64; ANSWERS]) {
    if !tricks::is_on(Trick::NoAnswers) {
        entry::set_answers(answers);
    }
}

/// Runs a program until it stops.
pub(super) fn run(regs: &mut UserRegs, fpu: FpuId) -> UserExit {
    if !sysret::is_canonical(regs.rip) {
        return exit::REFUSED;
    }
    exit::tame(regs);
    loop {
        fpu::prepare(fpu);
        // From here on no event is recorded until user mode runs, which it then interrupts at once.
        event::mask_upcalls();
        if event::is_raised() {
            event::enable_upcalls();
            return UserExit::Interrupted;
        }
        sysret::choose(regs);
        // SAFETY: interrupts are off; the stack was set at boot; the registers can be loaded, as was
        // checked. What the program can reach is what its space shows it.
        let vector = unsafe { entry::user_enter(regs) };
        let exit = exit_of(vector);
        event::enable_upcalls();
        match exit {
            Some(exit) => return exit,
            None => fpu::load(fpu),
        }
    }
}

/// What a trap means; `None` if the program used floating point and has no registers for it yet.
fn exit_of(vector: u64) -> Option<UserExit> {
    if vector == SYSCALL {
        return Some(UserExit::Syscall);
    }
    exit::seldom();
    match vector {
        EXCEPTIONS.. => {
            event::upcall(vector as u8);
            Some(UserExit::Interrupted)
        }
        _ => exit::of_exception(vector),
    }
}
