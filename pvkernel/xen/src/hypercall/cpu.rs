//! The calls that take the place of privileged instructions: traps, stacks, segments, descriptors.

use hypercall_abi::callback::{self, CallbackRegister, CallbackUnregister};
use hypercall_abi::regs::TrapInfo;
use hypercall_abi::{nr, Errno, Mfn};

use super::{address_of, command, done, raw};

/// Installs exception handlers; the list ends with an entry whose address is 0.
///
/// # Safety
/// The addresses are entry points that follow the interface's frame format.
///
/// # Errors
/// `EINVAL` for an address that is not canonical.
pub unsafe fn set_trap_table(table: &[TrapInfo]) -> Result<(), Errno> {
    assert!(table.last().is_some_and(|entry| entry.address == 0), "the trap table has no end");
    // SAFETY: the list is valid up to its end; the entry points are the caller's obligation.
    done(unsafe { raw(nr::SET_TRAP_TABLE, [address_of(table), 0, 0, 0, 0]) })
}

/// Installs an entry point.
///
/// # Safety
/// The address is an entry point that follows the interface's frame format.
///
/// # Errors
/// `EINVAL` for an address that is not canonical, `ENOSYS` for an unknown kind.
pub unsafe fn callback_register(kind: u16, flags: u16, address: u64) -> Result<(), Errno> {
    let mut arg = CallbackRegister { kind, flags, address, ..Default::default() };
    // SAFETY: the structure is valid; the entry point is the caller's obligation.
    done(unsafe { command(nr::CALLBACK_OP, callback::REGISTER, &mut arg) })
}

/// Removes an entry point.
///
/// # Errors
/// `EINVAL` for a kind that cannot be removed.
pub fn callback_unregister(kind: u16) -> Result<(), Errno> {
    let mut arg = CallbackUnregister { kind, ..Default::default() };
    // SAFETY: the structure is valid; an entry point that is gone is not entered.
    done(unsafe { command(nr::CALLBACK_OP, callback::UNREGISTER, &mut arg) })
}

/// Sets the stack for entries from user mode.
///
/// # Safety
/// The address is the end of a stack that is unused while user mode runs.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub unsafe fn stack_switch(ss: u64, sp: u64) -> Result<(), Errno> {
    // SAFETY: the stack is the caller's obligation.
    done(unsafe { raw(nr::STACK_SWITCH, [ss, sp, 0, 0, 0]) })
}

/// Sets a segment base.
///
/// # Safety
/// Code that uses the segment expects the new base.
///
/// # Errors
/// `EINVAL` for an address that is not canonical or an unknown segment.
pub unsafe fn set_segment_base(which: u32, base: u64) -> Result<(), Errno> {
    // SAFETY: users of the segment are the caller's obligation.
    done(unsafe { raw(nr::SET_SEGMENT_BASE, [u64::from(which), base, 0, 0, 0]) })
}

/// Installs a global descriptor table of `entries` descriptors.
///
/// # Safety
/// The frames hold descriptors, are mapped read-only, and stay so.
///
/// # Errors
/// `EINVAL` for too many entries or a frame that cannot hold descriptors.
pub unsafe fn set_gdt(frames: &[Mfn], entries: u32) -> Result<(), Errno> {
    // SAFETY: the list is valid; the frames are the caller's obligation.
    done(unsafe { raw(nr::SET_GDT, [address_of(frames), u64::from(entries), 0, 0, 0]) })
}

/// Writes a descriptor.
///
/// # Safety
/// The 8 bytes at the machine address are a descriptor or otherwise unused.
///
/// # Errors
/// `EINVAL` for a bad address or descriptor.
pub unsafe fn update_descriptor(maddr: u64, descriptor: u64) -> Result<(), Errno> {
    // SAFETY: the memory is the caller's obligation.
    done(unsafe { raw(nr::UPDATE_DESCRIPTOR, [maddr, descriptor, 0, 0, 0]) })
}

/// Sets or clears the task-switched flag.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn fpu_taskswitch(set: bool) -> Result<(), Errno> {
    // SAFETY: the flag makes the next FPU instruction trap, which is handled or fatal, not unsound.
    done(unsafe { raw(nr::FPU_TASKSWITCH, [u64::from(set), 0, 0, 0, 0]) })
}

/// Writes a debug register.
///
/// # Errors
/// `EPERM`, `EINVAL`, `ENODEV`.
pub fn set_debugreg(register: u32, value: u64) -> Result<(), Errno> {
    // SAFETY: a breakpoint traps, which is handled or fatal, not unsound.
    done(unsafe { raw(nr::SET_DEBUGREG, [u64::from(register), value, 0, 0, 0]) })
}

/// Reads a debug register. Values with the top bit set cannot be told from errors; the interface
/// has that flaw.
///
/// # Errors
/// `ENODEV`.
pub fn get_debugreg(register: u32) -> Result<u64, Errno> {
    // SAFETY: nothing is written.
    let ret = unsafe { raw(nr::GET_DEBUGREG, [u64::from(register), 0, 0, 0, 0]) };
    match Errno::from_ret(ret) {
        Some(errno) => Err(errno),
        None => Ok(ret as u64),
    }
}
