//! `vcpu_op`: a domain's control over its own vCPUs.

use core::sync::atomic::Ordering;
use hv_core::page;
use hv_machine::{cpuinfo, directmap, time};
use hypercall_abi::addr::guest_range;
use hypercall_abi::sched::shutdown;
use hypercall_abi::vcpu::{self as abi, VcpuRegisterRunstateMemoryArea as RunstateArea};
use hypercall_abi::{Errno, VcpuId, PAGE_SIZE};

use super::{ensure, sched::set_singleshot, Answer, Call};
use crate::control::context;
use crate::current::Here;
use crate::domain::vcpu::flag;
use crate::domain::{lifecycle, Domain, Vcpu};
use crate::host::Host;
use crate::{guestmem, pvtime, sched, wake};

/// Longest period of the periodic timer: about 2^62 ns.
const MAX_PERIOD_NS: u64 = 1 << 62;
/// Bytes of a `vcpu_info`.
const INFO_BYTES: usize = 64;
/// Bytes of a `vcpu_time_info`.
const TIME_INFO_BYTES: u64 = 32;

/// `vcpu_op(cmd, vcpuid, arg)`.
pub fn vcpu_op(call: &mut Call<'_>) -> Answer {
    let [command, id, arg, ..] = call.args;
    let here = call.here;
    let dom = here.dom();
    let vcpu = dom.vcpu(VcpuId::new(id as u32)).ok_or(Errno::ENOENT)?;
    let own = vcpu.id == here.vcpu().id;
    match command as u32 {
        abi::INITIALISE => initialise(dom, vcpu, arg)?,
        abi::UP => up(dom, vcpu)?,
        abi::DOWN => down(dom, vcpu),
        abi::IS_UP => return Ok(i64::from(vcpu.has(flag::UP))),
        abi::GET_RUNSTATE_INFO => {
            let info = vcpu.runstate.lock().info(time::now_ns());
            guestmem::write(arg, &info)?;
        }
        abi::REGISTER_RUNSTATE_MEMORY_AREA => runstate_area(here, vcpu, &guestmem::read(arg)?)?,
        abi::SET_PERIODIC_TIMER => set_periodic(dom, vcpu, &guestmem::read(arg)?)?,
        abi::STOP_PERIODIC_TIMER => {
            vcpu.period_ns.store(0, Ordering::Relaxed);
            wake::cancel(dom, vcpu, wake::Kind::Periodic);
        }
        abi::SET_SINGLESHOT_TIMER if own => {
            let timer: abi::VcpuSetSingleshotTimer = guestmem::read(arg)?;
            // Here 0 is a time in the past, not "stop".
            set_singleshot(here, timer.timeout_abs_ns.max(1));
        }
        abi::STOP_SINGLESHOT_TIMER if own => set_singleshot(here, 0),
        abi::REGISTER_VCPU_INFO => register_info(here, vcpu, &guestmem::read(arg)?)?,
        abi::SEND_NMI if arg == 0 => lifecycle::send_nmi(dom, vcpu),
        abi::REGISTER_VCPU_TIME_MEMORY_AREA => time_area(vcpu, &guestmem::read(arg)?)?,
        abi::SET_SINGLESHOT_TIMER
        | abi::STOP_SINGLESHOT_TIMER
        | abi::SEND_NMI
        | abi::GET_PHYSID => return Err(Errno::EINVAL.into()),
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

fn initialise(dom: &Domain, vcpu: &Vcpu, arg: u64) -> Result<(), Errno> {
    let context = context::read(arg)?;
    ensure(!vcpu.has(flag::INITIALISED), Errno::EEXIST)?;
    context::set(dom, vcpu, &context)
}

fn up(dom: &Domain, vcpu: &Vcpu) -> Result<(), Errno> {
    ensure(vcpu.has(flag::INITIALISED), Errno::EINVAL)?;
    if vcpu.set(flag::UP) & flag::UP == 0 {
        sched::update(dom, vcpu);
    }
    Ok(())
}

/// Takes a vCPU down; the last one shuts the domain down instead.
fn down(dom: &Domain, vcpu: &Vcpu) {
    let others = dom.vcpus.iter().any(|other| other.id != vcpu.id && other.has(flag::UP));
    if !others && vcpu.has(flag::UP) {
        lifecycle::shutdown(dom, shutdown::POWEROFF);
    } else if vcpu.clear(flag::UP) & flag::UP != 0 {
        sched::update(dom, vcpu);
    }
}

fn runstate_area(here: &Here, vcpu: &Vcpu, area: &RunstateArea) -> Result<(), Errno> {
    let size = size_of::<abi::VcpuRunstateInfo>() as u64;
    ensure(guest_range(area.addr, size), Errno::EFAULT)?;
    vcpu.runstate.lock().area = area.addr.get();
    if vcpu.id == here.vcpu().id {
        pvtime::publish_runstate(here.dom(), vcpu);
    }
    Ok(())
}

fn set_periodic(dom: &Domain, vcpu: &Vcpu, op: &abi::VcpuSetPeriodicTimer) -> Result<(), Errno> {
    ensure((abi::MIN_PERIOD_NS..=MAX_PERIOD_NS).contains(&op.period_ns), Errno::EINVAL)?;
    vcpu.period_ns.store(op.period_ns, Ordering::Relaxed);
    wake::arm_periodic(dom, vcpu);
    Ok(())
}

fn time_area(vcpu: &Vcpu, area: &abi::VcpuRegisterTimeMemoryArea) -> Result<(), Errno> {
    ensure(area.addr.is_null() || guest_range(area.addr, TIME_INFO_BYTES), Errno::EFAULT)?;
    vcpu.time_area.store(area.addr.get(), Ordering::Relaxed);
    pvtime::update(vcpu, true);
    Ok(())
}

/// Moves a `vcpu_info` out of the shared info page into a frame of the guest's own.
fn register_info(here: &Here, vcpu: &Vcpu, op: &abi::VcpuRegisterVcpuInfo) -> Result<(), Errno> {
    let (mfn, offset) = (op.mfn, op.offset as usize);
    ensure(offset <= PAGE_SIZE - INFO_BYTES && offset % 8 == 0, Errno::ENXIO)?;
    let dom = here.dom();
    let own = vcpu.id == here.vcpu().id;
    ensure(vcpu.info.frame() == dom.shared_info && (own || !vcpu.has(flag::UP)), Errno::EINVAL)?;
    let held = page::get_writable(&Host, mfn, dom.id).map_err(|_| Errno::EINVAL)?;
    // The vCPU keeps the reference until its domain dies.
    let _ = held.into_raw();
    let source = &dom.shared[vcpu.id.get() as usize * INFO_BYTES / 8..];
    let target = &directmap::table(mfn)[offset / 8..][..INFO_BYTES / 8];
    for (from, to) in source.iter().zip(target) {
        to.store(from.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    vcpu.info.set(mfn, offset);
    if own {
        cpuinfo::set_vcpu_words(&vcpu.info);
    }
    // Nothing raised during the move may be lost: the guest finds every selector bit set once.
    vcpu.info.words().selector.store(u64::MAX, Ordering::SeqCst);
    vcpu.info.words().pending.store(1, Ordering::SeqCst);
    pvtime::update(vcpu, true);
    Ok(())
}
