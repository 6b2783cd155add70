//! Into user mode and back.
//!
//! `pvkernel_user_enter` of `common.S` is left by whatever stops the program: a system call, an exception or
//! an event. Events are recorded here, and handled by the kernel when it likes.

use pvkernel_core::platform::{FpuId, UserExit, UserRegs, ANSWERS};
use spin::Once;

use super::tricks::{self, Trick};
use super::{exit, fpu};
use crate::hypercall::cpu;
use crate::trap::{EVENT, FAILSAFE, SYSCALL};
use crate::{entry, event};

/// Tells the hypervisor where traps from user mode go: once, because all programs share that stack.
pub(super) fn init() {
    static DONE: Once<()> = Once::new();
    DONE.call_once(|| {
        // SAFETY: the stack is reserved for this in common.S.
        let set = unsafe { cpu::stack_switch(0xe02b, entry::user_stack()) };
        set.expect("a stack can always be set");
    });
}

/// What system calls answer without coming to `run`; none does until this was called.
pub(super) fn set_answers(answers: &[i64; ANSWERS]) {
    if !tricks::is_on(Trick::NoAnswers) {
        entry::set_answers(answers);
    }
}

/// Runs a program until it stops.
pub(super) fn run(regs: &mut UserRegs, fpu: FpuId) -> UserExit {
    exit::tame(regs);
    loop {
        fpu::prepare(fpu);
        // From here on no event is recorded until user mode runs, which it then interrupts at once.
        event::mask_upcalls();
        if event::is_raised() {
            event::enable_upcalls();
            return UserExit::Interrupted;
        }
        // SAFETY: events are masked; the stack was set when the space became active; the hypervisor loads
        // the registers, and checks them.
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
        EVENT => {
            event::upcall();
            Some(UserExit::Interrupted)
        }
        FAILSAFE => Some(exit::REFUSED),
        _ => exit::of_exception(vector),
    }
}
