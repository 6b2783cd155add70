//! `event_channel_op`: the two-level interface. The FIFO operations are refused with `ENOSYS`, on
//! which guests fall back to two levels.
//!
//! Port tables are locked in ascending order of domain number; no table stays locked while guest
//! memory is touched.

use hv_core::evtchn::{self, Channel, CloseOutcome, Closed};
use hypercall_abi::errno::Errno;
use hypercall_abi::evtchn::{
    self as cmd, status, EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnBindIpi, EvtchnBindPirq,
    EvtchnBindVcpu, EvtchnBindVirq, EvtchnClose, EvtchnReset, EvtchnSend, EvtchnStatus,
    EvtchnUnmask,
};
use hypercall_abi::ids::{DomId, EvtchnPort, VcpuId};

use super::{physdev, Call, Outcome};
use crate::domain::{table, Domain, Ports};
use crate::{events, guestmem};

/// `event_channel_op(cmd, arg)`.
pub fn event_channel_op(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    let result = match command as u32 {
        cmd::SEND => send(call, arg),
        cmd::UNMASK => unmask(call, arg),
        cmd::ALLOC_UNBOUND => alloc_unbound(call, arg),
        cmd::BIND_INTERDOMAIN => bind_interdomain(call, arg),
        cmd::BIND_VIRQ => bind_virq(call, arg),
        cmd::BIND_IPI => bind_ipi(call, arg),
        cmd::BIND_PIRQ => bind_pirq(call, arg),
        cmd::CLOSE => close(call, arg),
        cmd::STATUS => port_status(call, arg),
        cmd::BIND_VCPU => bind_vcpu(call, arg),
        cmd::RESET => reset(call, arg),
        _ => Err(Errno::ENOSYS),
    };
    result.into()
}

#[inline]
fn send(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: EvtchnSend = guestmem::read(arg)?;
    events::send(call.here.dom(), op.port)
}

fn unmask(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: EvtchnUnmask = guestmem::read(arg)?;
    events::unmask(call.here.dom(), op.port)
}

fn alloc_unbound(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: EvtchnAllocUnbound = guestmem::read(arg)?;
    let dom = table::target(call.here, op.dom)?;
    let remote = resolve(call.here.dom(), op.remote_dom);
    op.port = dom.ports.lock().table.alloc_unbound(remote)?;
    publish_or_close(&dom, op.port, arg, &op)
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

fn resolve(caller: &Domain, id: DomId) -> DomId {
    if id == DomId::SELF {
        caller.id
    } else {
        id
    }
}

fn bind_interdomain(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: EvtchnBindInterdomain = guestmem::read(arg)?;
    let local = call.here.dom();
    let remote = table::named(call.here, op.remote_dom)?;
    let port = if remote.id == local.id {
        evtchn::bind_loopback(&mut local.ports.lock().table, op.remote_port)?
    } else {
        let mut pair = lock_two(local, &remote);
        let (mine, theirs) = pair.tables(local.id < remote.id);
        evtchn::bind_interdomain(&mut mine.table, &mut theirs.table, op.remote_port)?
    };
    // An event sent before the channel existed may have been lost, so one is raised now.
    events::arrive(local.id, port);
    op.local_port = port;
    publish_or_close(local, port, arg, &op)
}

/// The ports of two domains, locked in ascending order of domain number.
struct Two<'a> {
    low: hv_machine::sync::MutexGuard<'a, Ports>,
    high: hv_machine::sync::MutexGuard<'a, Ports>,
}

impl Two<'_> {
    fn tables(&mut self, first_is_low: bool) -> (&mut Ports, &mut Ports) {
        if first_is_low {
            (&mut self.low, &mut self.high)
        } else {
            (&mut self.high, &mut self.low)
        }
    }
}

fn lock_two<'a>(a: &'a Domain, b: &'a Domain) -> Two<'a> {
    let (low, high) = if a.id < b.id { (a, b) } else { (b, a) };
    let low = low.ports.lock();
    Two { low, high: high.ports.lock() }
}

fn bind_virq(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: EvtchnBindVirq = guestmem::read(arg)?;
    let dom = call.here.dom();
    op.port = dom.ports.lock().table.bind_virq(op.virq, op.vcpu)?;
    publish_or_close(dom, op.port, arg, &op)
}

fn bind_ipi(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: EvtchnBindIpi = guestmem::read(arg)?;
    let dom = call.here.dom();
    op.port = dom.ports.lock().table.bind_ipi(op.vcpu)?;
    publish_or_close(dom, op.port, arg, &op)
}

fn bind_pirq(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: EvtchnBindPirq = guestmem::read(arg)?;
    let dom = call.here.dom();
    physdev::check_pirq(dom, op.pirq)?;
    op.port = dom.ports.lock().table.bind_pirq(op.pirq)?;
    physdev::start(dom, op.pirq);
    publish_or_close(dom, op.port, arg, &op)
}

fn close(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: EvtchnClose = guestmem::read(arg)?;
    close_port(call.here.dom(), op.port)
}

/// Closes a port of a domain, whoever asks.
///
/// # Errors
/// `EINVAL` for a port that is not in use.
pub fn close_port(dom: &Domain, port: EvtchnPort) -> Result<(), Errno> {
    loop {
        let peer = match evtchn::close(&mut dom.ports.lock().table, port, None)? {
            CloseOutcome::Closed(closed) => {
                finish_close(dom, closed);
                return Ok(());
            }
            CloseOutcome::NeedsPeer(peer) => peer,
        };
        let Some(peer) = table::get(peer) else { return Err(Errno::EINVAL) };
        let mut pair = lock_two(dom, &peer);
        let (mine, theirs) = pair.tables(dom.id < peer.id);
        // The channel may have changed while nothing was locked; then the loop looks again.
        let outcome = evtchn::close(&mut mine.table, port, Some(&mut theirs.table))?;
        drop(pair);
        if let CloseOutcome::Closed(closed) = outcome {
            finish_close(dom, closed);
            return Ok(());
        }
    }
}

fn finish_close(dom: &Domain, closed: Closed) {
    events::clear_pending(dom, closed.port);
    if let Channel::Pirq { pirq } = closed.was {
        physdev::stop(dom, pirq);
    }
}

fn port_status(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: EvtchnStatus = guestmem::read(arg)?;
    let dom = table::target(call.here, op.dom)?;
    let found = dom.ports.lock().table.status(op.port)?;
    op.vcpu = found.vcpu;
    match found.channel {
        Channel::Free | Channel::Reserved => op.status = status::CLOSED,
        Channel::Unbound { remote } => op.set_unbound(remote),
        Channel::Interdomain { remote, remote_port } => op.set_interdomain(remote, remote_port),
        Channel::Pirq { pirq } => op.set_irq(status::PIRQ, pirq),
        Channel::Virq { virq } => op.set_irq(status::VIRQ, virq.get()),
        Channel::Ipi => op.status = status::IPI,
    }
    guestmem::write(arg, &op)
}

fn bind_vcpu(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: EvtchnBindVcpu = guestmem::read(arg)?;
    let vcpu: VcpuId = op.vcpu;
    Ok(call.here.dom().ports.lock().table.bind_vcpu(op.port, vcpu)?)
}

fn reset(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: EvtchnReset = guestmem::read(arg)?;
    let dom = table::target(call.here, op.dom)?;
    close_all(&dom, u32::MAX);
    Ok(())
}

/// Closes up to `budget` ports; true when none is left open.
pub fn close_all(dom: &Domain, budget: u32) -> bool {
    for _ in 0..budget {
        let next = dom.ports.lock().table.next_open(EvtchnPort::new(0));
        match next {
            Some(port) => {
                if close_port(dom, port).is_err() {
                    return false;
                }
            }
            None => return true,
        }
    }
    false
}
