//! Operations with two ends: binding to a remote port and closing.
//!
//! The image calls these under the event locks of all tables it passes; `peer` is the table of
//! another domain and left out when both ends are in `local`. The invariant kept here is that both
//! ends of an interdomain channel name each other: both tables change in one call or neither does.

use hypercall_abi::{DomId, EvtchnPort, VcpuId};

use super::channel::{Channel, Port};
use super::table::PortTable;
use super::EvtchnError;

/// `EVTCHNOP_bind_interdomain` to a port of `peer`, or of `local` itself.
///
/// Returns the new local port. The caller then sets it pending once, on its vCPU 0, because a
/// notification may have been lost before the channel existed.
///
/// # Errors
/// `NoPorts`, `NoMemory`; then `BadPort`, or `WrongState` if the remote port is not waiting for
/// this domain.
#[inline]
pub fn bind_interdomain(
    local: &mut PortTable,
    peer: Option<&mut PortTable>,
    remote_port: EvtchnPort,
) -> Result<EvtchnPort, EvtchnError> {
    // The order of the checks is visible in the errno: a full table is reported first.
    let local_port = local.store.lowest_free()?;
    let remote = peer.as_deref().unwrap_or(local);
    if remote.store.get(remote_port)?.channel != (Channel::Unbound { remote: local.dom }) {
        return Err(EvtchnError::WrongState);
    }
    let there = Channel::Interdomain { remote: remote.dom, remote_port };
    let here = Channel::Interdomain { remote: local.dom, remote_port: local_port };
    local.store.take(local_port, Port { channel: there, vcpu: VcpuId::new(0) })?;
    peer.unwrap_or(local).store.get_mut(remote_port)?.channel = here;
    Ok(local_port)
}

/// What [`close`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// The port is free now. It was bound to this physical interrupt, which is to be let go of.
    Closed(Option<u32>),
    /// Nothing changed: the other end is in this domain, whose table is needed too. The caller
    /// locks both tables in order and calls again; the answer may have changed in between.
    NeedsPeer(DomId),
}

/// `EVTCHNOP_close`. The other end of an interdomain channel becomes unbound and waits for the
/// closing domain to bind again. `clear_pending` is called when the port is free, and acts before
/// anybody can open it.
///
/// # Errors
/// `BadPort`, or `WrongState` if the port is not in use.
#[inline(always)]
pub fn close(
    local: &mut PortTable,
    port: EvtchnPort,
    peer: Option<&mut PortTable>,
    clear_pending: impl FnOnce(),
) -> Result<CloseOutcome, EvtchnError> {
    let was = local.store.get(port)?.channel;
    match was {
        Channel::Free => return Err(EvtchnError::WrongState),
        Channel::Interdomain { remote, remote_port } => {
            let waiting = Channel::Unbound { remote: local.dom };
            let far = match peer {
                _ if remote == local.dom => &mut *local,
                Some(table) if table.dom == remote => table,
                _ => return Ok(CloseOutcome::NeedsPeer(remote)),
            };
            far.store.get_mut(remote_port)?.channel = waiting;
        }
        Channel::Virq { .. } | Channel::Pirq { .. } => local.forget_interrupt(port),
        Channel::Unbound { .. } | Channel::Ipi => {}
    }
    local.store.close(port)?;
    clear_pending();
    Ok(CloseOutcome::Closed(if let Channel::Pirq { pirq } = was { Some(pirq) } else { None }))
}
