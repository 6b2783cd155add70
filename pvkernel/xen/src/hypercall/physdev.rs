//! `physdev_op`: physical devices.

use hypercall_abi::physdev::{self, PhysdevSetIopl};
use hypercall_abi::{nr, Errno};

use super::command;

/// A `physdev_op` with a structure.
///
/// # Safety
/// As for `raw`: some commands hand memory to the hypervisor, others let devices write memory.
pub unsafe fn physdev_op<T>(cmd: u32, arg: &mut T) -> i64 {
    // SAFETY: passed on to the caller.
    unsafe { command(nr::PHYSDEV_OP, cmd, arg) }
}

/// Sets the level that may use ports.
///
/// # Errors
/// `EINVAL` for a level above 3.
pub fn set_iopl(iopl: u32) -> Result<(), Errno> {
    // SAFETY: only the structure is read; ports are still subject to the domain's rights.
    Errno::check(unsafe { physdev_op(physdev::SET_IOPL, &mut PhysdevSetIopl { iopl }) }).map(|_| ())
}
