//! `vcpu_op`: the domain's own vCPUs.

use hypercall_abi::vcpu::{self, VcpuRunstateInfo, VcpuSetPeriodicTimer, VcpuSetSingleshotTimer};
use hypercall_abi::{nr, Errno, VcpuId};

use super::{done, raw};

/// A `vcpu_op` with a structure.
///
/// # Safety
/// As for `raw`: several commands hand memory to the hypervisor that it writes to later.
pub unsafe fn vcpu_op<T>(cmd: u32, vcpu: VcpuId, arg: &mut T) -> i64 {
    let address = core::ptr::from_mut(arg) as u64;
    // SAFETY: the structure is valid; what it asks for is the caller's obligation.
    unsafe { raw(nr::VCPU_OP, [u64::from(cmd), vcpu.get().into(), address, 0, 0]) }
}

/// A `vcpu_op` without an argument.
///
/// # Errors
/// What the hypervisor answers.
pub fn without_argument(cmd: u32, vcpu: VcpuId) -> Result<u64, Errno> {
    // SAFETY: without an argument a command can read and write no memory of ours.
    Errno::check(unsafe { raw(nr::VCPU_OP, [u64::from(cmd), vcpu.get().into(), 0, 0, 0]) })
}

/// Whether a vCPU is up.
///
/// # Errors
/// `ENOENT`.
pub fn is_up(vcpu: VcpuId) -> Result<bool, Errno> {
    without_argument(vcpu::IS_UP, vcpu).map(|up| up != 0)
}

/// How long a vCPU has been in each state.
///
/// # Errors
/// `ENOENT`.
pub fn runstate(vcpu: VcpuId) -> Result<VcpuRunstateInfo, Errno> {
    let mut info = VcpuRunstateInfo::default();
    // SAFETY: the structure is written once, now.
    done(unsafe { vcpu_op(vcpu::GET_RUNSTATE_INFO, vcpu, &mut info) })?;
    Ok(info)
}

/// Arms the periodic timer.
///
/// # Errors
/// `ENOENT`; `EINVAL` for a period below a millisecond.
pub fn set_periodic_timer(vcpu: VcpuId, period_ns: u64) -> Result<(), Errno> {
    let mut arg = VcpuSetPeriodicTimer { period_ns };
    // SAFETY: the structure is read once, now.
    done(unsafe { vcpu_op(vcpu::SET_PERIODIC_TIMER, vcpu, &mut arg) })
}

/// Disarms the periodic timer.
///
/// # Errors
/// `ENOENT`.
pub fn stop_periodic_timer(vcpu: VcpuId) -> Result<(), Errno> {
    without_argument(vcpu::STOP_PERIODIC_TIMER, vcpu).map(|_| ())
}

/// Arms the one-shot timer for a system time.
///
/// # Errors
/// `ENOENT`, `EINVAL` for another vCPU.
pub fn set_singleshot_timer(vcpu: VcpuId, timeout_abs_ns: u64, flags: u32) -> Result<(), Errno> {
    let mut arg = VcpuSetSingleshotTimer { timeout_abs_ns, flags, ..Default::default() };
    // SAFETY: the structure is read once, now.
    done(unsafe { vcpu_op(vcpu::SET_SINGLESHOT_TIMER, vcpu, &mut arg) })
}

/// Disarms the one-shot timer.
///
/// # Errors
/// `ENOENT`, `EINVAL` for another vCPU.
pub fn stop_singleshot_timer(vcpu: VcpuId) -> Result<(), Errno> {
    without_argument(vcpu::STOP_SINGLESHOT_TIMER, vcpu).map(|_| ())
}
