//! Event channels: ports that other domains and the hypervisor notify.
//!
//! What runs when a port was notified is with `event`.

use alloc::boxed::Box;

use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId, Virq};

use crate::event;
use crate::hypercall::evtchn;

/// Binds a virtual interrupt of this vCPU to a handler.
///
/// # Errors
/// `EEXIST` when it is bound already, `EINVAL`, `ENOSPC`.
pub fn bind_virq(virq: Virq, handler: impl FnMut() + Send + 'static) -> Result<EvtchnPort, Errno> {
    let port = evtchn::bind_virq(virq, VcpuId::new(0))?;
    event::on_event(port, Box::new(handler));
    Ok(port)
}

/// Offers a port of this domain to another.
///
/// # Errors
/// `ESRCH`, `ENOSPC`.
pub fn alloc_unbound(remote: DomId) -> Result<EvtchnPort, Errno> {
    evtchn::alloc_unbound(DomId::SELF, remote)
}

/// Connects to a port that another domain offers.
///
/// # Errors
/// `ESRCH`, `EINVAL`, `ENOSPC`.
pub fn bind_interdomain(dom: DomId, port: EvtchnPort) -> Result<EvtchnPort, Errno> {
    evtchn::bind_interdomain(dom, port)
}

/// Notifies the other end of a port.
///
/// # Errors
/// `EINVAL` when the port has no other end.
pub fn notify(port: EvtchnPort) -> Result<(), Errno> {
    evtchn::send(port)
}

/// Closes a port and forgets its handler.
///
/// # Errors
/// `EINVAL` when the port is not in use.
pub fn unbind(port: EvtchnPort) -> Result<(), Errno> {
    event::forget(port);
    evtchn::close(port)
}
