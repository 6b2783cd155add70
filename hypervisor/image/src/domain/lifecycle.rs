//! Pausing, shutting down and crashing domains.

use core::sync::atomic::Ordering;
use hv_machine::{cpuinfo, err, info, power};
use hypercall_abi::sched::shutdown as reason;
use hypercall_abi::{Errno, Virq};

use super::vcpu::{flag, NO_CPU};
use super::{Domain, Vcpu, NOT_SHUT_DOWN};
use crate::{events, exit, options, sched};

/// Holds a domain off the CPUs; returns when none runs it any more. The calling vCPU must not be
/// one of its own.
pub fn pause(dom: &Domain) {
    dom.pause_count.fetch_add(1, Ordering::SeqCst);
    sched::wait_off_cpu(dom);
}

/// Undoes one [`pause`].
pub fn unpause(dom: &Domain) {
    if dom.pause_count.fetch_sub(1, Ordering::SeqCst) == 1 {
        wake_all(dom);
    }
}

/// Does something to a domain while none of its vCPUs is on a CPU.
pub fn while_paused<T>(dom: &Domain, act: impl FnOnce() -> T) -> T {
    pause(dom);
    let result = act();
    unpause(dom);
    result
}

/// Puts every runnable vCPU back into the queues.
pub fn wake_all(dom: &Domain) {
    dom.vcpus.iter().for_each(|vcpu| sched::update(dom, vcpu));
}

/// `XEN_DOMCTL_pausedomain`: controllers' pauses add up.
pub fn controller_pause(dom: &Domain) {
    dom.controller_pauses.fetch_add(1, Ordering::SeqCst);
    pause(dom);
}

/// `XEN_DOMCTL_unpausedomain`.
///
/// # Errors
/// `EINVAL` when no controller paused it.
pub fn controller_unpause(dom: &Domain) -> Result<(), Errno> {
    let step = |count: u32| count.checked_sub(1);
    let left = dom.controller_pauses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
    left.map_err(|_| Errno::EINVAL)?;
    dom.created.store(true, Ordering::SeqCst);
    unpause(dom);
    Ok(())
}

/// Shuts a domain down: its vCPUs stop and its controller is told. dom0 takes the machine along.
pub fn shutdown(dom: &Domain, code: u32) {
    let code = dom.control.lock().early_code.unwrap_or(code);
    if dom.privileged {
        machine_shutdown(code);
    }
    let first =
        dom.shutdown.compare_exchange(NOT_SHUT_DOWN, code, Ordering::SeqCst, Ordering::SeqCst);
    if first.is_err() {
        return;
    }
    wake_all(dom);
    events::raise_global(Virq::DOM_EXC);
    let port = dom.control.lock().suspend_port;
    if let (Some(port), reason::SUSPEND) = (port, code) {
        let _ = events::send(dom, port, None);
    }
}

/// `XEN_DOMCTL_resumedomain`.
pub fn resume(dom: &Domain) {
    if dom.shutdown.swap(NOT_SHUT_DOWN, Ordering::SeqCst) != NOT_SHUT_DOWN {
        dom.control.lock().early_code = None;
        wake_all(dom);
    }
}

/// Ends a domain that broke a rule. `why` completes "domain N ...".
pub fn crash(dom: &Domain, why: &str) {
    if dom.shutdown_reason().is_none() {
        err!("domain {} {}: crashed", dom.id, why);
    }
    shutdown(dom, reason::CRASH);
}

/// Marks a non-maskable interrupt for a vCPU and wakes it.
pub fn send_nmi(dom: &Domain, vcpu: &Vcpu) {
    if vcpu.set(flag::NMI_PENDING) & flag::NMI_PENDING != 0 {
        return;
    }
    sched::unblock(dom, vcpu);
    let cpu = vcpu.cpu.load(Ordering::SeqCst);
    if cpu != NO_CPU {
        cpuinfo::raise_work_on(hv_machine::percpu::CpuId(cpu), exit::work::NMI);
    }
}

/// dom0 is gone, and with it the machine. A test run learns why from the exit code of the emulator.
fn machine_shutdown(code: u32) -> ! {
    let (name, exit_code) = match code {
        reason::POWEROFF => ("powers off", 0x10),
        reason::REBOOT | reason::SOFT_RESET => ("reboots", 0x11),
        reason::WATCHDOG => ("ran into its watchdog", 0x13),
        _ => ("crashed", 0x12),
    };
    info!("dom0 {name}");
    if options::get().exit_debug {
        power::debug_exit(exit_code);
    }
    match code {
        reason::POWEROFF => power::poweroff(),
        _ if options::get().noreboot => power::halt(),
        _ => power::reboot(),
    }
}
