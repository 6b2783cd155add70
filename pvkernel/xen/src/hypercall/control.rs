//! `domctl`, `sysctl`, `platform_op`: control of domains and of the machine.
//!
//! Buffers named in a payload are ordinary memory of the caller; they must stay alive and unborrowed
//! during the call, which takes the place of the borrow that a `GuestVa` cannot express.

use hypercall_abi::domctl::XenDomctl;
use hypercall_abi::platform::XenPlatformOp;
use hypercall_abi::sysctl::XenSysctl;
use hypercall_abi::{nr, Errno};

use super::raw;

fn control<T>(nr: u64, op: &mut T) -> Result<i64, Errno> {
    let address = core::ptr::from_mut(op) as u64;
    // SAFETY: the structure is valid; buffers in its payload are the caller's, see the header of
    // this module. The hypervisor answers a bad address with EFAULT.
    let ret = unsafe { raw(nr, [address, 0, 0, 0, 0]) };
    Errno::check(ret).map(|_| ret)
}

/// Controls a domain.
///
/// # Errors
/// What the command answers.
pub fn domctl(op: &mut XenDomctl) -> Result<i64, Errno> {
    control(nr::DOMCTL, op)
}

/// Controls the hypervisor.
///
/// # Errors
/// What the command answers.
pub fn sysctl(op: &mut XenSysctl) -> Result<i64, Errno> {
    control(nr::SYSCTL, op)
}

/// Controls the machine.
///
/// # Errors
/// What the command answers.
pub fn platform_op(op: &mut XenPlatformOp) -> Result<i64, Errno> {
    control(nr::PLATFORM_OP, op)
}
