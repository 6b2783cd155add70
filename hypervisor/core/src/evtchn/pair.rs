//! Operations with two ends: binding to a remote port and closing.
//!
//! The image calls these under the event locks of all tables it passes. The invariant kept here is
//! that both ends of an interdomain channel name each other: both tables change in one call or
//! neither does.

use hypercall_abi::{DomId, EvtchnPort, VcpuId};

use super::channel::Channel;
use super::table::PortTable;
use super::EvtchnError;

/// `EVTCHNOP_bind_interdomain` to a port of another domain.
///
/// Returns the new local port. The caller then sets it pending once, on its vCPU 0, because a
/// notification may have been lost before the channel existed.
///
/// # Errors
/// `NoPorts`, `NoMemory`; then `BadPort`, or `WrongState` if the remote port is not waiting for
/// this domain.
pub fn bind_interdomain(
    local: &mut PortTable,
    remote: &mut PortTable,
    remote_port: EvtchnPort,
) -> Result<EvtchnPort, EvtchnError> {
    let (local_dom, remote_dom) = (local.dom(), remote.dom());
    // The order of the checks is visible in the errno: a full table is reported first.
    local.store.lowest_free()?;
    check_waiting(remote, remote_port, local_dom)?;
    let channel = Channel::Interdomain { remote: remote_dom, remote_port };
    let local_port = local.open(channel, VcpuId::new(0))?;
    remote.reconnect(
        remote_port,
        Channel::Interdomain { remote: local_dom, remote_port: local_port },
    );
    Ok(local_port)
}

/// `EVTCHNOP_bind_interdomain` where both ends are in the same domain.
///
/// # Errors
/// As [`bind_interdomain`].
pub fn bind_loopback(
    table: &mut PortTable,
    remote_port: EvtchnPort,
) -> Result<EvtchnPort, EvtchnError> {
    let dom = table.dom();
    table.store.lowest_free()?;
    check_waiting(table, remote_port, dom)?;
    let channel = Channel::Interdomain { remote: dom, remote_port };
    let local_port = table.open(channel, VcpuId::new(0))?;
    table.reconnect(remote_port, Channel::Interdomain { remote: dom, remote_port: local_port });
    Ok(local_port)
}

fn check_waiting(table: &PortTable, port: EvtchnPort, binder: DomId) -> Result<(), EvtchnError> {
    match table.store.get(port).ok_or(EvtchnError::BadPort)?.channel {
        Channel::Unbound { remote } if remote == binder => Ok(()),
        _ => Err(EvtchnError::WrongState),
    }
}

/// What [`close`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// The port is free now.
    Closed(Closed),
    /// Nothing changed: the other end is in this domain, whose table is needed too. The caller
    /// locks both tables in order and calls again; the answer may have changed in between.
    NeedsPeer(DomId),
}

/// What the caller has to do after a port was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The port, whose pending bit must be cleared before it can be used again.
    pub port: EvtchnPort,
    /// What the port was, for instance a physical interrupt to let go of.
    pub was: Channel,
}

/// `EVTCHNOP_close`. The other end of an interdomain channel becomes unbound and waits for the
/// closing domain to bind again.
///
/// # Errors
/// `BadPort`, or `WrongState` if the port is not in use.
pub fn close(
    local: &mut PortTable,
    port: EvtchnPort,
    peer: Option<&mut PortTable>,
) -> Result<CloseOutcome, EvtchnError> {
    let was = local.store.get(port).ok_or(EvtchnError::BadPort)?.channel;
    if !was.is_usable() {
        return Err(EvtchnError::WrongState);
    }
    if let Channel::Interdomain { remote, remote_port } = was {
        let waiting = Channel::Unbound { remote: local.dom() };
        if remote == local.dom() {
            local.reconnect(remote_port, waiting);
        } else {
            match peer {
                Some(table) if table.dom() == remote => table.reconnect(remote_port, waiting),
                _ => return Ok(CloseOutcome::NeedsPeer(remote)),
            }
        }
    }
    local.free(port);
    Ok(CloseOutcome::Closed(Closed { port, was }))
}
