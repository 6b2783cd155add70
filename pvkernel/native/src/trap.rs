//! Exceptions and interrupts, and the one function all entries of the kernel's own lead to.
//!
//! `common.S` builds a `TrapFrame` and calls `pvkernel_trap`. Interrupts go to module `event`; an
//! exception in the kernel is a bug: it is described on the console and the machine stops. Traps of
//! programs do not come here: they return from `pvkernel_user_enter`, and `user` looks at them.

use spin::Once;

pub(crate) use crate::cpu::read_cr2 as fault_address;
use crate::cpu::{self, msr};
use crate::segments::{self, Gate, KERNEL_CS, SYSRET_BASE};
pub use crate::trap_frame::TrapFrame;
use crate::{entry, event, trap_frame};

/// Exceptions have the vectors below this one; interrupts have the others.
pub const EXCEPTIONS: u64 = 32;
/// `vector` of a system call of a program.
pub const SYSCALL: u64 = 258;

/// Vectors with a stub: exceptions and interrupts.
pub(crate) const STUBS: usize = 64;

/// The kernel's trap table: interrupts off on entry, and breakpoints open to user mode.
fn default_table() -> [Gate; STUBS] {
    let mut table = [Gate::default(); STUBS];
    for (vector, address) in entry::stubs().into_iter().enumerate() {
        let dpl = if vector == 3 || vector == 4 { 3 } else { 0 };
        table[vector] = segments::gate(vector as u8, dpl, KERNEL_CS, address);
    }
    table
}

static TABLE: Once<[Gate; STUBS]> = Once::new();

/// TF, IF, DF, IOPL, NT, RF, AC: what `syscall` clears.
const SYSCALL_MASK: u64 = 0x100 | 0x200 | 0x400 | 0x3000 | 0x4000 | 0x1_0000 | 0x4_0000;

/// Installs the kernel's segments, trap table and entry points.
pub fn install() {
    segments::install(entry::user_stack());
    let table = TABLE.call_once(default_table);
    // SAFETY: the stubs follow the processor's frame format.
    unsafe { cpu::lidt(table.as_ptr() as u64, size_of_val(table)) };
    let entries = [
        (msr::STAR, u64::from(SYSRET_BASE) << 48 | u64::from(KERNEL_CS) << 32),
        (msr::LSTAR, entry::syscall()),
        (msr::SYSCALL_MASK, SYSCALL_MASK),
    ];
    for (register, value) in entries {
        // SAFETY: the entry point and selectors of the kernel.
        unsafe { cpu::wrmsr(register, value) };
    }
}

/// Handles an entry of the kernel's own; called by `common.S` with upcalls masked.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn pvkernel_trap(frame: &mut TrapFrame) {
    if frame.vector >= EXCEPTIONS {
        event::upcall(frame.vector as u8);
    } else {
        trap_frame::die(frame, fault_address());
    }
}
