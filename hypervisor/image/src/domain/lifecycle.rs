//! Pausing, shutting down and crashing domains.

use core::sync::atomic::Ordering;
use hv_machine::{cpuinfo, err, info, power};
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::{EvtchnPort, Virq};
use hypercall_abi::sched::shutdown as reason;

use super::vcpu::{flag, NO_CPU};
use super::{Domain, Vcpu, NOT_SHUT_DOWN};
use crate::{events, exit, options, sched};

/// Exit codes of the emulator's debug port, by the reason of dom0's end.
const EXIT_POWEROFF: u8 = 0x10;
const EXIT_REBOOT: u8 = 0x11;
const EXIT_CRASH: u8 = 0x12;
const EXIT_WATCHDOG: u8 = 0x13;

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
    if dom.controller_pauses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_err() {
        return Err(Errno::EINVAL);
    }
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
    for vcpu in &dom.vcpus {
        sched::update(dom, vcpu);
    }
    events::raise_global(Virq::DOM_EXC);
    let port = dom.control.lock().suspend_port;
    if let (Some(port), reason::SUSPEND) = (port, code) {
        let _ = events::send(dom, EvtchnPort::new(port));
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

/// dom0 is gone, and with it the machine.
fn machine_shutdown(code: u32) -> ! {
    let (name, exit) = match code {
        reason::POWEROFF => ("powers off", EXIT_POWEROFF),
        reason::REBOOT | reason::SOFT_RESET => ("reboots", EXIT_REBOOT),
        reason::WATCHDOG => ("ran into its watchdog", EXIT_WATCHDOG),
        _ => ("crashed", EXIT_CRASH),
    };
    info!("dom0 {name}");
    if options::get().exit_debug {
        power::debug_exit(exit);
    }
    match code {
        reason::POWEROFF => power::poweroff(),
        reason::REBOOT | reason::SOFT_RESET if !options::get().noreboot => power::reboot(),
        _ if options::get().noreboot => power::halt(),
        _ => power::reboot(),
    }
}
