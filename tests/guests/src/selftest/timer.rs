//! Timers, system time, and run state.

use crate::harness::{hypercall, Report};
use core::sync::atomic::Ordering;
use hypercall_abi::vcpu as abi;
use hypercall_abi::vcpu::VcpuRunstateInfo;
use hypercall_abi::{nr, Errno, EvtchnPort, GuestVa, VcpuId, Virq};
use pvkernel_xen::hypercall::vcpu::vcpu_op;
use pvkernel_xen::hypercall::{evtchn, misc, sched, vcpu};
use pvkernel_xen::{event, time};

const MILLISECOND_NS: u64 = 1_000_000;
const VCPU0: VcpuId = VcpuId::new(0);

/// Runs the topic.
pub fn run(t: &mut Report) {
    clock(t);
    one_shot(t);
    periodic(t);
    runstate(t);
    time_area(t);
}

fn clock(t: &mut Report) {
    let (first, mut last) = (time::now_ns(), 0);
    let monotonic = (0..1000).all(|_| {
        let now = time::now_ns();
        let grows = now >= last;
        last = now;
        grows
    });
    t.check("clock-monotonic", monotonic && last >= first);
    let (seconds, nanoseconds) = time::wall_clock();
    t.check("wall-clock-plausible", seconds > 1_600_000_000 && nanoseconds < 1_000_000_000);
    let sleep_end = time::now_ns() + 3 * MILLISECOND_NS;
    pvkernel_xen::thread::sleep_until(sleep_end);
    let late = time::now_ns() - sleep_end;
    // Generous: the emulator itself may be kept waiting.
    t.check("sleep-ends-in-time", late < 5000 * MILLISECOND_NS);
}

/// Waits for the timer's event with upcalls masked, up to a limit; tells when it came.
fn wait_for_timer(port: EvtchnPort, limit_ns: u64) -> Option<u64> {
    let limit = time::now_ns() + limit_ns;
    let page = event::shared_info();
    let bit = 1u64 << (port.get() % 64);
    let word = page.u64_at(0x800 + 8 * (port.get() as usize / 64));
    loop {
        // On a busy machine much time may pass between two lines, so look again after the limit.
        let expired = time::now_ns() > limit;
        if word.load(Ordering::Acquire) & bit != 0 {
            word.fetch_and(!bit, Ordering::AcqRel);
            return Some(time::now_ns());
        }
        if expired {
            return None;
        }
        let _ = sched::poll(&[port], limit + MILLISECOND_NS);
    }
}

fn timer_port() -> EvtchnPort {
    // The kernel has bound the timer; find its port.
    (1..64)
        .map(EvtchnPort::new)
        .find(|port| {
            evtchn::status(hypercall_abi::DomId::SELF, *port).is_ok_and(|status| {
                status.status == hypercall_abi::evtchn::status::VIRQ
                    && status.irq() == Virq::TIMER.get()
            })
        })
        .unwrap_or_default()
}

fn one_shot(t: &mut Report) {
    let port = timer_port();
    t.check("timer-is-bound", port.get() != 0);
    event::mask_upcalls();
    let _ = misc::set_timer_op(0);
    let _ = wait_for_timer(port, 0);
    let set = |offset: u64| misc::set_timer_op(time::now_ns() + offset);
    let start = time::now_ns();
    t.eq("set", Ok(()), set(2 * MILLISECOND_NS));
    let fired = wait_for_timer(port, 500 * MILLISECOND_NS);
    t.check("fires-not-early", fired.is_some_and(|at| at >= start + 2 * MILLISECOND_NS));
    t.eq("set-in-the-past", Ok(()), misc::set_timer_op(1));
    t.check("past-fires-at-once", wait_for_timer(port, 100 * MILLISECOND_NS).is_some());
    t.eq("set-then-stop", (Ok(()), Ok(())), (set(30 * MILLISECOND_NS), misc::set_timer_op(0)));
    t.eq("stopped-does-not-fire", None, wait_for_timer(port, 60 * MILLISECOND_NS));
    let start = time::now_ns();
    t.eq("set-negative", Ok(()), misc::set_timer_op(u64::MAX));
    let fired = wait_for_timer(port, 500 * MILLISECOND_NS);
    let in_time = fired.is_some_and(|at| at >= start + 100 * MILLISECOND_NS);
    t.check("negative-fires-after-100-ms", in_time);
    t.eq("set-far", Ok(()), set(1 << 51));
    t.check("far-fires-after-100-ms", wait_for_timer(port, 500 * MILLISECOND_NS).is_some());
    let at = time::now_ns() + 2 * MILLISECOND_NS;
    t.eq("singleshot", Ok(()), vcpu::set_singleshot_timer(VCPU0, at, 0));
    t.check("singleshot-fires", wait_for_timer(port, 500 * MILLISECOND_NS).is_some());
    let past = vcpu::set_singleshot_timer(VCPU0, 1, abi::SSHOTTMR_FUTURE);
    t.eq("singleshot-past-future-flag", Ok(()), past);
    t.check("singleshot-past-fires", wait_for_timer(port, 100 * MILLISECOND_NS).is_some());
    t.eq("singleshot-stop", Ok(()), vcpu::stop_singleshot_timer(VCPU0));
    event::enable_upcalls();
}

fn periodic(t: &mut Report) {
    let port = timer_port();
    event::mask_upcalls();
    t.eq("periodic", Ok(()), vcpu::set_periodic_timer(VCPU0, 2 * MILLISECOND_NS));
    let fires = (0..3).all(|_| wait_for_timer(port, 500 * MILLISECOND_NS).is_some());
    t.check("periodic-fires-again", fires);
    t.eq("periodic-stop", Ok(()), vcpu::stop_periodic_timer(VCPU0));
    let _ = wait_for_timer(port, 0);
    t.eq("periodic-stopped", None, wait_for_timer(port, 10 * MILLISECOND_NS));
    let short = vcpu::set_periodic_timer(VCPU0, MILLISECOND_NS - 1);
    t.eq("periodic-too-short", Err(Errno::EINVAL), short);
    let long = vcpu::set_periodic_timer(VCPU0, u64::MAX);
    t.eq("periodic-too-long", Err(Errno::EINVAL), long);
    event::enable_upcalls();
}

/// Whether a sleep of 5 ms adds at least 4 ms of blocked time. On a busy machine part of a sleep can
/// pass before the vCPU has blocked.
fn sleep_counts_as_blocked() -> bool {
    let blocked_ns =
        || vcpu::runstate(VCPU0).unwrap_or_default().time_ns[abi::runstate::BLOCKED as usize];
    let before = blocked_ns();
    pvkernel_xen::thread::sleep_ns(5 * MILLISECOND_NS);
    blocked_ns() - before >= 4 * MILLISECOND_NS
}

fn runstate(t: &mut Report) {
    let before = vcpu::runstate(VCPU0).unwrap_or_default();
    t.eq("runstate-running", abi::runstate::RUNNING, before.state);
    t.check("runstate-counts-sleep", (0..20).any(|_| sleep_counts_as_blocked()));
    t.eq("runstate-unknown-vcpu", Err(Errno::ENOENT), vcpu::runstate(VcpuId::new(9000)));
    let mut area = VcpuRunstateInfo { state: 77, ..Default::default() };
    let mut arg = abi::VcpuRegisterRunstateMemoryArea {
        addr: GuestVa::new(core::ptr::from_mut(&mut area) as u64),
    };
    // SAFETY: the area lives until it is replaced below.
    let ret = unsafe { vcpu_op(abi::REGISTER_RUNSTATE_MEMORY_AREA, VCPU0, &mut arg) };
    t.ret("runstate-area", 0, ret);
    // SAFETY: the hypervisor writes to the variable, so it is read past the compiler.
    let state = unsafe { core::ptr::read_volatile(&area.state) };
    t.eq("runstate-area-filled-at-once", abi::runstate::RUNNING, state);
    arg.addr = GuestVa::NULL;
    // SAFETY: without an area nothing is written.
    let ret = unsafe { vcpu_op(abi::REGISTER_RUNSTATE_MEMORY_AREA, VCPU0, &mut arg) };
    t.ret("runstate-area-null", 0, ret);
}

fn time_area(t: &mut Report) {
    let mut area = hypercall_abi::shared_info::VcpuTimeInfo::default();
    let mut arg = abi::VcpuRegisterTimeMemoryArea {
        addr: GuestVa::new(core::ptr::from_mut(&mut area) as u64),
    };
    // SAFETY: the area is unregistered below, before it goes.
    let ret = unsafe { vcpu_op(abi::REGISTER_VCPU_TIME_MEMORY_AREA, VCPU0, &mut arg) };
    t.ret("time-area", 0, ret);
    // SAFETY: the hypervisor writes to the variable, so it is read past the compiler.
    let scale = unsafe { core::ptr::read_volatile(&area.tsc_to_system_mul) };
    t.check("time-area-filled-at-once", scale != 0);
    arg.addr = GuestVa::NULL;
    // SAFETY: without an area nothing is written.
    let ret = unsafe { vcpu_op(abi::REGISTER_VCPU_TIME_MEMORY_AREA, VCPU0, &mut arg) };
    t.ret("time-area-unregister", 0, ret);
    t.errno("vcpu-op-unknown", Errno::ENOSYS, hypercall(nr::VCPU_OP, &[14, 0, 0]));
}
