//! `sched_op` and `set_timer_op`: giving up the CPU, waiting, shutting down.

use core::sync::atomic::Ordering;
use hv_core::evtchn::MAX_POLL_PORTS;
use hv_machine::{cpuinfo, time};
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::EvtchnPort;
use hypercall_abi::sched::{
    self as cmd, shutdown, SchedPinOverride, SchedPoll, SchedRemoteShutdown, SchedShutdown,
    SchedWatchdog,
};

use super::{Call, Outcome};
use crate::domain::{lifecycle, table, vcpu::flag};
use crate::{events, exit, guestmem, sched, wake};

/// A timer further ahead than this is taken for a mistake of the guest.
const FAR_NS: u64 = 1 << 50;
/// After which time such a timer fires all the same.
const FAR_FIRES_AFTER_NS: u64 = 100_000_000;
/// Watchdogs of a domain.
const NR_WATCHDOGS: u32 = 2;
/// ns per second.
const SECOND_NS: u64 = 1_000_000_000;

/// `sched_op(cmd, arg)`.
pub fn sched_op(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    match command as u32 {
        cmd::YIELD => yield_cpu(call),
        cmd::BLOCK => block(call),
        cmd::SHUTDOWN => shut_down(call, arg).into(),
        cmd::POLL => poll(call, arg).into(),
        cmd::REMOTE_SHUTDOWN => remote_shutdown(call, arg).into(),
        cmd::SHUTDOWN_CODE => shutdown_code(call, arg).into(),
        cmd::WATCHDOG => watchdog(call, arg).into(),
        cmd::PIN_OVERRIDE => pin_override(call, arg).into(),
        _ => Errno::ENOSYS.into(),
    }
}

fn yield_cpu(call: &Call<'_>) -> Outcome {
    if !sched::is_alone() {
        call.here.vcpu().set(flag::YIELDED);
        cpuinfo::raise_work(exit::work::SCHEDULE);
    }
    Outcome::Done(0)
}

/// Unmasks, then waits unless something is pending already. Whoever raises an event sets the
/// pending byte first and looks at `blocked` afterwards; here it is the other way round, so one of
/// the two sees the other.
fn block(call: &Call<'_>) -> Outcome {
    let (dom, vcpu) = (call.here.dom(), call.here.vcpu());
    events::set_upcall_mask(vcpu, false);
    vcpu.blocked.store(true, Ordering::SeqCst);
    if events::upcall_pending(dom, vcpu.id) {
        vcpu.blocked.store(false, Ordering::SeqCst);
    } else {
        cpuinfo::raise_work(exit::work::SCHEDULE);
    }
    Outcome::Done(0)
}

fn poll(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: SchedPoll = guestmem::read(arg)?;
    let count = op.nr_ports as usize;
    if count > MAX_POLL_PORTS {
        return Err(Errno::EINVAL);
    }
    let mut ports = [EvtchnPort::new(0); MAX_POLL_PORTS];
    for (index, port) in ports.iter_mut().take(count).enumerate() {
        *port = guestmem::read_at(op.ports.get(), index as u64)?;
    }
    let ports = ports.get(..count).unwrap_or_default();
    let (dom, vcpu) = (call.here.dom(), call.here.vcpu());
    // The order decides: registered and blocked first, looked at afterwards.
    vcpu.blocked.store(true, Ordering::SeqCst);
    let mut table = dom.ports.lock();
    let registered = table.pollers.begin(vcpu.id, ports).map_err(Errno::from);
    let max_port = table.table.max_port();
    drop(table);
    let ready = registered.and_then(|()| {
        if ports.iter().any(|port| port.get() > max_port) {
            return Err(Errno::EINVAL);
        }
        let upcall = events::upcall_pending(dom, vcpu.id) && events::upcall_mask(vcpu) == 0;
        Ok(upcall || ports.iter().any(|port| events::is_pending(dom, *port)))
    });
    if ready != Ok(false) {
        vcpu.blocked.store(false, Ordering::SeqCst);
        dom.ports.lock().pollers.end(vcpu.id);
        return ready.map(|_| ());
    }
    if op.timeout_ns != 0 {
        wake::arm(dom, vcpu, wake::Kind::Poll, op.timeout_ns);
    }
    vcpu.set(flag::POLLING);
    cpuinfo::raise_work(exit::work::SCHEDULE);
    Ok(())
}

/// Tidies up after a poll, when the vCPU runs again.
pub fn finish_poll(here: &crate::current::Here) {
    if here.vcpu().clear(flag::POLLING) & flag::POLLING != 0 {
        here.dom().ports.lock().pollers.end(here.vcpu().id);
        wake::cancel(here.dom(), here.vcpu(), wake::Kind::Poll);
    }
}

fn shut_down(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: SchedShutdown = guestmem::read(arg)?;
    if op.reason > shutdown::MAX {
        return Err(Errno::EINVAL);
    }
    lifecycle::shutdown(call.here.dom(), op.reason);
    Ok(())
}

fn remote_shutdown(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: SchedRemoteShutdown = guestmem::read(arg)?;
    let dom = table::get(op.domain_id).ok_or(Errno::ESRCH)?;
    if !call.here.dom().privileged || dom.id == call.here.dom().id {
        return Err(Errno::EPERM);
    }
    if op.reason > shutdown::MAX {
        return Err(Errno::EINVAL);
    }
    lifecycle::shutdown(&dom, op.reason);
    Ok(())
}

fn shutdown_code(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: SchedShutdown = guestmem::read(arg)?;
    let mut control = call.here.dom().control.lock();
    control.early_code.get_or_insert(op.reason);
    Ok(())
}

fn watchdog(call: &Call<'_>, arg: u64) -> Result<i64, Errno> {
    let op: SchedWatchdog = guestmem::read(arg)?;
    if op.id > NR_WATCHDOGS {
        return Err(Errno::EINVAL);
    }
    let (dom, vcpu) = (call.here.dom(), &call.here.dom().vcpus[0]);
    let mut control = dom.control.lock();
    let deadline = time::now_ns().saturating_add(u64::from(op.timeout_s) * SECOND_NS);
    if op.id == 0 && op.timeout_s == 0 {
        return Err(Errno::EINVAL);
    }
    let slot = if op.id == 0 {
        match control.watchdogs.iter().position(|slot| *slot == 0) {
            Some(slot) => slot,
            // Xen hands this one out as an unsigned 32-bit number.
            None => return Ok(i64::from(Errno::ENOSPC.to_ret() as u32)),
        }
    } else {
        op.id as usize - 1
    };
    let timer = control.watchdogs.get_mut(slot).ok_or(Errno::EINVAL)?;
    if op.id != 0 && *timer == 0 {
        return Err(Errno::EINVAL);
    }
    *timer = if op.timeout_s == 0 { 0 } else { deadline };
    drop(control);
    let kind = wake::Kind::Watchdog(slot as u8);
    if op.timeout_s == 0 {
        wake::cancel(dom, vcpu, kind);
    } else {
        wake::arm(dom, vcpu, kind, deadline);
    }
    Ok(if op.id == 0 { slot as i64 + 1 } else { 0 })
}

fn pin_override(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    if !call.here.dom().privileged {
        return Err(Errno::EPERM);
    }
    let op: SchedPinOverride = guestmem::read(arg)?;
    let cpus = match u32::try_from(op.pcpu) {
        Ok(cpu) if cpu < hv_machine::percpu::nr_cpus() => 1u64 << cpu,
        Ok(_) => return Err(Errno::EINVAL),
        Err(_) => u64::MAX,
    };
    sched::set_affinity(call.here.vcpu(), cpus)
}

/// `set_timer_op(deadline)`.
pub fn set_timer_op(call: &mut Call<'_>) -> Outcome {
    set_singleshot(call, call.args[0]);
    Outcome::Done(0)
}

/// Arms the calling vCPU's one-shot timer; 0 stops it, a time in the past fires at once.
pub fn set_singleshot(call: &Call<'_>, deadline_ns: u64) {
    let (dom, vcpu) = (call.here.dom(), call.here.vcpu());
    if deadline_ns == 0 {
        wake::cancel(dom, vcpu, wake::Kind::Singleshot);
        return;
    }
    let now = time::now_ns();
    let far = deadline_ns > i64::MAX as u64 || deadline_ns.saturating_sub(now) > FAR_NS;
    if deadline_ns <= now {
        wake::cancel(dom, vcpu, wake::Kind::Singleshot);
        events::raise_virq(dom, vcpu.id, hypercall_abi::ids::Virq::TIMER);
    } else {
        let deadline = if far { now + FAR_FIRES_AFTER_NS } else { deadline_ns };
        wake::arm(dom, vcpu, wake::Kind::Singleshot, deadline);
    }
}
