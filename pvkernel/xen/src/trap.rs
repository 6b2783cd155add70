//! Exceptions and events, and the one function all entries of the kernel's own lead to.
//!
//! `common.S` builds a `TrapFrame` and calls `pvkernel_trap`. Events go to module `event`; an
//! exception in the kernel is a bug: it is described on the console and the domain reports a crash, unless
//! a program has a hook for it. Traps of programs do not come here: they return from
//! `pvkernel_user_enter`, and `user` looks at them.

use hypercall_abi::callback::{kind, MASK_EVENTS};
use hypercall_abi::regs::{TrapInfo, FLAT_KERNEL_CS};

pub use crate::entry::syscall as syscall_entry;
pub(crate) use crate::event::fault_address;
pub use crate::hooks::{set_hook, Hook};
use crate::hypercall::cpu;
pub use crate::trap_frame::TrapFrame;
use crate::{entry, event, hooks, trap_frame};

/// Exceptions have the vectors below this one.
pub const EXCEPTIONS: u64 = 32;
/// `vector` of an event.
pub const EVENT: u64 = EXCEPTIONS;
/// `vector` of a failed segment load.
pub const FAILSAFE: u64 = EXCEPTIONS + 1;
/// `vector` of a system call of a program.
pub const SYSCALL: u64 = 258;

/// Vectors with a stub: exceptions, events, failed segment loads.
pub(crate) const STUBS: usize = FAILSAFE as usize + 1;

/// The kernel's trap table: events masked on entry, and breakpoints open to user mode. Ends with an
/// empty entry.
#[must_use]
pub fn default_table() -> [TrapInfo; EXCEPTIONS as usize + 1] {
    let mut table = [TrapInfo::default(); EXCEPTIONS as usize + 1];
    for (vector, address) in entry::stubs().into_iter().enumerate().take(EXCEPTIONS as usize) {
        let dpl = if vector == 3 || vector == 4 { 3 } else { 0 };
        let flags = TrapInfo::FLAG_MASK_EVENTS | dpl;
        table[vector] = TrapInfo::new(vector as u8, flags, FLAT_KERNEL_CS, address);
    }
    table
}

/// Installs the kernel's trap table and entry points.
pub fn install() {
    // SAFETY: the stubs follow the interface's frame format.
    unsafe { cpu::set_trap_table(&default_table()) }.expect("the stubs have canonical addresses");
    let entries = [
        (kind::EVENT, entry::stubs()[EVENT as usize]),
        (kind::FAILSAFE, entry::stubs()[FAILSAFE as usize]),
        (kind::SYSCALL, entry::syscall()),
    ];
    for (kind, address) in entries {
        // SAFETY: as above.
        unsafe { cpu::callback_register(kind, MASK_EVENTS, address) }
            .expect("the entry points have canonical addresses");
    }
}

/// Handles an entry of the kernel's own; called by `common.S` with upcalls masked.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn pvkernel_trap(frame: &mut TrapFrame) {
    if frame.vector == EVENT {
        event::upcall();
    } else if !hooks::run(frame) {
        trap_frame::die(frame, fault_address());
    }
}
