//! `EVTCHNOP_reset` of this domain. Comes last of all: it takes the console's and the timer's ports
//! away, so from here on nothing sleeps, and the console is read when the domain has ended.

use crate::harness::Report;
use hypercall_abi::evtchn::status;
use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId, Virq};
use pvkernel_xen::hypercall::evtchn;

const VCPU0: VcpuId = VcpuId::new(0);

/// Runs the topic.
pub fn run(t: &mut Report) {
    let taken = evtchn::bind_virq(Virq::TIMER, VCPU0);
    t.eq("timer-is-bound", Err(Errno::EEXIST), taken);
    let ipi = evtchn::bind_ipi(VCPU0).unwrap_or_default();
    t.eq("reset", Ok(()), evtchn::reset(DomId::SELF));
    let all_closed = (1..=ipi.get()).all(|port| {
        let port = evtchn::status(DomId::SELF, EvtchnPort::new(port));
        port.is_ok_and(|port| port.status == status::CLOSED)
    });
    t.check("every-port-is-closed", all_closed);
    t.eq("ports-start-at-1", Ok(EvtchnPort::new(1)), evtchn::bind_virq(Virq::TIMER, VCPU0));
    t.eq("reset-again", Ok(()), evtchn::reset(DomId::SELF));
    t.eq("nothing-is-left", Err(Errno::EINVAL), evtchn::close(EvtchnPort::new(1)));
}
