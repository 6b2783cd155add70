//! `sched_op`.

use crate::harness::{address, command, hypercall, Report, UNMAPPED};
use hypercall_abi::sched::{self as abi, SchedPoll, SchedRemoteShutdown, SchedShutdown};
use hypercall_abi::{nr, DomId, Errno, EvtchnPort, GuestVa, VcpuId};
use pvkernel_xen::hypercall::{evtchn, sched};
use pvkernel_xen::{event, time};

const MILLISECOND_NS: u64 = 1_000_000;

/// Runs the topic.
pub fn run(t: &mut Report) {
    t.ret("yield", 0, hypercall(nr::SCHED_OP, &[abi::YIELD.into(), 0]));
    t.errno("unknown-command", Errno::ENOSYS, hypercall(nr::SCHED_OP, &[8, 0]));
    poll(t);
    block(t);
    shutdown(t);
    watchdog(t);
}

fn poll(t: &mut Report) {
    let port = evtchn::bind_ipi(VcpuId::new(0)).unwrap_or_default();
    let masked = event::mask_upcalls();
    let end = time::now_ns() + 20 * MILLISECOND_NS;
    t.eq("poll-times-out", Ok(()), sched::poll(&[port], end));
    // Other events may end a poll early, but not thousands of them.
    let polls = (0..1000).take_while(|_| {
        let _ = sched::poll(&[port], end);
        time::now_ns() < end
    });
    t.check("poll-waits", polls.count() < 1000);
    t.eq("poll-past-timeout", Ok(()), sched::poll(&[port], 1));
    t.eq("poll-send", Ok(()), evtchn::send(port));
    t.eq("poll-pending-returns", Ok(()), sched::poll(&[port], 0));
    t.eq("poll-close", Ok(()), evtchn::close(port));
    if masked {
        event::enable_upcalls();
    }
    let none: [EvtchnPort; 0] = [];
    let soon = time::now_ns() + MILLISECOND_NS;
    t.eq("poll-no-ports", Ok(()), sched::poll(&none, soon));
    let bad = [EvtchnPort::new(1 << 20)];
    t.eq("poll-bad-port", Err(Errno::EINVAL), sched::poll(&bad, soon));
    let many = [port; 129];
    t.eq("poll-129-ports", Err(Errno::EINVAL), sched::poll(&many, soon));
    let ports = GuestVa::new(UNMAPPED);
    let mut arg = SchedPoll { ports, nr_ports: 1, timeout_ns: soon, ..Default::default() };
    t.errno("poll-bad-list", Errno::EFAULT, command(nr::SCHED_OP, abi::POLL, &mut arg));
}

/// Block opens the event mask; a pending upcall makes it return at once.
fn block(t: &mut Report) {
    let port = evtchn::bind_ipi(VcpuId::new(0)).unwrap_or_default();
    event::mask_upcalls();
    let sent = evtchn::send(port);
    t.ret("block-returns-when-pending", 0, hypercall(nr::SCHED_OP, &[abi::BLOCK.into(), 0]));
    t.eq("block-sent", Ok(()), sent);
    t.check("block-opened-the-mask", event::mask_upcalls());
    event::enable_upcalls();
    event::dispatch();
    let _ = evtchn::close(port);
}

fn shutdown(t: &mut Report) {
    let remote = |dom: DomId, reason: u32| {
        let mut arg = SchedRemoteShutdown { domain_id: dom, reason, ..Default::default() };
        command(nr::SCHED_OP, abi::REMOTE_SHUTDOWN, &mut arg)
    };
    t.errno("remote-unknown-domain", Errno::ESRCH, remote(DomId::new(0x7000), 0));
    t.errno("remote-self", Errno::ESRCH, remote(DomId::SELF, 0));
    let mut code = SchedShutdown { reason: 0 };
    let pin = hypercall(nr::SCHED_OP, &[abi::PIN_OVERRIDE.into(), address(&mut code)]);
    if !t.is_dom0 {
        t.errno("pin-override", Errno::EPERM, pin);
    }
}

fn watchdog(t: &mut Report) {
    t.eq("watchdog-first", Ok(1), sched::watchdog(0, 100));
    t.eq("watchdog-second", Ok(2), sched::watchdog(0, 100));
    // Xen returns this one error as a positive number of 32 bits.
    t.eq("watchdog-none-left", Ok(u64::from(-28i32 as u32)), sched::watchdog(0, 100));
    t.eq("watchdog-pat", Ok(0), sched::watchdog(1, 200));
    t.eq("watchdog-stop", Ok(0), sched::watchdog(1, 0));
    t.eq("watchdog-stop-twice", Err(Errno::EINVAL), sched::watchdog(1, 0));
    t.eq("watchdog-stop-second", Ok(0), sched::watchdog(2, 0));
    t.eq("watchdog-id-3", Err(Errno::EINVAL), sched::watchdog(3, 100));
}
