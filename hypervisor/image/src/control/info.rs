//! Commands that describe domains, their vCPUs and their frames.

use core::sync::atomic::Ordering;
use hv_core::page::{self, PageType};
use hv_machine::time;
use hypercall_abi::domctl::{self as abi, pfinfo};
use hypercall_abi::zendo::DomainCounters;
use hypercall_abi::{Errno, Mfn};

use crate::domain::vcpu::{flag, NO_CPU};
use crate::domain::{Domain, Vcpu};
use crate::host::Host;
use crate::hypercall::ensure;
use crate::{guestmem, pvtime};

/// Address width reported for a domain's frames.
const GPADDR_BITS: u8 = 52;

/// A domain as the interface describes it.
pub fn describe(dom: &Domain) -> abi::GetDomainInfo {
    let (tot_pages, max_pages) = {
        let pages = dom.pages.lock();
        (pages.tot, pages.max)
    };
    let created = dom.vcpus_created.load(Ordering::SeqCst);
    abi::GetDomainInfo {
        domain: dom.id,
        tot_pages,
        max_pages,
        flags: flags(dom),
        shared_info_frame: dom.shared_info,
        cpu_time_ns: pvtime::domain_cpu_ns(dom),
        nr_online_vcpus: dom.vcpus.iter().filter(|vcpu| vcpu.has(flag::UP)).count() as u32,
        max_vcpu_id: if created { dom.vcpus.len() as u32 - 1 } else { abi::INVALID_MAX_VCPU_ID },
        handle: dom.control.lock().handle,
        gpaddr_bits: GPADDR_BITS,
        ..Default::default()
    }
}

fn flags(dom: &Domain) -> abi::Dominf {
    let mut flags = abi::Dominf::empty();
    let online = || dom.vcpus.iter().filter(|vcpu| vcpu.has(flag::UP));
    let any_online = online().next().is_some();
    flags.set(abi::Dominf::DYING, dom.dead.load(Ordering::SeqCst));
    flags.set(abi::Dominf::PAUSED, dom.controller_pauses.load(Ordering::SeqCst) != 0);
    flags.set(abi::Dominf::RUNNING, online().any(|vcpu| runs(vcpu)));
    let blocked = online().all(|vcpu| vcpu.blocked.load(Ordering::SeqCst));
    flags.set(abi::Dominf::BLOCKED, any_online && blocked);
    dom.shutdown_reason().map_or(flags, |reason| flags.with_shutdown_reason(reason))
}

/// Whether a vCPU is on a CPU and not just kept there.
fn runs(vcpu: &Vcpu) -> bool {
    vcpu.cpu.load(Ordering::SeqCst) != NO_CPU && !vcpu.blocked.load(Ordering::SeqCst)
}

/// What the vCPUs of a domain asked of the hypervisor.
pub fn counters(dom: &Domain, _: DomainCounters) -> DomainCounters {
    let mut sum = DomainCounters::default();
    dom.vcpus.iter().for_each(|vcpu| vcpu.counters.add_to(&mut sum));
    sum
}

/// `getvcpuinfo`.
pub fn getvcpuinfo(dom: &Domain, mut info: abi::GetVcpuInfo) -> Result<abi::GetVcpuInfo, Errno> {
    let vcpu = dom.vcpu(info.vcpu).ok_or(Errno::EINVAL)?;
    ensure(dom.vcpus_created.load(Ordering::SeqCst), Errno::ESRCH)?;
    let cpu = vcpu.cpu.load(Ordering::SeqCst);
    info.online = u8::from(vcpu.has(flag::UP));
    info.blocked = u8::from(vcpu.blocked.load(Ordering::SeqCst));
    info.running = u8::from(runs(vcpu));
    info.cpu_time_ns = vcpu.runstate.lock().running_ns(time::now_ns());
    info.cpu = if cpu == NO_CPU { 0 } else { cpu };
    Ok(info)
}

/// `gettscinfo`: native TSC, never scaled.
pub fn tscinfo(_: abi::TscInfo) -> Result<abi::TscInfo, Errno> {
    Ok(abi::TscInfo { gtsc_khz: time::tsc_scale().khz, ..Default::default() })
}

/// `getpageframeinfo3`: what frames are used for; at most 1024 of them, so one pass.
pub fn getpageframeinfo3(dom: &Domain, wanted: &abi::GetPageFrameInfo3) -> Result<(), Errno> {
    ensure(wanted.num <= abi::PFINFO_MAX, Errno::E2BIG)?;
    for index in 0..wanted.num {
        let mfn: Mfn = guestmem::read_at(wanted.array.get(), index)?;
        guestmem::write_at(wanted.array.get(), index, &u64::from(frame_use(dom, mfn)))?;
    }
    Ok(())
}

fn frame_use(dom: &Domain, mfn: Mfn) -> u32 {
    let Some(info) = page::page_type_info(&Host, mfn).filter(|info| info.owner == dom.id) else {
        return pfinfo::XTAB;
    };
    let table = match info.page_type {
        PageType::L1 => pfinfo::L1TAB,
        PageType::L2 => pfinfo::L2TAB,
        PageType::L3 => pfinfo::L3TAB,
        PageType::L4 => pfinfo::L4TAB,
        _ => return pfinfo::NOTAB,
    };
    table | if info.is_pinned { pfinfo::LPINTAB } else { 0 }
}
