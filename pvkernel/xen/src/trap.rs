//! Exceptions and events, and the one function all entries of the kernel's own lead to.
//!
//! `common.S` builds a `TrapFrame` and calls `pvkernel_trap`. Events go to module `event`; an
//! exception in the kernel is a bug: it is described on the console and the domain reports a crash, unless
//! a program has a hook for it. Traps of programs do not come here: they return from
//! `pvkernel_user_enter`, and `user` looks at them.

use hypercall_abi::callback::{kind, MASK_EVENTS};
use hypercall_abi::regs::{TrapInfo, FLAT_KERNEL_CS};

pub(crate) use crate::event::fault_address;
pub use crate::hooks::{set_hook, Hook};
use crate::hypercall::cpu;
pub use crate::trap_frame::TrapFrame;
use crate::{entry, event, hooks, trap_frame};

/// Exceptions have the vectors below this one.
pub const EXCEPTIONS: u64 = 32;
/// `vector` of an event.
pub const EVENT: u64 = 256;
/// `vector` of a failed segment load.
pub const FAILSAFE: u64 = 257;
/// `vector` of a system call of a program.
pub const SYSCALL: u64 = 258;

/// Vectors with a stub: exceptions.
pub(crate) const STUBS: usize = 32;

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in entry.S with these types.
    unsafe extern "C" {
        pub fn trap_event();
        pub fn trap_failsafe();
    }
}

/// On a host nothing is ever entered; the addresses only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    pub extern "C" fn trap_event() {}
    pub extern "C" fn trap_failsafe() {}
}

/// The kernel's trap table: events masked on entry, and breakpoints open to user mode. Ends with an
/// empty entry.
#[must_use]
pub fn default_table() -> [TrapInfo; STUBS + 1] {
    let mut table = [TrapInfo::default(); STUBS + 1];
    for (vector, address) in entry::stubs().into_iter().enumerate() {
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
        (kind::EVENT, symbols::trap_event as *const () as u64),
        (kind::FAILSAFE, symbols::trap_failsafe as *const () as u64),
        (kind::SYSCALL, syscall_entry()),
    ];
    for (kind, address) in entries {
        // SAFETY: as above.
        unsafe { cpu::callback_register(kind, MASK_EVENTS, address) }
            .expect("the entry points have canonical addresses");
    }
}

/// Address of the entry for system calls of programs.
#[must_use]
pub fn syscall_entry() -> u64 {
    entry::syscall()
}

/// Handles an entry of the kernel's own; called by `common.S` with upcalls masked.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn pvkernel_trap(frame: &mut TrapFrame) {
    if frame.vector == EVENT {
        event::upcall();
    } else if !hooks::run(frame) {
        die(frame);
    }
    if frame.vector != SYSCALL {
        frame.error = 0;
    }
}

/// Describes an exception nobody handles, and ends the domain.
fn die(frame: &TrapFrame) -> ! {
    let name = match frame.vector {
        FAILSAFE => "failsafe callback",
        SYSCALL => "system call",
        vector => trap_frame::name(vector),
    };
    trap_frame::die(frame, name, fault_address())
}
