//! `domctl` and `sysctl`: fill the structure, call, take the answer out.

use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::domctl::{self, cmd as dom, XenDomctl};
use hypercall_abi::domctl::{CreateDomain, GetDomainInfo, GetVcpuInfo, SchedulerOp, VcpuAffinity};
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::sysctl::{self, cmd as sys, PhysInfo, XenSysctl};
use hypercall_abi::xen::XenctlBitmap;
use hypercall_abi::zendo::{DomainCounters, DOMCTL_COUNTERS};
use hypercall_abi::{DomId, Errno, GuestVa, Mfn, VcpuId};
use pvkernel_xen::hypercall;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};
use zl_toolstack::client::Affinity;

/// Domains asked for with one call.
const LIST_BATCH: usize = 64;
/// Most domains there can be.
const MOST_DOMAINS: usize = 0x7ff0;
/// Bytes of messages asked for with one call, and most calls for one answer.
const MESSAGE_BATCH: usize = 16 * 1024;
const MOST_MESSAGE_CALLS: usize = 64;

/// A call with a structure and without an answer.
fn domctl<T: IntoBytes + Immutable>(cmd: u32, domain: DomId, value: &T) -> Result<(), Errno> {
    hypercall::domctl(&mut XenDomctl::with_payload(cmd, domain, value)).map(drop)
}

/// A call with a structure that holds the answer afterwards.
fn ask<T>(cmd: u32, domain: DomId, value: &T) -> Result<T, Errno>
where
    T: FromBytes + IntoBytes + Immutable,
{
    let mut op = XenDomctl::with_payload(cmd, domain, value);
    hypercall::domctl(&mut op)?;
    Ok(op.payload())
}

fn plain(cmd: u32, domain: DomId) -> Result<(), Errno> {
    hypercall::domctl(&mut XenDomctl::new(cmd, domain)).map(drop)
}

fn ask_system<T>(cmd: u32, value: &T) -> Result<T, Errno>
where
    T: FromBytes + IntoBytes + Immutable,
{
    let mut op = XenSysctl::with_payload(cmd, value);
    hypercall::sysctl(&mut op)?;
    Ok(op.payload())
}

/// The address of a buffer for the hypervisor.
fn address_of<T>(buffer: &[T]) -> GuestVa {
    GuestVa::new(buffer.as_ptr().expose_provenance() as u64)
}

fn address_of_mut<T>(buffer: &mut [T]) -> GuestVa {
    GuestVa::new(buffer.as_mut_ptr().expose_provenance() as u64)
}

pub fn create_domain(create: &CreateDomain) -> Result<DomId, Errno> {
    // Number 0 asks for the next free one.
    let mut op = XenDomctl::with_payload(dom::CREATEDOMAIN, DomId::DOM0, create);
    hypercall::domctl(&mut op)?;
    Ok(op.domain)
}

pub fn destroy_domain(domain: DomId) -> Result<(), Errno> {
    plain(dom::DESTROYDOMAIN, domain)
}

pub fn pause_domain(domain: DomId) -> Result<(), Errno> {
    plain(dom::PAUSEDOMAIN, domain)
}

pub fn unpause_domain(domain: DomId) -> Result<(), Errno> {
    plain(dom::UNPAUSEDOMAIN, domain)
}

pub fn set_max_vcpus(domain: DomId, max: u32) -> Result<(), Errno> {
    domctl(dom::MAX_VCPUS, domain, &domctl::MaxVcpus { max })
}

pub fn set_max_mem(domain: DomId, max_memkb: u64) -> Result<(), Errno> {
    domctl(dom::MAX_MEM, domain, &domctl::MaxMem { max_memkb })
}

pub fn set_vcpu_context(
    domain: DomId,
    vcpu: VcpuId,
    context: &VcpuGuestContext,
) -> Result<(), Errno> {
    let ctxt = address_of(core::slice::from_ref(context));
    domctl(dom::SETVCPUCONTEXT, domain, &domctl::VcpuContext { vcpu, ctxt, ..Default::default() })
}

pub fn hypercall_init(domain: DomId, gmfn: Mfn) -> Result<(), Errno> {
    domctl(dom::HYPERCALL_INIT, domain, &domctl::HypercallInit { gmfn })
}

pub fn set_schedule(domain: DomId, weight: Option<u16>, cap: Option<u16>) -> Result<(), Errno> {
    let sched_id = scheduler_id()?;
    let get = SchedulerOp { sched_id, cmd: domctl::SCHEDOP_GETINFO, ..Default::default() };
    let now = ask(dom::SCHEDULER_OP, domain, &get)?;
    let put = SchedulerOp {
        sched_id,
        cmd: domctl::SCHEDOP_PUTINFO,
        weight: weight.unwrap_or(now.weight),
        cap: cap.unwrap_or(now.cap),
        ..Default::default()
    };
    domctl(dom::SCHEDULER_OP, domain, &put)
}

pub fn domain_info(domain: DomId) -> Result<GetDomainInfo, Errno> {
    // The answer is about the first domain from this number on.
    let info = ask(dom::GETDOMAININFO, domain, &GetDomainInfo::default())?;
    match info.domain == domain {
        true => Ok(info),
        false => Err(Errno::ESRCH),
    }
}

pub fn domain_list() -> Result<Vec<GetDomainInfo>, Errno> {
    let mut all = Vec::new();
    let mut first = 0;
    while all.len() < MOST_DOMAINS {
        let mut buffer = vec![GetDomainInfo::default(); LIST_BATCH];
        let request = sysctl::GetDomainInfoList {
            first_domain: DomId::new(first),
            max_domains: LIST_BATCH as u32,
            buffer: address_of_mut(&mut buffer),
            ..Default::default()
        };
        let answer = ask_system(sys::GETDOMAININFOLIST, &request)?;
        buffer.truncate(answer.num_domains as usize);
        let is_last = buffer.len() < LIST_BATCH;
        let Some(last) = buffer.last().map(|info| info.domain.get()) else { break };
        all.append(&mut buffer);
        if is_last {
            break;
        }
        first = last.saturating_add(1);
    }
    Ok(all)
}

pub fn domain_counters(domain: DomId) -> Result<DomainCounters, Errno> {
    ask(DOMCTL_COUNTERS, domain, &DomainCounters::default())
}

pub fn vcpu_info(domain: DomId, vcpu: VcpuId) -> Result<GetVcpuInfo, Errno> {
    ask(dom::GETVCPUINFO, domain, &GetVcpuInfo { vcpu, ..Default::default() })
}

pub fn vcpu_affinity(domain: DomId, vcpu: VcpuId) -> Result<Affinity, Errno> {
    let (mut hard, mut soft) = ([0u64], [0u64]);
    let bitmap = |words: &mut [u64]| XenctlBitmap {
        bitmap: address_of_mut(words),
        nr_bits: u64::BITS,
        ..Default::default()
    };
    let request = VcpuAffinity {
        vcpu,
        flags: domctl::AFFINITY_HARD | domctl::AFFINITY_SOFT,
        cpumap_hard: bitmap(&mut hard),
        cpumap_soft: bitmap(&mut soft),
    };
    ask(dom::GETVCPUAFFINITY, domain, &request)?;
    Ok(Affinity { hard: hard[0], soft: soft[0] })
}

pub fn physinfo() -> Result<PhysInfo, Errno> {
    ask_system(sys::PHYSINFO, &PhysInfo::new_zeroed())
}

pub fn scheduler_id() -> Result<u32, Errno> {
    ask_system(sys::SCHED_ID, &sysctl::SchedId::default()).map(|answer| answer.sched_id)
}

pub fn read_messages(forget: bool) -> Result<Vec<u8>, Errno> {
    let mut messages = Vec::new();
    let mut index = 0;
    for _ in 0..MOST_MESSAGE_CALLS {
        let mut buffer = vec![0u8; MESSAGE_BATCH];
        let request = sysctl::ReadConsole {
            clear: u8::from(forget),
            incremental: 1,
            index,
            buffer: address_of_mut(&mut buffer),
            count: MESSAGE_BATCH as u32,
            ..Default::default()
        };
        let answer = ask_system(sys::READCONSOLE, &request)?;
        let count = answer.count as usize;
        messages.extend(buffer.iter().take(count));
        index = answer.index;
        if count < MESSAGE_BATCH {
            break;
        }
    }
    Ok(messages)
}
