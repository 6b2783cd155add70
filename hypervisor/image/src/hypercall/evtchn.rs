//! `event_channel_op`: the two-level interface. The FIFO operations are refused with `ENOSYS`, on
//! which guests fall back to two levels.
//!
//! Port tables are locked in ascending order of domain number; no table stays locked while guest
//! memory is touched.

use hv_core::evtchn::{self, Channel, CloseOutcome, PortTable};
use hv_machine::sync::MutexGuard;
use hypercall_abi::evtchn as abi;
use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId};

use super::{ensure, physdev, Answer, Call, Handler};
use crate::counters::bump;
use crate::current::Here;
use crate::domain::{table, Domain, Ports};
use crate::{events, guestmem};

/// `event_channel_op(cmd, arg)`.
pub fn event_channel_op(call: &mut Call<'_>) -> Answer {
    let Some(operation) = OPERATIONS.get(call.args[0] as u32 as usize) else { return other(call) };
    operation(call)
}

/// By number. The frequent ones have functions, so that each saves no more registers than it needs.
static OPERATIONS: [Handler; 10] =
    [bind_interdomain, other, other, close, send, port_status, alloc_unbound, other, other, unmask];

fn send(call: &mut Call<'_>) -> Answer {
    let op: abi::EvtchnSend = guestmem::read(call.args[1])?;
    events::send(call.here.dom(), op.port, Some(call.here.vcpu()))?;
    Ok(0)
}

fn unmask(call: &mut Call<'_>) -> Answer {
    bump(&call.here.counters().not_sends);
    let op: abi::EvtchnUnmask = guestmem::read(call.args[1])?;
    events::unmask(call.here, op.port)?;
    Ok(0)
}

fn other(call: &mut Call<'_>) -> Answer {
    bump(&call.here.counters().not_sends);
    let [command, arg, ..] = call.args;
    let here = call.here;
    match command as u32 {
        abi::BIND_VIRQ => bind_virq(here.dom(), arg)?,
        abi::BIND_IPI => bind_ipi(here.dom(), arg)?,
        abi::BIND_PIRQ => bind_pirq(here.dom(), arg)?,
        abi::BIND_VCPU => {
            let op: abi::EvtchnBindVcpu = guestmem::read(arg)?;
            here.dom().ports.lock().table.bind_vcpu(op.port, op.vcpu).map_err(Errno::from)?;
        }
        abi::RESET => {
            let dom = table::target(here, guestmem::read::<abi::EvtchnReset>(arg)?.dom)?;
            close_all(&dom, u32::MAX);
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

fn alloc_unbound(call: &mut Call<'_>) -> Answer {
    bump(&call.here.counters().not_sends);
    let (here, arg) = (call.here, call.args[1]);
    let mut op: abi::EvtchnAllocUnbound = guestmem::read(arg)?;
    let dom = &**table::target(here, op.dom)?;
    let remote = if op.remote_dom == DomId::SELF { here.dom().id } else { op.remote_dom };
    let mut ports = dom.ports.lock();
    ensure(!dom.is_dying(), Errno::EINVAL)?;
    op.port = ports.table.alloc_unbound(remote).map_err(Errno::from)?;
    drop(ports);
    publish_or_close(dom, op.port, arg, &op)?;
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

fn bind_interdomain(call: &mut Call<'_>) -> Answer {
    bump(&call.here.counters().not_sends);
    let (here, arg) = (call.here, call.args[1]);
    let mut op: abi::EvtchnBindInterdomain = guestmem::read(arg)?;
    let local = here.dom();
    let remote = &**table::named(here, op.remote_dom)?;
    op.local_port = if remote.id == local.id {
        bind(here, local.ports.lock(), None, op.remote_port)?
    } else {
        let (mine, mut theirs) = lock_both(local, remote);
        bind(here, mine, Some(&mut theirs.table), op.remote_port)?
    };
    publish_or_close(local, op.local_port, arg, &op)?;
    Ok(0)
}

/// Binds, and raises an event: one that was sent before the channel existed may have been lost.
fn bind(
    here: &Here,
    mut mine: MutexGuard<'_, Ports>,
    theirs: Option<&mut PortTable>,
    remote_port: EvtchnPort,
) -> Result<EvtchnPort, Errno> {
    let port = evtchn::bind_interdomain(&mut mine.table, theirs, remote_port)?;
    events::raise(here.dom(), mine, port, VcpuId::new(0), Some(here.vcpu()));
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

fn close(call: &mut Call<'_>) -> Answer {
    bump(&call.here.counters().not_sends);
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
    let clear = || events::clear_pending(dom, port);
    // Ends before the match, which would keep the lock while both ends are locked in order.
    let outcome = evtchn::close(&mut dom.ports.lock().table, port, None, clear)?;
    let pirq = match outcome {
        CloseOutcome::Closed(pirq) => pirq,
        CloseOutcome::NeedsPeer(peer) => close_with_peer(dom, port, peer)?,
    };
    if let Some(pirq) = pirq {
        physdev::stop(dom, pirq);
    }
    Ok(())
}

#[inline(never)]
fn close_with_peer(dom: &Domain, port: EvtchnPort, mut peer: DomId) -> Result<Option<u32>, Errno> {
    let clear = || events::clear_pending(dom, port);
    loop {
        let other = table::get(peer).ok_or(Errno::EINVAL)?;
        let (mut mine, mut theirs) = lock_both(dom, &other);
        match evtchn::close(&mut mine.table, port, Some(&mut theirs.table), clear)? {
            CloseOutcome::Closed(pirq) => return Ok(pirq),
            // The channel changed while nothing was locked: another peer is asked for.
            CloseOutcome::NeedsPeer(next) => peer = next,
        }
    }
}

fn port_status(call: &mut Call<'_>) -> Answer {
    bump(&call.here.counters().not_sends);
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
