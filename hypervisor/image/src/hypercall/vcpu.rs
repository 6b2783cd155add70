//! `vcpu_op`: a domain's control over its own vCPUs.

use core::sync::atomic::Ordering;
use hv_core::page;
use hv_machine::{directmap, time};
use hypercall_abi::addr::{guest_range, Mfn};
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::VcpuId;
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::vcpu::{
    self as cmd, VcpuRegisterRunstateMemoryArea, VcpuRegisterTimeMemoryArea, VcpuRegisterVcpuInfo,
    VcpuSetPeriodicTimer, VcpuSetSingleshotTimer, MIN_PERIOD_NS,
};

use super::{sched::set_singleshot, Call, Outcome};
use crate::control::context;
use crate::domain::vcpu::flag;
use crate::domain::{lifecycle, Vcpu};
use crate::host::Host;
use crate::{guestmem, pvtime, sched, wake};

/// Longest period of the periodic timer: about 2^62 ns.
const MAX_PERIOD_NS: u64 = 1 << 62;
/// Bytes of a `vcpu_info`.
const INFO_BYTES: u32 = 64;

/// `vcpu_op(cmd, vcpuid, arg)`.
pub fn vcpu_op(call: &mut Call<'_>) -> Outcome {
    let [command, id, arg, ..] = call.args;
    let Some(vcpu) = call.here.dom().vcpu(VcpuId::new(id as u32)) else {
        return Errno::ENOENT.into();
    };
    let own = vcpu.id == call.here.vcpu().id;
    match command as u32 {
        cmd::INITIALISE => initialise(call, vcpu, arg).into(),
        cmd::UP => up(call, vcpu).into(),
        cmd::DOWN => down(call, vcpu),
        cmd::IS_UP => Outcome::Done(i64::from(vcpu.has(flag::UP))),
        cmd::GET_RUNSTATE_INFO => {
            let info = vcpu.runstate.lock().info(time::now_ns());
            guestmem::write(arg, &info).into()
        }
        cmd::REGISTER_RUNSTATE_MEMORY_AREA => runstate_area(call, vcpu, arg).into(),
        cmd::SET_PERIODIC_TIMER => set_periodic(call, vcpu, arg).into(),
        cmd::STOP_PERIODIC_TIMER => {
            vcpu.period_ns.store(0, Ordering::Relaxed);
            wake::cancel(call.here.dom(), vcpu, wake::Kind::Periodic);
            Outcome::Done(0)
        }
        cmd::SET_SINGLESHOT_TIMER if own => set_oneshot(call, arg).into(),
        cmd::STOP_SINGLESHOT_TIMER if own => {
            set_singleshot(call, 0);
            Outcome::Done(0)
        }
        cmd::SET_SINGLESHOT_TIMER | cmd::STOP_SINGLESHOT_TIMER => Errno::EINVAL.into(),
        cmd::REGISTER_VCPU_INFO => register_info(call, vcpu, arg).into(),
        cmd::SEND_NMI if arg == 0 => {
            lifecycle::send_nmi(call.here.dom(), vcpu);
            Outcome::Done(0)
        }
        cmd::SEND_NMI | cmd::GET_PHYSID => Errno::EINVAL.into(),
        cmd::REGISTER_VCPU_TIME_MEMORY_AREA => time_area(vcpu, arg).into(),
        _ => Errno::ENOSYS.into(),
    }
}

fn initialise(call: &Call<'_>, vcpu: &Vcpu, arg: u64) -> Result<(), Errno> {
    let context: alloc::boxed::Box<VcpuGuestContext> = context::read(arg)?;
    if vcpu.has(flag::INITIALISED) {
        return Err(Errno::EEXIST);
    }
    context::set(call.here.dom(), vcpu, &context)
}

fn up(call: &Call<'_>, vcpu: &Vcpu) -> Result<(), Errno> {
    if !vcpu.has(flag::INITIALISED) {
        return Err(Errno::EINVAL);
    }
    if vcpu.set(flag::UP) & flag::UP == 0 {
        sched::update(call.here.dom(), vcpu);
    }
    Ok(())
}

fn down(call: &Call<'_>, vcpu: &Vcpu) -> Outcome {
    let dom = call.here.dom();
    let others = dom.vcpus.iter().any(|other| other.id != vcpu.id && other.has(flag::UP));
    if !others && vcpu.has(flag::UP) {
        lifecycle::shutdown(dom, hypercall_abi::sched::shutdown::POWEROFF);
        return Outcome::Done(0);
    }
    if vcpu.clear(flag::UP) & flag::UP != 0 {
        sched::update(dom, vcpu);
    }
    Outcome::Done(0)
}

fn runstate_area(call: &Call<'_>, vcpu: &Vcpu, arg: u64) -> Result<(), Errno> {
    let area: VcpuRegisterRunstateMemoryArea = guestmem::read(arg)?;
    if !guest_range(area.addr, core::mem::size_of::<cmd::VcpuRunstateInfo>() as u64) {
        return Err(Errno::EFAULT);
    }
    vcpu.runstate.lock().area = area.addr.get();
    if vcpu.id == call.here.vcpu().id {
        pvtime::publish_runstate(call.here.dom(), vcpu);
    }
    Ok(())
}

fn set_periodic(call: &Call<'_>, vcpu: &Vcpu, arg: u64) -> Result<(), Errno> {
    let timer: VcpuSetPeriodicTimer = guestmem::read(arg)?;
    if !(MIN_PERIOD_NS..=MAX_PERIOD_NS).contains(&timer.period_ns) {
        return Err(Errno::EINVAL);
    }
    vcpu.period_ns.store(timer.period_ns, Ordering::Relaxed);
    wake::arm_periodic(call.here.dom(), vcpu);
    Ok(())
}

fn set_oneshot(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let timer: VcpuSetSingleshotTimer = guestmem::read(arg)?;
    // Here 0 is a time in the past, not "stop".
    set_singleshot(call, timer.timeout_abs_ns.max(1));
    Ok(())
}

fn time_area(vcpu: &Vcpu, arg: u64) -> Result<(), Errno> {
    let area: VcpuRegisterTimeMemoryArea = guestmem::read(arg)?;
    if !area.addr.is_null() && !guest_range(area.addr, 32) {
        return Err(Errno::EFAULT);
    }
    vcpu.time_area.store(area.addr.get(), Ordering::Relaxed);
    pvtime::update(vcpu, true);
    Ok(())
}

/// Moves a `vcpu_info` out of the shared info page into a frame of the guest's own.
fn register_info(call: &Call<'_>, vcpu: &Vcpu, arg: u64) -> Result<(), Errno> {
    let place: VcpuRegisterVcpuInfo = guestmem::read(arg)?;
    if place.offset > hypercall_abi::addr::PAGE_SIZE as u32 - INFO_BYTES || place.offset % 8 != 0 {
        return Err(Errno::ENXIO);
    }
    let dom = call.here.dom();
    let (old, old_offset) = vcpu.info_place();
    let own = vcpu.id == call.here.vcpu().id;
    if old != dom.shared_info || (!own && vcpu.has(flag::UP)) {
        return Err(Errno::EINVAL);
    }
    let held = page::get_writable(&Host, place.mfn, dom.id).map_err(|_| Errno::EINVAL)?;
    // The vCPU keeps the reference until its domain dies.
    let _ = held.into_raw();
    move_info((old, old_offset), (place.mfn, place.offset as usize));
    vcpu.info.store(place.mfn.maddr() | u64::from(place.offset), Ordering::Release);
    if own {
        hv_machine::cpuinfo::set_upcall_pair(Some((place.mfn, place.offset as u16)));
    }
    // Nothing raised during the move may be lost: the guest finds every selector bit set once.
    let words = directmap::table(place.mfn);
    words[(place.offset as usize + 8) / 8].store(u64::MAX, Ordering::SeqCst);
    directmap::bytes8(place.mfn)[place.offset as usize].store(1, Ordering::SeqCst);
    pvtime::update(vcpu, true);
    Ok(())
}

fn move_info((from, from_offset): (Mfn, usize), (to, to_offset): (Mfn, usize)) {
    let (source, target) = (directmap::table(from), directmap::table(to));
    for word in 0..INFO_BYTES as usize / 8 {
        let value = source[from_offset / 8 + word].load(Ordering::SeqCst);
        target[to_offset / 8 + word].store(value, Ordering::SeqCst);
    }
}
