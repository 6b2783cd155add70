//! `domctl`: control of one domain.
//!
//! The head is checked in Xen's order: readable, version, domain, right. Then one function per
//! command works on a copy of the structure; it goes back to the caller only if the command has
//! something to tell ([`answer`]). Long commands answer [`End::AGAIN`] and take up where they
//! were, because their progress is kept in the domain.

use core::sync::atomic::Ordering;
use hypercall_abi::domctl::{self as abi, cmd};
use hypercall_abi::xen::DOMCTL_INTERFACE_VERSION;
use hypercall_abi::zendo::DOMCTL_COUNTERS;
use hypercall_abi::{DomId, Errno};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{affinity, context, info, policy, rights};
use crate::domain::{create, destroy, lifecycle, table, Domain};
use crate::hypercall::{ensure, Answer, Call, End};
use crate::{events, guestmem, pvtime, trap};

/// KiB per frame, as a shift.
const KIB_PER_PAGE_SHIFT: u32 = 2;
/// What a domain cannot do to itself.
const TO_OTHERS_ONLY: [u32; 5] = [
    cmd::DESTROYDOMAIN,
    cmd::PAUSEDOMAIN,
    cmd::RESUMEDOMAIN,
    cmd::SETVCPUCONTEXT,
    cmd::GETVCPUCONTEXT,
];

/// `domctl(op)`.
pub fn domctl(call: &mut Call<'_>) -> Answer {
    let at = call.args[0];
    let mut op: abi::XenDomctl = guestmem::read(at)?;
    ensure(op.interface_version == DOMCTL_INTERFACE_VERSION, Errno::EACCES)?;
    let is_about_one = !matches!(op.cmd, cmd::CREATEDOMAIN | cmd::GETDOMAININFO);
    let named = table::get(op.domain).ok_or(Errno::ESRCH);
    ensure(!is_about_one || named.is_ok(), Errno::ESRCH)?;
    call.privileged()?;
    match op.cmd {
        cmd::CREATEDOMAIN => createdomain(at, &mut op)?,
        cmd::GETDOMAININFO => getdomaininfo(at, &mut op)?,
        _ => {
            let dom = named?;
            let is_own = dom.id == call.here.dom().id;
            ensure(!is_own || !TO_OTHERS_ONLY.contains(&op.cmd), Errno::EINVAL)?;
            if op.cmd == cmd::DESTROYDOMAIN && !destroy::step(&dom) {
                return Err(End::AGAIN);
            }
            command(call, &dom, at, &mut op)?;
        }
    }
    Ok(0)
}

/// Does what is asked of a domain.
fn command(call: &Call<'_>, dom: &Domain, at: u64, op: &mut abi::XenDomctl) -> Result<(), Errno> {
    match op.cmd {
        cmd::DESTROYDOMAIN | cmd::MEMORY_MAPPING | cmd::SETNODEAFFINITY => {}
        cmd::PAUSEDOMAIN => lifecycle::controller_pause(dom),
        cmd::UNPAUSEDOMAIN => lifecycle::controller_unpause(dom)?,
        cmd::RESUMEDOMAIN => lifecycle::resume(dom),
        cmd::MAX_VCPUS => max_vcpus(dom, op.payload())?,
        cmd::MAX_MEM => {
            dom.pages.lock().max = op.payload::<abi::MaxMem>().max_memkb >> KIB_PER_PAGE_SHIFT;
        }
        cmd::SETDOMAINHANDLE => {
            dom.control.lock().handle = op.payload::<abi::SetDomainHandle>().handle;
        }
        cmd::HYPERCALL_INIT => {
            trap::hypercall_page::install(dom, op.payload::<abi::HypercallInit>().gmfn)?;
        }
        cmd::SETTIMEOFFSET => {
            let seconds = op.payload::<abi::SetTimeOffset>().time_offset_s;
            dom.control.lock().time_offset_seconds = seconds;
            pvtime::update_wallclock(dom.shared_info, seconds);
        }
        cmd::SENDTRIGGER => sendtrigger(dom, op.payload())?,
        cmd::SUBSCRIBE => {
            dom.control.lock().suspend_port = Some(op.payload::<abi::Subscribe>().port);
        }
        cmd::SET_ADDRESS_SIZE if op.payload::<abi::AddressSize>().size == 64 => {}
        cmd::SET_ADDRESS_SIZE => return Err(Errno::EINVAL),
        cmd::GET_ADDRESS_SIZE => answer(at, op, |_| Ok(abi::AddressSize { size: 64 }))?,
        // The clock is the TSC, unscaled; every mode that allows that is the same here.
        cmd::SETTSCINFO
            if op.payload::<abi::TscInfo>().tsc_mode != abi::TSC_MODE_ALWAYS_EMULATE => {}
        cmd::GETTSCINFO => answer(at, op, info::tscinfo)?,
        cmd::SET_VIRQ_HANDLER => {
            events::set_virq_handler(op.payload::<abi::SetVirqHandler>().virq, dom.id)?;
        }
        cmd::IRQ_PERMISSION => rights::irq(call, dom, op.payload())?,
        cmd::IOMEM_PERMISSION => rights::iomem(call, dom, op.payload())?,
        cmd::IOPORT_PERMISSION => rights::ioport(call, dom, op.payload())?,
        DOMCTL_COUNTERS => answer(at, op, |none| Ok(info::counters(dom, none)))?,
        cmd::GETVCPUINFO => answer(at, op, |info| info::getvcpuinfo(dom, info))?,
        cmd::GETPAGEFRAMEINFO3 => {
            info::getpageframeinfo3(dom, &op.payload())?;
            guestmem::write(at, op)?;
        }
        cmd::SETVCPUAFFINITY => affinity::set(dom, op.payload())?,
        cmd::GETVCPUAFFINITY => affinity::get(dom, op.payload())?,
        // There is one node.
        cmd::GETNODEAFFINITY => affinity::write_map(&op.payload::<abi::NodeAffinity>().nodemap, 1)?,
        cmd::SCHEDULER_OP => answer(at, op, |wanted| affinity::scheduler_op(dom, wanted))?,
        cmd::SETVCPUCONTEXT => context::setvcpucontext(dom, op.payload())?,
        cmd::GETVCPUCONTEXT => context::getvcpucontext(dom, op.payload())?,
        cmd::GET_EXT_VCPUCONTEXT => answer(at, op, |ext| context::get_ext(dom, ext))?,
        cmd::SET_EXT_VCPUCONTEXT => context::set_ext(dom, op.payload())?,
        cmd::GET_CPU_POLICY => answer(at, op, policy::get)?,
        cmd::SET_CPU_POLICY => policy::set(dom, op.payload())?,
        cmd::SETTSCINFO | cmd::SET_TARGET => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::ENOSYS),
    }
    Ok(())
}

/// Does a command that has something to tell: its structure goes back to the caller.
fn answer<T: FromBytes + IntoBytes + Immutable>(
    at: u64,
    op: &mut abi::XenDomctl,
    command: impl FnOnce(T) -> Result<T, Errno>,
) -> Result<(), Errno> {
    op.set_payload(&command(op.payload())?);
    guestmem::write(at, op)
}

fn createdomain(at: u64, op: &mut abi::XenDomctl) -> Result<(), Errno> {
    let wanted = op.domain;
    let id = (wanted != DomId::DOM0 && wanted.is_real()).then_some(wanted);
    op.domain = create::create(id, &op.payload())?.id;
    guestmem::write(at, op)
}

/// Describes the first domain from the given number on.
fn getdomaininfo(at: u64, op: &mut abi::XenDomctl) -> Result<(), Errno> {
    let dom = table::list_from(op.domain, 1).pop().ok_or(Errno::ESRCH)?;
    op.domain = dom.id;
    op.set_payload(&info::describe(&dom));
    guestmem::write(at, op)
}

fn max_vcpus(dom: &Domain, wanted: abi::MaxVcpus) -> Result<(), Errno> {
    ensure(wanted.max as usize == dom.vcpus.len(), Errno::EINVAL)?;
    dom.vcpus_created.store(true, Ordering::SeqCst);
    Ok(())
}

fn sendtrigger(dom: &Domain, wanted: abi::SendTrigger) -> Result<(), Errno> {
    let vcpu = dom.vcpu(wanted.vcpu).ok_or(Errno::ESRCH)?;
    ensure(wanted.trigger == abi::TRIGGER_NMI, Errno::ENOSYS)?;
    lifecycle::send_nmi(dom, vcpu);
    Ok(())
}
