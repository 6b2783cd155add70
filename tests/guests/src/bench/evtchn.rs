//! Event channels: opening and closing, sending with and without an upcall, waiting.
//!
//! The channel is a loopback: sending on its one end makes the other pending. Proofs look at the
//! bits each operation set, or count the entries into the handler.

use hypercall_abi::evtchn::status;
use hypercall_abi::{DomId, EvtchnPort, VcpuId};
use pvkernel_xen::hypercall::{evtchn, sched};

use crate::channel::{Channel, Until, Upcall};
use crate::meter::{Meter, Row};

/// Runs the topic.
pub fn run(m: &mut Meter) {
    open_and_close(m);
    let (sender, channel) = loopback();
    quiet_sends(m, "evtchn_send_already_pending", "evtchn_send_masked", sender, channel);
    unmask_quiet(m, channel);
    send_vcpu_masked(m, sender, channel);
    let send = |_: Channel| evtchn::send(sender).unwrap_or_default();
    with_handler(m, "evtchn_send_to_handler", Until::Handler, channel, send);
    with_handler(m, "evtchn_send_upcall_roundtrip", Until::Return, channel, send);
    let unmask = |channel: Channel| evtchn::unmask(channel.port).unwrap_or_default();
    with_handler(m, "evtchn_unmask_pending_to_handler", Until::Handler, channel, unmask);
    with_handler(m, "evtchn_unmask_pending_roundtrip", Until::Return, channel, unmask);
    describe(m, channel);
    poll(m, channel);
    let block = |_: Channel| sched::block();
    with_handler(m, "schedop_block_pending_to_handler", Until::Handler, channel, block);
    with_handler(m, "schedop_block_pending_roundtrip", Until::Return, channel, block);
    let _ = (evtchn::close(sender), evtchn::close(channel.port));
    ipi(m);
}

fn alloc() -> EvtchnPort {
    evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default()
}

/// Two ports of this domain that are connected: the one to send on, and the one that gets it.
fn loopback() -> (EvtchnPort, Channel) {
    let offered = alloc();
    let bound = evtchn::bind_interdomain(DomId::SELF, offered).unwrap_or_default();
    Channel::new(bound).calm();
    let channel = Channel::new(offered);
    channel.calm();
    (bound, channel)
}

fn is_closed(port: EvtchnPort) -> bool {
    evtchn::status(DomId::SELF, port).is_ok_and(|found| found.status == status::CLOSED)
}

fn open_and_close(m: &mut Meter) {
    let expected = alloc();
    let _ = evtchn::close(expected);
    m.cost(
        Row::new("evtchn_alloc_unbound_close", "cycle"),
        0,
        |good| {
            let port = alloc();
            *good += u64::from(evtchn::close(port).is_ok() && port == expected);
        },
        |good, made| *good == made && is_closed(expected),
    );
    m.cost(
        Row::new("evtchn_alloc_bind_close_close_cycle", "cycle"),
        (0, EvtchnPort::new(0)),
        |(good, last)| {
            let offered = alloc();
            // Succeeds only for a port that was just allocated.
            let bound = evtchn::bind_interdomain(DomId::SELF, offered).unwrap_or_default();
            let closed = evtchn::close(bound).is_ok() && evtchn::close(offered).is_ok();
            *good += u64::from(closed);
            *last = bound;
        },
        |(good, last), made| *good == made && is_closed(expected) && is_closed(*last),
    );
    Channel::new(expected).calm();
}

/// Sends that nobody is told about: the port is masked.
fn quiet_sends(
    m: &mut Meter,
    again: &'static str,
    masked: &'static str,
    sender: EvtchnPort,
    channel: Channel,
) {
    channel.mask();
    channel.set_pending();
    m.cost(
        Row::new(again, "hypercall"),
        0,
        |good| *good += u64::from(evtchn::send(sender).is_ok()),
        |good, made| *good == made && channel.pending() == 1 && channel.raised() == 0,
    );
    send_masked(m, masked, sender, channel);
    channel.unmask();
}

fn send_masked(m: &mut Meter, name: &'static str, sender: EvtchnPort, channel: Channel) {
    channel.mask();
    m.cost(
        Row::new(name, "hypercall"),
        0,
        |seen| {
            channel.clear_pending();
            let _ = evtchn::send(sender);
            *seen += channel.pending();
        },
        |seen, made| *seen == made && channel.raised() == 0,
    );
    channel.calm();
}

fn unmask_quiet(m: &mut Meter, channel: Channel) {
    m.cost(
        Row::new("evtchn_unmask_not_pending", "hypercall"),
        0,
        |masked| {
            channel.mask();
            let _ = evtchn::unmask(channel.port);
            *masked += channel.masked();
        },
        |masked, _| *masked == 0 && channel.raised() == 0,
    );
}

fn send_vcpu_masked(m: &mut Meter, sender: EvtchnPort, channel: Channel) {
    m.cost(
        Row::new("evtchn_send_upcall_vcpu_masked", "hypercall"),
        0,
        |seen| {
            channel.clear_pending();
            channel.set_raised(false);
            let _ = evtchn::send(sender);
            *seen += channel.raised();
        },
        |seen, made| *seen == made && channel.pending() == 1,
    );
    channel.calm();
}

/// A call after which the handler runs; each kind of call finds what it needs prepared.
fn with_handler(
    m: &mut Meter,
    name: &'static str,
    until: Until,
    channel: Channel,
    call: impl Fn(Channel),
) {
    let row = Row::new(name, "event");
    if !m.wants(&[row]) {
        return;
    }
    let upcall = Upcall::new(channel, until);
    let prepare = || match name {
        _ if name.starts_with("evtchn_unmask") => {
            channel.mask();
            channel.set_pending();
            channel.set_upcalls(true);
        }
        _ if name.starts_with("schedop_block") => {
            channel.set_upcalls(false);
            channel.set_pending();
            channel.set_raised(true);
        }
        _ => channel.set_upcalls(true),
    };
    m.parts(
        [row],
        (),
        |(), parts| {
            prepare();
            match until {
                Until::Handler => parts.until(0, || call(channel), || upcall.stamp()),
                Until::Return => parts.time(0, || call(channel)),
            }
        },
        |(), made| upcall.ran() == made && channel.pending() == 0,
    );
}

fn describe(m: &mut Meter, channel: Channel) {
    m.cost(
        Row::new("evtchn_status", "hypercall"),
        0,
        |good| {
            let found = evtchn::status(DomId::SELF, channel.port);
            *good += u64::from(found.is_ok_and(|found| found.status == status::INTERDOMAIN));
        },
        |good, made| *good == made,
    );
}

fn poll(m: &mut Meter, channel: Channel) {
    channel.mask();
    channel.set_pending();
    m.cost(
        Row::new("schedop_poll_pending", "hypercall"),
        0,
        |good| *good += u64::from(sched::poll(&[channel.port], 0).is_ok()),
        |good, made| *good == made && channel.pending() == 1,
    );
    channel.calm();
    channel.unmask();
}

fn ipi(m: &mut Meter) {
    let port = evtchn::bind_ipi(VcpuId::new(0)).unwrap_or_default();
    let channel = Channel::new(port);
    send_masked(m, "evtchn_ipi_send_masked", port, channel);
    let send = |_: Channel| evtchn::send(port).unwrap_or_default();
    with_handler(m, "evtchn_ipi_to_handler", Until::Handler, channel, send);
    with_handler(m, "evtchn_ipi_roundtrip", Until::Return, channel, send);
    let _ = evtchn::close(port);
}
