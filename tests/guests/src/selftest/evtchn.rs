//! `event_channel_op`: making, describing and closing channels.

use crate::harness::{address, hypercall, Report};
use hypercall_abi::evtchn::{self as abi, status, EvtchnInitControl};
use hypercall_abi::{nr, DomId, Errno, EvtchnPort, Mfn, VcpuId, Virq};
use pvkernel_xen::hypercall::evtchn;

const VCPU0: VcpuId = VcpuId::new(0);
const NO_DOMAIN: DomId = DomId::new(0x7000);
const BAD_PORT: EvtchnPort = EvtchnPort::new(1 << 24);
const ZERO: EvtchnPort = EvtchnPort::new(0);

/// Runs the topic.
pub fn run(t: &mut Report) {
    let unknown = hypercall(nr::EVENT_CHANNEL_OP, &[99, address(&mut [0u64; 4])]);
    t.errno("unknown-command", Errno::ENOSYS, unknown);
    unbound(t);
    loopback(t);
    bad_ports(t);
    fifo(t);
    every_port(t);
}

fn state(port: EvtchnPort) -> Result<u32, Errno> {
    evtchn::status(DomId::SELF, port).map(|status| status.status)
}

fn unbound(t: &mut Report) {
    let port = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    t.check("port-0-is-never-given", port.get() > 0);
    t.eq("unbound-status", Ok(status::UNBOUND), state(port));
    let remote = evtchn::status(DomId::SELF, port).map(|s| s.remote_dom());
    t.check("unbound-remote-is-a-number", remote.is_ok_and(DomId::is_real));
    t.eq("unbound-send-is-dropped", Ok(()), evtchn::send(port));
    let second = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    t.eq("close", Ok(()), evtchn::close(port));
    t.eq("closed-status", Ok(status::CLOSED), state(port));
    t.eq("close-twice", Err(Errno::EINVAL), evtchn::close(port));
    let again = evtchn::alloc_unbound(DomId::SELF, DomId::SELF);
    t.eq("lowest-free-port-is-reused", Ok(port), again);
    let _ = (evtchn::close(port), evtchn::close(second));
    let nobody = evtchn::alloc_unbound(NO_DOMAIN, DomId::SELF);
    t.eq("alloc-for-unknown-domain", Err(Errno::ESRCH), nobody);
    let towards = evtchn::alloc_unbound(DomId::SELF, NO_DOMAIN);
    t.check("alloc-towards-unknown-domain", towards.is_ok());
    let _ = towards.map(evtchn::close);
}

fn loopback(t: &mut Report) {
    let offered = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    let bound = evtchn::bind_interdomain(DomId::SELF, offered).unwrap_or_default();
    t.eq("loopback-status", Ok(status::INTERDOMAIN), state(offered));
    let other = evtchn::status(DomId::SELF, bound).map(|s| s.remote_port());
    t.eq("loopback-remote-port", Ok(offered), other);
    t.eq("loopback-send", Ok(()), evtchn::send(bound));
    t.eq("bind-taken-port", Err(Errno::EINVAL), evtchn::bind_interdomain(DomId::SELF, offered));
    t.eq("close-one-end", Ok(()), evtchn::close(bound));
    t.eq("other-end-is-unbound-again", Ok(status::UNBOUND), state(offered));
    let again = evtchn::bind_interdomain(DomId::SELF, offered);
    t.check("bind-again", again.is_ok());
    let _ = again.map(evtchn::close);
    let _ = evtchn::close(offered);
    t.eq("bind-unknown-domain", Err(Errno::ESRCH), evtchn::bind_interdomain(NO_DOMAIN, offered));
    t.eq("bind-closed-port", Err(Errno::EINVAL), evtchn::bind_interdomain(DomId::SELF, offered));
    t.eq("bind-bad-port", Err(Errno::EINVAL), evtchn::bind_interdomain(DomId::SELF, BAD_PORT));
}

fn bad_ports(t: &mut Report) {
    for (name, port) in [("zero", ZERO), ("large", BAD_PORT)] {
        let named = |what: &str| alloc::format!("{what}-port-{name}");
        t.eq(&named("close"), Err(Errno::EINVAL), evtchn::close(port));
        t.eq(&named("send"), Err(Errno::EINVAL), evtchn::send(port));
        t.eq(&named("bind-vcpu"), Err(Errno::EINVAL), evtchn::bind_vcpu(port, VCPU0));
    }
    t.eq("unmask-port-large", Err(Errno::EINVAL), evtchn::unmask(BAD_PORT));
    t.eq("status-port-large", Err(Errno::EINVAL), state(BAD_PORT));
    let nobody = evtchn::status(NO_DOMAIN, ZERO).map(|s| s.status);
    t.eq("status-unknown-domain", Err(Errno::ESRCH), nobody);
    t.eq("reset-unknown-domain", Err(Errno::ESRCH), evtchn::reset(NO_DOMAIN));
    let virq = evtchn::bind_virq(Virq::DEBUG, VCPU0).unwrap_or_default();
    t.eq("send-on-virq", Err(Errno::EINVAL), evtchn::send(virq));
    let _ = evtchn::close(virq);
}

/// Zendo keeps to two-level channels and refuses the FIFO commands, as the interface permits and
/// guests expect; Xen accepts them. Only what both agree on is tested.
fn fifo(t: &mut Report) {
    let priority = evtchn::set_priority(ZERO, 3);
    t.eq("priority-without-fifo", Err(Errno::ENOSYS), priority);
    let mut control = EvtchnInitControl {
        control_gfn: Mfn::INVALID,
        vcpu: VcpuId::new(9999),
        ..Default::default()
    };
    // SAFETY: a vCPU that does not exist is refused before anything is installed.
    let ret = unsafe { evtchn::event_channel_op(abi::INIT_CONTROL, &mut control) };
    let refused = Errno::from_ret(ret);
    t.check("fifo-unknown-vcpu", matches!(refused, Some(Errno::ENOENT | Errno::ENOSYS)));
}

/// Takes every port there is; the count must come back the same.
fn every_port(t: &mut Report) {
    let fill = || {
        let mut ports = alloc::vec::Vec::new();
        let last = loop {
            match evtchn::alloc_unbound(DomId::SELF, DomId::SELF) {
                Ok(port) => ports.push(port),
                Err(errno) => break errno,
            }
        };
        let count = ports.len();
        ports.into_iter().for_each(|port| assert_eq!(evtchn::close(port), Ok(())));
        (count, last)
    };
    let (first, errno) = fill();
    t.eq("ports-run-out", Errno::ENOSPC, errno);
    t.check("many-ports", first > 900);
    t.eq("ports-come-back", (first, Errno::ENOSPC), fill());
}
