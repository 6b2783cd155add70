//! `event_channel_op`: the two-level interface. The FIFO operations are refused with `ENOSYS`, on
//! which guests fall back to two levels.
//!
//! Port tables are locked in ascending order of domain number; no table stays locked while guest
//! memory is touched.

use hv_core::evtchn::{self, Channel, CloseOutcome, PortTable};
use hv_machine::sync::MutexGuard;
use hypercall_abi::evtchn as abi;
use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId};

use super::{physdev, Answer, Call};
use crate::current::Here;
use crate::domain::{table, Domain, Ports};
use crate::{events, guestmem};

/// `event_channel_op(cmd, arg)`: only a jump, so that each command saves no more registers than it
/// needs itself.
pub fn event_channel_op(call: &mut Call<'_>) -> Answer {
    match call.args[0] as u32 {
        abi::SEND => send(call),
        abi::UNMASK => unmask(call),
        abi::ALLOC_UNBOUND => alloc_unbound(call),
        abi::BIND_INTERDOMAIN => bind_interdomain(call),
        abi::CLOSE => close(call),
        abi::STATUS => port_status(call),
        _ => other(call),
    }
}

#[inline(never)]
fn send(call: &mut Call<'_>) -> Answer {
    let op: abi::EvtchnSend = guestmem::read(call.args[1])?;
    events::send(call.here.dom(), op.port)?;
    Ok(0)
}

#[inline(never)]
fn unmask(call: &mut Call<'_>) -> Answer {
    let op: abi::EvtchnUnmask = guestmem::read(call.args[1])?;
    events::unmask(call.here.dom(), op.port)?;
    Ok(0)
}

#[inline(never)]
fn other(call: &mut Call<'_>) -> Answer {
    let [command, arg, ..] = call.args;
    let here = call.here;
    match command as u32 {
        abi::BIND_VIRQ => bind_virq(here.dom(), arg)?,
        abi::BIND_IPI => bind_ipi(here.dom(), arg)?,
        abi::BIND_PIRQ => bind_pirq(here.dom(), arg)?,
        abi::BIND_VCPU => bind_vcpu(here.dom(), &guestmem::read(arg)?)?,
        abi::RESET => reset(here, &guestmem::read(arg)?)?,
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

#[inline(never)]
fn alloc_unbound(call: &mut Call<'_>) -> Answer {
    let (here, arg) = (call.here, call.args[1]);
    let mut op: abi::EvtchnAllocUnbound = guestmem::read(arg)?;
    let dom = table::target(here, op.dom)?;
    let remote = if op.remote_dom == DomId::SELF { here.dom().id } else { op.remote_dom };
    let allocated = dom.ports.lock().table.alloc_unbound(remote);
    op.port = allocated.map_err(Errno::from)?;
    publish_or_close(&dom, op.port, arg, &op)?;
    Ok(0)
}

/// Stores the answer; if that fails the new port is closed again, so that none is lost.
fn publish_or_close<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    dom: &Domain,
    port: EvtchnPort,
    arg: u64,
    op: &T,
) -> Result<(), Errno> {
    guestmem::write(arg, op).inspect_err(|_| {
        let _ = close_port(dom, port);
    })
}

#[inline(never)]
fn bind_interdomain(call: &mut Call<'_>) -> Answer {
    let (here, arg) = (call.here, call.args[1]);
    let mut op: abi::EvtchnBindInterdomain = guestmem::read(arg)?;
    let local = here.dom();
    let remote = table::named(here, op.remote_dom)?;
    op.local_port = if remote.id == local.id {
        bind(local, &mut local.ports.lock(), None, op.remote_port)?
    } else {
        let (mut mine, mut theirs) = lock_both(local, &remote);
        bind(local, &mut mine, Some(&mut theirs.table), op.remote_port)?
    };
    publish_or_close(local, op.local_port, arg, &op)?;
    Ok(0)
}

/// Binds, and raises an event: one that was sent before the channel existed may have been lost.
#[inline]
fn bind(
    local: &Domain,
    mine: &mut Ports,
    theirs: Option<&mut PortTable>,
    remote_port: EvtchnPort,
) -> Result<EvtchnPort, Errno> {
    let port = evtchn::bind_interdomain(&mut mine.table, theirs, remote_port)?;
    events::set_pending(local, mine, port, VcpuId::new(0));
    Ok(port)
}

/// The ports of two different domains, locked in ascending order of domain number.
fn lock_both<'a>(
    mine: &'a Domain,
    theirs: &'a Domain,
) -> (MutexGuard<'a, Ports>, MutexGuard<'a, Ports>) {
    if mine.id < theirs.id {
        let mine = mine.ports.lock();
        (mine, theirs.ports.lock())
    } else {
        let theirs = theirs.ports.lock();
        (mine.ports.lock(), theirs)
    }
}

fn bind_virq(dom: &Domain, arg: u64) -> Result<(), Errno> {
    let mut op: abi::EvtchnBindVirq = guestmem::read(arg)?;
    op.port = dom.ports.lock().table.bind_virq(op.virq, op.vcpu)?;
    publish_or_close(dom, op.port, arg, &op)
}

fn bind_ipi(dom: &Domain, arg: u64) -> Result<(), Errno> {
    let mut op: abi::EvtchnBindIpi = guestmem::read(arg)?;
    op.port = dom.ports.lock().table.bind_ipi(op.vcpu)?;
    publish_or_close(dom, op.port, arg, &op)
}

fn bind_pirq(dom: &Domain, arg: u64) -> Result<(), Errno> {
    let mut op: abi::EvtchnBindPirq = guestmem::read(arg)?;
    physdev::check_pirq(dom, op.pirq)?;
    op.port = dom.ports.lock().table.bind_pirq(op.pirq)?;
    physdev::start(dom, op.pirq);
    publish_or_close(dom, op.port, arg, &op)
}

#[inline(never)]
fn close(call: &mut Call<'_>) -> Answer {
    let op: abi::EvtchnClose = guestmem::read(call.args[1])?;
    close_port(call.here.dom(), op.port)?;
    Ok(0)
}

/// Closes a port of a domain, whoever asks.
///
/// # Errors
/// `EINVAL` for a port that is not in use.
#[inline(always)]
pub fn close_port(dom: &Domain, port: EvtchnPort) -> Result<(), Errno> {
    // Ends before the match, which would keep the lock while both ends are locked in order.
    let outcome = evtchn::close(&mut dom.ports.lock().table, port, None)?;
    let was = match outcome {
        CloseOutcome::Closed(was) => was,
        CloseOutcome::NeedsPeer(peer) => close_with_peer(dom, port, peer)?,
    };
    events::clear_pending(dom, port);
    if let Channel::Pirq { pirq } = was {
        physdev::stop(dom, pirq);
    }
    Ok(())
}

#[inline(never)]
fn close_with_peer(dom: &Domain, port: EvtchnPort, mut peer: DomId) -> Result<Channel, Errno> {
    loop {
        let other = table::get(peer).ok_or(Errno::EINVAL)?;
        let (mut mine, mut theirs) = lock_both(dom, &other);
        match evtchn::close(&mut mine.table, port, Some(&mut theirs.table))? {
            CloseOutcome::Closed(was) => return Ok(was),
            // The channel changed while nothing was locked: another peer is asked for.
            CloseOutcome::NeedsPeer(next) => peer = next,
        }
    }
}

#[inline(never)]
fn port_status(call: &mut Call<'_>) -> Answer {
    let arg = call.args[1];
    let mut op: abi::EvtchnStatus = guestmem::read(arg)?;
    let dom = table::target(call.here, op.dom)?;
    let found = dom.ports.lock().table.status(op.port).map_err(Errno::from)?;
    op.vcpu = found.vcpu;
    match found.channel {
        Channel::Free => op.status = abi::status::CLOSED,
        Channel::Unbound { remote } => op.set_unbound(remote),
        Channel::Interdomain { remote, remote_port } => op.set_interdomain(remote, remote_port),
        Channel::Pirq { pirq } => op.set_irq(abi::status::PIRQ, pirq),
        Channel::Virq { virq } => op.set_irq(abi::status::VIRQ, virq.get()),
        Channel::Ipi => op.status = abi::status::IPI,
    }
    guestmem::write(arg, &op)?;
    Ok(0)
}

fn bind_vcpu(dom: &Domain, op: &abi::EvtchnBindVcpu) -> Result<(), Errno> {
    Ok(dom.ports.lock().table.bind_vcpu(op.port, op.vcpu)?)
}

fn reset(here: &Here, op: &abi::EvtchnReset) -> Result<(), Errno> {
    let dom = table::target(here, op.dom)?;
    close_all(&dom, u32::MAX);
    Ok(())
}

/// Closes up to `budget` ports; true when none is left open.
pub fn close_all(dom: &Domain, budget: u32) -> bool {
    for _ in 0..budget {
        let Some(port) = dom.ports.lock().table.next_open(EvtchnPort::new(0)) else { return true };
        if close_port(dom, port).is_err() {
            return false;
        }
    }
    false
}
