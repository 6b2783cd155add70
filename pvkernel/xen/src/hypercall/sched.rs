//! `sched_op`: giving up the processor, and shutdown.

use hypercall_abi::sched::{self, SchedPoll, SchedRemoteShutdown, SchedShutdown, SchedWatchdog};
use hypercall_abi::{nr, DomId, Errno, EvtchnPort, GuestVa};

use super::{address_of, command, done, raw};

fn plain(cmd: u32) -> Result<(), Errno> {
    // SAFETY: the commands this is used with take no argument and touch no memory.
    done(unsafe { raw(nr::SCHED_OP, [u64::from(cmd), 0, 0, 0, 0]) })
}

fn op<T>(cmd: u32, arg: &mut T) -> Result<u64, Errno> {
    // SAFETY: every command used here reads its structure, and `poll` the list of ports in it.
    Errno::check(unsafe { command(nr::SCHED_OP, cmd, arg) })
}

/// Lets another vCPU run.
pub fn yield_now() {
    // The call cannot fail; there is nothing to do if it did.
    let _ = plain(sched::YIELD);
}

/// Unmasks events and waits for one.
pub fn block() {
    // As for `yield_now`.
    let _ = plain(sched::BLOCK);
}

/// Waits until one of the ports is pending or the time has come; 0 is never. Ports may be masked.
///
/// # Errors
/// `EINVAL` for a bad port or more than 128 of them.
pub fn poll(ports: &[EvtchnPort], timeout_ns: u64) -> Result<(), Errno> {
    let mut arg = SchedPoll {
        ports: GuestVa::new(address_of(ports)),
        nr_ports: u32::try_from(ports.len()).unwrap_or(u32::MAX),
        timeout_ns,
        ..Default::default()
    };
    op(sched::POLL, &mut arg).map(|_| ())
}

/// Ends this domain; returns only if the control domain resumes it.
///
/// # Errors
/// `EINVAL` for a reason that does not exist.
pub fn shutdown(reason: u32) -> Result<(), Errno> {
    op(sched::SHUTDOWN, &mut SchedShutdown { reason }).map(|_| ())
}

/// Sets the reason that will be reported when this domain ends.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn shutdown_code(reason: u32) -> Result<(), Errno> {
    op(sched::SHUTDOWN_CODE, &mut SchedShutdown { reason }).map(|_| ())
}

/// Ends another domain.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn remote_shutdown(dom: DomId, reason: u32) -> Result<(), Errno> {
    let mut arg = SchedRemoteShutdown { domain_id: dom, reason, ..Default::default() };
    op(sched::REMOTE_SHUTDOWN, &mut arg).map(|_| ())
}

/// Starts (`id` 0), restarts, or stops (`timeout_s` 0) a watchdog; returns the id of a new one.
///
/// # Errors
/// `EINVAL`, `ENOSPC`.
pub fn watchdog(id: u32, timeout_s: u32) -> Result<u64, Errno> {
    op(sched::WATCHDOG, &mut SchedWatchdog { id, timeout_s })
}
