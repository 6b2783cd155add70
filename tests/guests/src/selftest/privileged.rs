//! Control calls: refused to ordinary domains; for the control domain, wrong arguments.

use crate::harness::{address, hypercall, Report, UNMAPPED};
use hypercall_abi::domctl::{cmd as domctl_cmd, XenDomctl};
use hypercall_abi::platform::XenPlatformOp;
use hypercall_abi::sysctl::XenSysctl;
use hypercall_abi::{nr, DomId, Errno};

/// Runs the topic.
pub fn run(t: &mut Report) {
    domctl(t);
    sysctl(t);
    platform(t);
    refused_numbers(t);
}

fn call_domctl(cmd: u32, domain: DomId, version: u32) -> i64 {
    let mut op = XenDomctl { interface_version: version, ..XenDomctl::new(cmd, domain) };
    hypercall(nr::DOMCTL, &[address(&mut op)])
}

fn domctl(t: &mut Report) {
    let version = hypercall_abi::xen::DOMCTL_INTERFACE_VERSION;
    let info = |dom: u16| call_domctl(domctl_cmd::GETDOMAININFO, DomId::new(dom), version);
    if t.is_dom0 {
        t.ret("domctl-info-of-dom0", 0, info(0));
        let wrong = call_domctl(domctl_cmd::GETDOMAININFO, DomId::new(0), version - 1);
        t.errno("domctl-wrong-version", Errno::EACCES, wrong);
        let pause = call_domctl(domctl_cmd::PAUSEDOMAIN, DomId::new(0x700), version);
        t.errno("domctl-pause-unknown", Errno::ESRCH, pause);
        let own = call_domctl(domctl_cmd::PAUSEDOMAIN, DomId::new(0), version);
        t.errno("domctl-pause-self", Errno::EINVAL, own);
        let destroy = call_domctl(domctl_cmd::DESTROYDOMAIN, DomId::new(0), version);
        t.errno("domctl-destroy-self", Errno::EINVAL, destroy);
        let unknown = call_domctl(9999, DomId::new(0), version);
        t.errno("domctl-unknown-command", Errno::ENOSYS, unknown);
    } else {
        t.errno("domctl-refused", Errno::EPERM, info(0));
        let create = call_domctl(domctl_cmd::CREATEDOMAIN, DomId::new(0), version);
        t.errno("domctl-create-refused", Errno::EPERM, create);
    }
    t.errno("domctl-bad-pointer", Errno::EFAULT, hypercall(nr::DOMCTL, &[UNMAPPED]));
}

fn sysctl(t: &mut Report) {
    let version = hypercall_abi::xen::SYSCTL_INTERFACE_VERSION;
    let call = |cmd: u32, version: u32| {
        let mut op = XenSysctl { interface_version: version, ..XenSysctl::new(cmd) };
        hypercall(nr::SYSCTL, &[address(&mut op)])
    };
    let physinfo = hypercall_abi::sysctl::cmd::PHYSINFO;
    t.privileged("sysctl-physinfo", Errno::EPERM, call(physinfo, version));
    t.errno("sysctl-wrong-version", Errno::EACCES, call(physinfo, version + 1));
    if t.is_dom0 {
        t.errno("sysctl-unknown-command", Errno::ENOSYS, call(9999, version));
    }
    t.errno("sysctl-bad-pointer", Errno::EFAULT, hypercall(nr::SYSCTL, &[UNMAPPED]));
}

fn platform(t: &mut Report) {
    let version = hypercall_abi::xen::XENPF_INTERFACE_VERSION;
    let call = |cmd: u32, version: u32| {
        let mut op = XenPlatformOp { cmd, interface_version: version, ..Default::default() };
        hypercall(nr::PLATFORM_OP, &[address(&mut op)])
    };
    let info = hypercall_abi::platform::GET_CPUINFO;
    t.privileged("platform-cpuinfo", Errno::EPERM, call(info, version));
    t.errno("platform-wrong-version", Errno::EACCES, call(info, version + 1));
    if t.is_dom0 {
        t.errno("platform-unknown-command", Errno::ENOSYS, call(9999, version));
    }
    t.errno("platform-bad-pointer", Errno::EFAULT, hypercall(nr::PLATFORM_OP, &[UNMAPPED]));
}

/// Interfaces that the project does not have and that guests expect to be refused.
fn refused_numbers(t: &mut Report) {
    let xsm = hypercall(nr::XSM_OP, &[0]);
    t.check("xsm", xsm < 0);
    let argo = hypercall(nr::ARGO_OP, &[0, 0, 0, 0]);
    t.check("argo", argo < 0);
    let hvm = hypercall(nr::HVM_OP, &[9999, 0]);
    t.errno("hvm-unknown-command", Errno::ENOSYS, hvm);
    let dm = hypercall(nr::DM_OP, &[u64::from(DomId::SELF.get()), 0, 0]);
    t.check("dm", dm < 0);
}
