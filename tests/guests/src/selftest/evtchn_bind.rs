//! Virtual interrupts, interrupts between vCPUs, and physical ones.

use crate::harness::Report;
use hypercall_abi::evtchn::status;
use hypercall_abi::{DomId, Errno, VcpuId, Virq};
use pvkernel_xen::hypercall::evtchn;

const VCPU0: VcpuId = VcpuId::new(0);
const NO_VCPU: VcpuId = VcpuId::new(9999);

/// Runs the topic.
pub fn run(t: &mut Report) {
    virq(t);
    ipi(t);
    pirq(t);
}

fn virq(t: &mut Report) {
    let port = evtchn::bind_virq(Virq::DEBUG, VCPU0).unwrap_or_default();
    t.check("virq", port.get() > 0);
    let described = evtchn::status(DomId::SELF, port).map(|s| (s.status, s.irq(), s.vcpu));
    t.eq("virq-status", Ok((status::VIRQ, Virq::DEBUG.get(), VCPU0)), described);
    let again = evtchn::bind_virq(Virq::DEBUG, VCPU0);
    t.eq("virq-bound-twice", Err(Errno::EEXIST), again);
    t.eq("virq-per-vcpu-cannot-move", Err(Errno::EINVAL), evtchn::bind_vcpu(port, VCPU0));
    t.eq("virq-close", Ok(()), evtchn::close(port));
    let none = evtchn::bind_virq(Virq::new(24), VCPU0);
    t.eq("virq-24", Err(Errno::EINVAL), none);
    let huge = evtchn::bind_virq(Virq::new(u32::MAX), VCPU0);
    t.eq("virq-huge", Err(Errno::EINVAL), huge);
    let nowhere = evtchn::bind_virq(Virq::DEBUG, NO_VCPU);
    t.eq("virq-unknown-vcpu", Err(Errno::ENOENT), nowhere);
    let global = evtchn::bind_virq(Virq::DOM_EXC, VcpuId::new(1));
    t.eq("virq-global-on-vcpu-1", Err(Errno::EINVAL), global);
    t.eq("virq-timer-taken", Err(Errno::EEXIST), evtchn::bind_virq(Virq::TIMER, VCPU0));
    let free = evtchn::bind_virq(Virq::ARGO, VCPU0);
    t.check("virq-argo", free.is_ok());
    if let Ok(port) = free {
        t.eq("virq-global-can-move", Ok(()), evtchn::bind_vcpu(port, VCPU0));
        t.eq("bind-unknown-vcpu", Err(Errno::ENOENT), evtchn::bind_vcpu(port, NO_VCPU));
        t.eq("virq-argo-close", Ok(()), evtchn::close(port));
    }
}

fn ipi(t: &mut Report) {
    let port = evtchn::bind_ipi(VCPU0).unwrap_or_default();
    t.check("ipi", port.get() > 0);
    let described = evtchn::status(DomId::SELF, port).map(|s| (s.status, s.vcpu));
    t.eq("ipi-status", Ok((status::IPI, VCPU0)), described);
    t.eq("ipi-cannot-move", Err(Errno::EINVAL), evtchn::bind_vcpu(port, VCPU0));
    t.eq("ipi-send", Ok(()), evtchn::send(port));
    t.eq("ipi-close", Ok(()), evtchn::close(port));
    t.eq("ipi-unknown-vcpu", Err(Errno::ENOENT), evtchn::bind_ipi(NO_VCPU));
    pvkernel_xen::event::dispatch();
}

fn pirq(t: &mut Report) {
    t.eq("pirq-large", Err(Errno::EINVAL), evtchn::bind_pirq(1 << 20, 0));
    if !t.is_dom0 {
        t.eq("pirq-without-right", Err(Errno::EPERM), evtchn::bind_pirq(9, 0));
    }
}
