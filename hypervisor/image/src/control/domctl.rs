//! `domctl`: control of one domain.
//!
//! The head is checked in Xen's order: readable, version, domain, right. Then one function per
//! command works on a copy of the structure; it goes back to the caller only if the command has
//! something to tell. Long commands answer [`Outcome::Again`] and take up where they were, because
//! their progress is kept in the domain.

use core::sync::atomic::Ordering;
use hypercall_abi::addr::Mfn;
use hypercall_abi::domctl::{
    cmd, AddressSize, Cdf, CreateDomain, HypercallInit, MaxMem, MaxVcpus, SendTrigger,
    SetDomainHandle, SetTimeOffset, SetVirqHandler, Subscribe, TscInfo, XenDomctl,
    GRANT_VERSION_MASK, TRIGGER_NMI,
};
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;
use hypercall_abi::xen::DOMCTL_INTERFACE_VERSION;

use super::{access, affinity, context, info, pageinfo, policy};
use crate::domain::create::{self, Params, MAX_GRANT_FRAMES, MAX_MAPTRACK_FRAMES, MAX_VCPUS};
use crate::domain::{destroy, lifecycle, table, DomainRef};
use crate::hypercall::{Call, Outcome};
use crate::{events, guestmem, pvtime, trap};

/// Highest port a two-level domain can have.
const MAX_PORT: u32 = hypercall_abi::evtchn::NR_CHANNELS_2L - 1;
/// KiB per frame, as a shift.
const KIB_PER_PAGE_SHIFT: u32 = 2;

/// What a command answers.
pub enum Reply {
    /// Nothing to copy back.
    Plain,
    /// The structure goes back to the caller.
    CopyBack,
    /// Not finished: the call is to be made again.
    Again,
}

/// Result of one command.
pub type CmdResult = Result<Reply, Errno>;

/// `domctl(op)`.
pub fn domctl(call: &mut Call<'_>) -> Outcome {
    let at = call.args[0];
    let mut op: XenDomctl = match guestmem::read(at) {
        Ok(op) => op,
        Err(errno) => return errno.into(),
    };
    match run(call, &mut op) {
        Ok(Reply::Plain) => Outcome::Done(0),
        Ok(Reply::CopyBack) => guestmem::write(at, &op).into(),
        Ok(Reply::Again) => Outcome::Again,
        Err(errno) => errno.into(),
    }
}

fn run(call: &Call<'_>, op: &mut XenDomctl) -> CmdResult {
    if op.interface_version != DOMCTL_INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    if op.cmd == cmd::CREATEDOMAIN {
        check_privilege(call)?;
        return createdomain(op);
    }
    if op.cmd == cmd::GETDOMAININFO {
        check_privilege(call)?;
        return info::getdomaininfo(op);
    }
    let dom = table::get(op.domain).ok_or(Errno::ESRCH)?;
    check_privilege(call)?;
    let own = dom.id == call.here.dom().id;
    match op.cmd {
        cmd::DESTROYDOMAIN if !own => destroydomain(&dom),
        cmd::PAUSEDOMAIN if !own => {
            lifecycle::controller_pause(&dom);
            Ok(Reply::Plain)
        }
        cmd::RESUMEDOMAIN if !own => {
            lifecycle::resume(&dom);
            Ok(Reply::Plain)
        }
        cmd::SETVCPUCONTEXT if !own => context::setvcpucontext(&dom, op),
        cmd::GETVCPUCONTEXT if !own => context::getvcpucontext(&dom, op),
        cmd::DESTROYDOMAIN
        | cmd::PAUSEDOMAIN
        | cmd::RESUMEDOMAIN
        | cmd::SETVCPUCONTEXT
        | cmd::GETVCPUCONTEXT => Err(Errno::EINVAL),
        _ => settings(call, &dom, op),
    }
}

fn check_privilege(call: &Call<'_>) -> Result<(), Errno> {
    if call.here.dom().privileged {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Commands that set or read one thing.
fn settings(call: &Call<'_>, dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    match op.cmd {
        cmd::UNPAUSEDOMAIN => plain(lifecycle::controller_unpause(dom)),
        cmd::MAX_VCPUS => max_vcpus(dom, op),
        cmd::MAX_MEM => {
            let kib = op.payload::<MaxMem>().max_memkb;
            dom.pages.lock().max = kib >> KIB_PER_PAGE_SHIFT;
            Ok(Reply::Plain)
        }
        cmd::SETDOMAINHANDLE => {
            dom.control.lock().handle = op.payload::<SetDomainHandle>().handle;
            Ok(Reply::Plain)
        }
        cmd::HYPERCALL_INIT => hypercall_init(dom, op),
        cmd::SETTIMEOFFSET => {
            let seconds = op.payload::<SetTimeOffset>().time_offset_s;
            dom.control.lock().time_offset_seconds = seconds;
            pvtime::update_wallclock(dom.shared_info, seconds);
            Ok(Reply::Plain)
        }
        cmd::SENDTRIGGER => sendtrigger(dom, op),
        cmd::SUBSCRIBE => {
            dom.control.lock().suspend_port = Some(op.payload::<Subscribe>().port.get());
            Ok(Reply::Plain)
        }
        cmd::SET_ADDRESS_SIZE if op.payload::<AddressSize>().size == 64 => Ok(Reply::Plain),
        cmd::SET_ADDRESS_SIZE => Err(Errno::EINVAL),
        cmd::GET_ADDRESS_SIZE => {
            op.set_payload(&AddressSize { size: 64 });
            Ok(Reply::CopyBack)
        }
        cmd::SETTSCINFO => settscinfo(op),
        cmd::GETTSCINFO => {
            op.set_payload(&info::tscinfo());
            Ok(Reply::CopyBack)
        }
        cmd::SET_VIRQ_HANDLER => {
            plain(events::set_virq_handler(op.payload::<SetVirqHandler>().virq, dom.id))
        }
        cmd::MEMORY_MAPPING => Ok(Reply::Plain),
        cmd::IRQ_PERMISSION => plain(access::irq(call, dom, op)),
        cmd::IOMEM_PERMISSION => plain(access::iomem(call, dom, op)),
        cmd::IOPORT_PERMISSION => plain(access::ioport(call, dom, op)),
        cmd::GETVCPUINFO => info::getvcpuinfo(dom, op),
        cmd::GETPAGEFRAMEINFO3 => pageinfo::getpageframeinfo3(dom, op),
        cmd::SETVCPUAFFINITY => affinity::set(dom, op),
        cmd::GETVCPUAFFINITY => affinity::get(dom, op),
        cmd::SETNODEAFFINITY => Ok(Reply::Plain),
        cmd::GETNODEAFFINITY => affinity::node(op),
        cmd::SCHEDULER_OP => affinity::scheduler_op(dom, op),
        cmd::GET_EXT_VCPUCONTEXT => context::get_ext(dom, op),
        cmd::SET_EXT_VCPUCONTEXT => context::set_ext(dom, op),
        cmd::GET_CPU_POLICY => policy::get(op),
        cmd::SET_CPU_POLICY => policy::set(dom, op),
        cmd::SET_TARGET => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::ENOSYS),
    }
}

fn plain(result: Result<(), Errno>) -> CmdResult {
    result.map(|()| Reply::Plain)
}

fn createdomain(op: &mut XenDomctl) -> CmdResult {
    let config: CreateDomain = op.payload();
    let params = check_config(&config)?;
    let wanted = op.domain;
    let id = if wanted == DomId::DOM0 || !wanted.is_real() { None } else { Some(wanted) };
    let dom = create::create(&Params { id, ..params })?;
    op.domain = dom.id;
    Ok(Reply::CopyBack)
}

/// Limits of a grant table: -1 asks for the default.
fn limit(asked: i32, default: u32, least: u32) -> Result<u32, Errno> {
    match u32::try_from(asked) {
        Ok(frames) if (least..=default).contains(&frames) => Ok(frames),
        Ok(_) => Err(Errno::EINVAL),
        Err(_) => Ok(default),
    }
}

fn check_config(config: &CreateDomain) -> Result<Params, Errno> {
    let allowed = Cdf::OOS_OFF | Cdf::XS_DOMAIN;
    let version = config.grant_opts & GRANT_VERSION_MASK;
    let ok = allowed.contains(config.flags)
        && config.iommu_opts == 0
        && (1..=MAX_VCPUS).contains(&config.max_vcpus)
        && (1..=2).contains(&version)
        && config.grant_opts & !GRANT_VERSION_MASK == 0
        && config.vmtrace_size == 0
        && config.cpupool_id == 0
        && config.arch.emulation_flags == 0
        && config.arch.misc_flags & !hypercall_abi::xen::X86_MSR_RELAXED == 0;
    if !ok {
        return Err(Errno::EINVAL);
    }
    Ok(Params {
        id: None,
        privileged: false,
        handle: config.handle,
        max_vcpus: config.max_vcpus,
        max_port: config.max_evtchn_port.min(MAX_PORT),
        grant_frames: limit(config.max_grant_frames, MAX_GRANT_FRAMES, 1)?,
        maptrack_frames: limit(config.max_maptrack_frames, MAX_MAPTRACK_FRAMES, 0)?,
    })
}

fn destroydomain(dom: &DomainRef) -> CmdResult {
    if destroy::step(dom) {
        Ok(Reply::Plain)
    } else {
        Ok(Reply::Again)
    }
}

fn max_vcpus(dom: &DomainRef, op: &XenDomctl) -> CmdResult {
    if op.payload::<MaxVcpus>().max as usize != dom.vcpus.len() {
        return Err(Errno::EINVAL);
    }
    dom.vcpus_created.store(true, Ordering::SeqCst);
    Ok(Reply::Plain)
}

fn hypercall_init(dom: &DomainRef, op: &XenDomctl) -> CmdResult {
    let mfn: Mfn = op.payload::<HypercallInit>().gmfn;
    plain(trap::hypercall_page::install(dom, mfn))
}

fn sendtrigger(dom: &DomainRef, op: &XenDomctl) -> CmdResult {
    let trigger: SendTrigger = op.payload();
    let vcpu = dom.vcpu(trigger.vcpu).ok_or(Errno::ESRCH)?;
    if trigger.trigger != TRIGGER_NMI {
        return Err(Errno::ENOSYS);
    }
    lifecycle::send_nmi(dom, vcpu);
    Ok(Reply::Plain)
}

/// The clock is the TSC, unscaled; every mode that allows that is the same here.
fn settscinfo(op: &XenDomctl) -> CmdResult {
    let wanted: TscInfo = op.payload();
    if wanted.tsc_mode == hypercall_abi::domctl::TSC_MODE_ALWAYS_EMULATE {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(Reply::Plain)
}
