//! Handlers of exceptions that a program brings: tests provoke faults and look at them.
//!
//! Without one an exception of the kernel is a bug.

use pvkernel_core::sync::Lock;

use crate::trap::{TrapFrame, FAILSAFE, SYSCALL};

/// A program's own handler: may change the frame; returns whether it took care.
pub type Hook = fn(&mut TrapFrame) -> bool;

const HOOKS: usize = FAILSAFE as usize + 2;
static HANDLERS: Lock<[Option<Hook>; HOOKS]> = Lock::new([None; HOOKS]);

fn slot(vector: u64) -> Option<usize> {
    match vector {
        0..=FAILSAFE => usize::try_from(vector).ok(),
        SYSCALL => Some(HOOKS - 1),
        _ => None,
    }
}

/// Installs or removes the handler of a vector (0 to 31, `FAILSAFE`, `SYSCALL`).
///
/// # Safety
/// What the handler does to the frame, and thereby to the interrupted code, is sound.
pub unsafe fn set_hook(vector: u64, hook: Option<Hook>) {
    if let Some(slot) = slot(vector) {
        HANDLERS.lock()[slot] = hook;
    }
}

/// Calls the handler of a trap; whether there is one and it took care. An error code is taken out of the way of
/// the flags for `iret`; those of a system call are the handler's.
pub(crate) fn run(frame: &mut TrapFrame) -> bool {
    let hook = slot(frame.vector).and_then(|slot| HANDLERS.try_lock().and_then(|h| h[slot]));
    let is_done = hook.is_some_and(|hook| hook(frame));
    if is_done && frame.vector != SYSCALL {
        frame.error = 0;
    }
    is_done
}
