//! `sched_op` and `set_timer_op`: giving up the CPU, waiting, shutting down.

use core::sync::atomic::Ordering;
use hv_machine::{cpuinfo, percpu, time};
use hypercall_abi::sched as abi;
use hypercall_abi::{Errno, EvtchnPort, Virq};

use super::{ensure, Answer, Call};
use crate::current::Here;
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
pub fn sched_op(call: &mut Call<'_>) -> Answer {
    let [command, arg, ..] = call.args;
    let here = call.here;
    match command as u32 {
        abi::YIELD => yield_cpu(here),
        abi::BLOCK => block(here),
        abi::POLL => poll(here, &guestmem::read(arg)?)?,
        abi::SHUTDOWN => {
            let op: abi::SchedShutdown = guestmem::read(arg)?;
            ensure(op.reason <= abi::shutdown::MAX, Errno::EINVAL)?;
            lifecycle::shutdown(here.dom(), op.reason);
        }
        abi::REMOTE_SHUTDOWN => remote_shutdown(call, &guestmem::read(arg)?)?,
        abi::SHUTDOWN_CODE => {
            let op: abi::SchedShutdown = guestmem::read(arg)?;
            here.dom().control.lock().early_code.get_or_insert(op.reason);
        }
        abi::WATCHDOG => return watchdog(here, &guestmem::read(arg)?),
        abi::PIN_OVERRIDE => {
            call.privileged()?;
            pin_override(here, &guestmem::read(arg)?)?;
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

fn yield_cpu(here: &Here) {
    if !sched::is_alone() {
        here.vcpu().set(flag::YIELDED);
        cpuinfo::raise_work(exit::work::SCHEDULE);
    }
}

/// Unmasks, then waits unless something is pending already. Whoever raises an event sets the
/// pending byte first and looks at `blocked` afterwards; here it is the other way round, so one of
/// the two sees the other.
fn block(here: &Here) {
    let vcpu = here.vcpu();
    let words = cpuinfo::vcpu_words();
    words.mask.store(0, Ordering::SeqCst);
    vcpu.blocked.store(true, Ordering::SeqCst);
    if words.pending.load(Ordering::SeqCst) != 0 {
        vcpu.blocked.store(false, Ordering::SeqCst);
    } else {
        cpuinfo::raise_work(exit::work::SCHEDULE);
    }
}

fn poll(here: &Here, op: &abi::SchedPoll) -> Result<(), Errno> {
    ensure(op.nr_ports <= abi::MAX_POLL_PORTS, Errno::EINVAL)?;
    if is_ready(here, op)? {
        return Ok(());
    }
    let only = match op.nr_ports {
        1 => Some(guestmem::read(op.ports.get())?),
        _ => None,
    };
    let (dom, vcpu) = (here.dom(), here.vcpu());
    // The order decides: registered and blocked first, looked at afterwards.
    vcpu.blocked.store(true, Ordering::SeqCst);
    let registered = dom.ports.lock().pollers.begin(vcpu.id, only).map_err(Errno::from);
    let ready = registered.and_then(|()| is_ready(here, op));
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

/// Whether one of the ports is pending or an upcall is due. All ports are looked at: a bad one is an
/// error wherever it stands.
fn is_ready(here: &Here, op: &abi::SchedPoll) -> Result<bool, Errno> {
    let dom = here.dom();
    let max_port = dom.ports.lock().table.max_port();
    let mut ready = events::upcall_wanted();
    for index in 0..u64::from(op.nr_ports) {
        let port: EvtchnPort = guestmem::read_at(op.ports.get(), index)?;
        ensure(port.get() <= max_port, Errno::EINVAL)?;
        ready |= events::is_pending(dom, port);
    }
    Ok(ready)
}

/// Tidies up after a poll, when the vCPU runs again.
pub fn finish_poll(here: &Here) {
    if here.vcpu().clear(flag::POLLING) & flag::POLLING != 0 {
        here.dom().ports.lock().pollers.end(here.vcpu().id);
        wake::cancel(here.dom(), here.vcpu(), wake::Kind::Poll);
    }
}

fn remote_shutdown(call: &Call<'_>, op: &abi::SchedRemoteShutdown) -> Result<(), Errno> {
    let dom = table::get(op.domain_id).ok_or(Errno::ESRCH)?;
    call.privileged()?;
    ensure(dom.id != call.here.dom().id, Errno::EPERM)?;
    ensure(op.reason <= abi::shutdown::MAX, Errno::EINVAL)?;
    lifecycle::shutdown(&dom, op.reason);
    Ok(())
}

/// Watchdog 0 stands for a free one, whose number is the answer; a timeout of 0 stops a watchdog.
fn watchdog(here: &Here, op: &abi::SchedWatchdog) -> Answer {
    ensure(op.id <= NR_WATCHDOGS && (op.id, op.timeout_s) != (0, 0), Errno::EINVAL)?;
    let (dom, vcpu) = (here.dom(), &here.dom().vcpus[0]);
    let deadline = match op.timeout_s {
        0 => 0,
        seconds => time::now_ns().saturating_add(u64::from(seconds) * SECOND_NS),
    };
    let mut control = dom.control.lock();
    let free = control.watchdogs.iter().position(|deadline| *deadline == 0);
    let slot = match (op.id.checked_sub(1), free) {
        (Some(slot), _) => slot as usize,
        (None, Some(slot)) => slot,
        // Xen hands this one out as an unsigned 32-bit number.
        (None, None) => return Ok(i64::from(Errno::ENOSPC.to_ret() as u32)),
    };
    let timer = control.watchdogs.get_mut(slot).ok_or(Errno::EINVAL)?;
    ensure(op.id == 0 || *timer != 0, Errno::EINVAL)?;
    *timer = deadline;
    drop(control);
    let kind = wake::Kind::WATCHDOGS[slot];
    if deadline == 0 {
        wake::cancel(dom, vcpu, kind);
    } else {
        wake::arm(dom, vcpu, kind, deadline);
    }
    Ok(if op.id == 0 { slot as i64 + 1 } else { 0 })
}

fn pin_override(here: &Here, op: &abi::SchedPinOverride) -> Result<(), Errno> {
    let cpus = match u32::try_from(op.pcpu) {
        Ok(cpu) if cpu < percpu::nr_cpus() => 1u64 << cpu,
        Ok(_) => return Err(Errno::EINVAL),
        Err(_) => u64::MAX,
    };
    sched::set_affinity(here.vcpu(), cpus)
}

/// `set_timer_op(deadline)`.
pub fn set_timer_op(call: &mut Call<'_>) -> Answer {
    set_singleshot(call.here, call.args[0]);
    Ok(0)
}

/// Arms the calling vCPU's one-shot timer; 0 stops it, a time in the past fires at once.
pub fn set_singleshot(here: &Here, deadline_ns: u64) {
    let (dom, vcpu) = (here.dom(), here.vcpu());
    if deadline_ns == 0 {
        return wake::cancel(dom, vcpu, wake::Kind::Singleshot);
    }
    let now = time::now_ns();
    if deadline_ns > now {
        let far = deadline_ns > i64::MAX as u64 || deadline_ns - now > FAR_NS;
        let deadline = if far { now + FAR_FIRES_AFTER_NS } else { deadline_ns };
        return wake::arm(dom, vcpu, wake::Kind::Singleshot, deadline);
    }
    wake::cancel(dom, vcpu, wake::Kind::Singleshot);
    events::raise_virq(dom, vcpu.id, Virq::TIMER);
}
