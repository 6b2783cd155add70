//! Commands that describe domains and vCPUs.

use core::sync::atomic::Ordering;
use hv_machine::time;
use hypercall_abi::domctl::{
    Dominf, GetDomainInfo, GetVcpuInfo, TscInfo, XenDomctl, INVALID_MAX_VCPU_ID,
};
use hypercall_abi::errno::Errno;

use super::domctl::{CmdResult, Reply};
use crate::domain::vcpu::{flag, NO_CPU};
use crate::domain::{table, Domain, DomainRef, Vcpu};
use crate::pvtime;

/// Address width reported for a domain's frames.
const GPADDR_BITS: u8 = 52;

/// `getdomaininfo`: the first domain from the given number on.
pub fn getdomaininfo(op: &mut XenDomctl) -> CmdResult {
    let dom = table::first_from(op.domain).ok_or(Errno::ESRCH)?;
    op.domain = dom.id;
    op.set_payload(&describe(&dom));
    Ok(Reply::CopyBack)
}

/// A domain as the interface describes it.
pub fn describe(dom: &Domain) -> GetDomainInfo {
    let mut info = GetDomainInfo::default();
    let pages = dom.pages.lock();
    info.domain = dom.id;
    info.tot_pages = pages.tot;
    info.max_pages = pages.max;
    drop(pages);
    info.flags = flags(dom);
    info.shared_info_frame = dom.shared_info;
    info.cpu_time_ns = pvtime::domain_cpu_ns(dom);
    let created = dom.vcpus_created.load(Ordering::SeqCst);
    info.nr_online_vcpus = dom.vcpus.iter().filter(|vcpu| vcpu.has(flag::UP)).count() as u32;
    info.max_vcpu_id = if created { dom.vcpus.len() as u32 - 1 } else { INVALID_MAX_VCPU_ID };
    info.handle = dom.control.lock().handle;
    info.gpaddr_bits = GPADDR_BITS;
    info
}

fn flags(dom: &Domain) -> Dominf {
    let mut flags = Dominf::empty();
    let online = || dom.vcpus.iter().filter(|vcpu| vcpu.has(flag::UP));
    let any_online = online().next().is_some();
    let running = online().any(|vcpu| vcpu.cpu.load(Ordering::SeqCst) != NO_CPU);
    let blocked = online().all(|vcpu| vcpu.blocked.load(Ordering::SeqCst));
    flags.set(Dominf::DYING, dom.dead.load(Ordering::SeqCst));
    flags.set(Dominf::PAUSED, dom.controller_pauses.load(Ordering::SeqCst) != 0);
    flags.set(Dominf::RUNNING, any_online && running);
    flags.set(Dominf::BLOCKED, any_online && blocked);
    match dom.shutdown_reason() {
        Some(reason) => flags.with_shutdown_reason(reason),
        None => flags,
    }
}

/// `getvcpuinfo`.
pub fn getvcpuinfo(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    let mut info: GetVcpuInfo = op.payload();
    let vcpu: &Vcpu = dom.vcpu(info.vcpu).ok_or(Errno::EINVAL)?;
    if !dom.vcpus_created.load(Ordering::SeqCst) {
        return Err(Errno::ESRCH);
    }
    let cpu = vcpu.cpu.load(Ordering::SeqCst);
    info.online = u8::from(vcpu.has(flag::UP));
    info.blocked = u8::from(vcpu.blocked.load(Ordering::SeqCst));
    info.running = u8::from(cpu != NO_CPU);
    info.cpu_time_ns = vcpu.runstate.lock().running_ns(time::now_ns());
    info.cpu = if cpu == NO_CPU { 0 } else { cpu };
    op.set_payload(&info);
    Ok(Reply::CopyBack)
}

/// `gettscinfo`: native TSC, never scaled.
pub fn tscinfo() -> TscInfo {
    let mut info = TscInfo::default();
    info.gtsc_khz = time::tsc_scale().khz as u32;
    info
}
