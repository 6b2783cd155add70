//! `event_channel_op`: the channels of this domain.
//!
//! These calls know nothing of handlers; threads and services use module `event`.

use hypercall_abi::evtchn::{
    self, EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnBindIpi, EvtchnBindPirq, EvtchnBindVcpu,
    EvtchnBindVirq, EvtchnClose, EvtchnReset, EvtchnSend, EvtchnSetPriority, EvtchnStatus,
    EvtchnUnmask,
};
use hypercall_abi::{nr, DomId, Errno, EvtchnPort, VcpuId, Virq};

use super::{command, done};

/// An `event_channel_op` with a structure.
///
/// # Safety
/// As for `raw`: the FIFO commands hand memory to the hypervisor, the others do not.
pub unsafe fn event_channel_op<T>(cmd: u32, arg: &mut T) -> i64 {
    // SAFETY: passed on to the caller.
    unsafe { command(nr::EVENT_CHANNEL_OP, cmd, arg) }
}

fn op<T>(cmd: u32, arg: &mut T) -> Result<(), Errno> {
    // SAFETY: every command used in this module reads and writes its structure and no other memory.
    done(unsafe { event_channel_op(cmd, arg) })
}

/// Offers a port of `dom` to `remote`.
///
/// # Errors
/// `ESRCH`, `EPERM`, `ENOSPC`, `ENOMEM`.
pub fn alloc_unbound(dom: DomId, remote: DomId) -> Result<EvtchnPort, Errno> {
    let mut arg = EvtchnAllocUnbound { dom, remote_dom: remote, ..Default::default() };
    op(evtchn::ALLOC_UNBOUND, &mut arg)?;
    Ok(arg.port)
}

/// Connects to a port that a domain offers.
///
/// # Errors
/// `ESRCH`, `EINVAL` when it is not offered, `ENOSPC`.
pub fn bind_interdomain(remote: DomId, remote_port: EvtchnPort) -> Result<EvtchnPort, Errno> {
    let mut arg = EvtchnBindInterdomain { remote_dom: remote, remote_port, ..Default::default() };
    op(evtchn::BIND_INTERDOMAIN, &mut arg)?;
    Ok(arg.local_port)
}

/// Binds a virtual interrupt.
///
/// # Errors
/// `EINVAL`, `ENOENT`, `EEXIST`, `ENOSPC`.
pub fn bind_virq(virq: Virq, vcpu: VcpuId) -> Result<EvtchnPort, Errno> {
    let mut arg = EvtchnBindVirq { virq, vcpu, ..Default::default() };
    op(evtchn::BIND_VIRQ, &mut arg)?;
    Ok(arg.port)
}

/// Makes a port between this domain's own vCPUs.
///
/// # Errors
/// `ENOENT`, `ENOSPC`.
pub fn bind_ipi(vcpu: VcpuId) -> Result<EvtchnPort, Errno> {
    let mut arg = EvtchnBindIpi { vcpu, ..Default::default() };
    op(evtchn::BIND_IPI, &mut arg)?;
    Ok(arg.port)
}

/// Binds a physical interrupt.
///
/// # Errors
/// `EPERM`, `EINVAL`, `EEXIST`, `ENOSPC`.
pub fn bind_pirq(pirq: u32, flags: u32) -> Result<EvtchnPort, Errno> {
    let mut arg = EvtchnBindPirq { pirq, flags, ..Default::default() };
    op(evtchn::BIND_PIRQ, &mut arg)?;
    Ok(arg.port)
}

/// Closes a port.
///
/// # Errors
/// `EINVAL` when it is not in use.
pub fn close(port: EvtchnPort) -> Result<(), Errno> {
    op(evtchn::CLOSE, &mut EvtchnClose { port })
}

/// Notifies the other end of a port.
///
/// # Errors
/// `EINVAL` when the port has no other end.
pub fn send(port: EvtchnPort) -> Result<(), Errno> {
    op(evtchn::SEND, &mut EvtchnSend { port })
}

/// Describes a port.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL`.
pub fn status(dom: DomId, port: EvtchnPort) -> Result<EvtchnStatus, Errno> {
    let mut arg = EvtchnStatus { dom, port, ..Default::default() };
    op(evtchn::STATUS, &mut arg)?;
    Ok(arg)
}

/// Chooses the vCPU a port notifies.
///
/// # Errors
/// `ENOENT`, `EINVAL`.
pub fn bind_vcpu(port: EvtchnPort, vcpu: VcpuId) -> Result<(), Errno> {
    op(evtchn::BIND_VCPU, &mut EvtchnBindVcpu { port, vcpu })
}

/// Unmasks a port, and raises it again when it is pending.
///
/// # Errors
/// `EINVAL`.
pub fn unmask(port: EvtchnPort) -> Result<(), Errno> {
    op(evtchn::UNMASK, &mut EvtchnUnmask { port })
}

/// Closes all ports of a domain.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn reset(dom: DomId) -> Result<(), Errno> {
    op(evtchn::RESET, &mut EvtchnReset { dom })
}

/// Sets the priority of a port; only for domains with FIFO channels.
///
/// # Errors
/// `ENOSYS` with two-level channels, `EINVAL`.
pub fn set_priority(port: EvtchnPort, priority: u32) -> Result<(), Errno> {
    op(evtchn::SET_PRIORITY, &mut EvtchnSetPriority { port, priority })
}
