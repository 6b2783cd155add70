//! Timers: per CPU a queue of deadlines, and the one hardware timer that serves it.
//!
//! A vCPU's timers live in the queue of the CPU that armed them last. Deadlines of domains that
//! went away are dropped when they expire. The hardware is set to the nearest of: the queue, the
//! end of the running slice, the next refresh of the running vCPU's clock.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::timer::TimerQueue;
use hv_machine::percpu::{self, CpuId, PerCpu};
use hv_machine::sync::Mutex;
use hv_machine::time;
use hypercall_abi::sched::shutdown::WATCHDOG;
use hypercall_abi::{DomId, Errno, VcpuId, Virq};

use crate::domain::create::MAX_VCPUS;
use crate::domain::{lifecycle, table, Domain, Vcpu};
use crate::{current, events, pvtime, sched};

/// What expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The one-shot timer.
    Singleshot,
    /// The periodic timer.
    Periodic,
    /// A poll with a timeout.
    Poll,
    /// The watchdog of slot 0.
    FirstWatchdog,
    /// The watchdog of slot 1.
    SecondWatchdog,
}

impl Kind {
    /// The watchdogs by slot.
    pub const WATCHDOGS: [Self; 2] = [Self::FirstWatchdog, Self::SecondWatchdog];
    const ALL: [Self; 5] =
        [Self::Singleshot, Self::Periodic, Self::Poll, Self::FirstWatchdog, Self::SecondWatchdog];
}

/// Domains for whose timers every queue has room from the beginning.
const INITIAL_DOMAINS: usize = 64;

/// Whose timer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    dom: DomId,
    vcpu: VcpuId,
    kind: Kind,
}

fn key(dom: &Domain, vcpu: &Vcpu, kind: Kind) -> Key {
    Key { dom: dom.id, vcpu: vcpu.id, kind }
}

static QUEUES: PerCpu<Mutex<TimerQueue<Key>>> = PerCpu::new(|| Mutex::new(TimerQueue::default()));

/// Makes room in every queue for the timers of all domains.
///
/// # Errors
/// `ENOMEM`.
pub fn reserve() -> Result<(), Errno> {
    let domains = table::count().max(INITIAL_DOMAINS);
    let room = domains * MAX_VCPUS as usize * Kind::ALL.len();
    for cpu in (0..percpu::nr_cpus()).map(CpuId) {
        QUEUES.of(cpu).lock().reserve(room).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(())
}

/// When the clock of the vCPU running here is to be refreshed.
static REFRESH_NS: PerCpu<AtomicU64> = PerCpu::new(|| AtomicU64::new(0));

/// Longest time a running guest sees the same `vcpu_time_info`.
const REFRESH_PERIOD_NS: u64 = 1_000_000_000;

/// Arms a timer of a vCPU on this CPU, replacing the one it had. Those of a dying domain were disarmed
/// for good: what outlives a domain would take the room of others.
pub fn arm(dom: &Domain, vcpu: &Vcpu, kind: Kind, deadline_ns: u64) {
    if dom.is_dying() {
        return;
    }
    let key = key(dom, vcpu, kind);
    cancel_elsewhere(key);
    arm_here(key, deadline_ns);
    rearm();
}

/// Disarms a timer of a vCPU.
pub fn cancel(dom: &Domain, vcpu: &Vcpu, kind: Kind) {
    let key = key(dom, vcpu, kind);
    QUEUES.get().lock().cancel(key);
    cancel_elsewhere(key);
}

/// Room was made when the domain was created, so arming cannot fail.
fn arm_here(key: Key, deadline_ns: u64) {
    let armed = QUEUES.get().lock().arm(key, deadline_ns);
    debug_assert!(armed.is_ok());
}

fn cancel_elsewhere(key: Key) {
    let this = percpu::cpu_id();
    for cpu in (0..percpu::nr_cpus()).map(CpuId).filter(|cpu| *cpu != this) {
        QUEUES.of(cpu).lock().cancel(key);
    }
}

/// Disarms all timers of a domain.
pub fn cancel_domain(dom: &Domain) {
    for vcpu in &dom.vcpus {
        Kind::ALL.into_iter().for_each(|kind| cancel(dom, vcpu, kind));
    }
}

/// Starts a vCPU's periodic timer anew.
pub fn arm_periodic(dom: &Domain, vcpu: &Vcpu) {
    let period = vcpu.period_ns.load(Ordering::Relaxed);
    if period == 0 {
        cancel(dom, vcpu, Kind::Periodic);
    } else {
        arm(dom, vcpu, Kind::Periodic, time::now_ns().saturating_add(period));
    }
}

/// Sets the hardware timer to the nearest deadline.
pub fn rearm() {
    let slice = sched::slice_end();
    let refresh = REFRESH_NS.get().load(Ordering::Relaxed);
    let queue = QUEUES.get().lock().next_deadline().unwrap_or(u64::MAX);
    let busy = current::try_here().is_some();
    let slice = if slice == 0 { u64::MAX } else { slice };
    let nearest = if busy { queue.min(slice).min(refresh) } else { queue };
    if nearest == u64::MAX {
        time::disarm();
    } else {
        time::arm_timer(nearest);
    }
}

/// Fires what is due; true when the running slice is over.
pub fn expire() -> bool {
    let now = time::now_ns();
    // The lock is free again when a timer fires.
    let pop = || QUEUES.get().lock().pop_expired(now);
    core::iter::from_fn(pop).for_each(|(key, _)| fire(key, now));
    refresh_clock(now);
    let slice = sched::slice_end();
    slice != 0 && now >= slice
}

fn refresh_clock(now: u64) {
    let due = REFRESH_NS.get();
    if now < due.load(Ordering::Relaxed) {
        return;
    }
    due.store(now + REFRESH_PERIOD_NS, Ordering::Relaxed);
    if let Some(here) = current::try_here() {
        let kernel_mode = here.vcpu().state.lock().kernel_mode;
        pvtime::update(here.vcpu(), kernel_mode);
    }
}

fn fire(key: Key, now: u64) {
    let Some(dom) = table::get(key.dom) else { return };
    let Some(vcpu) = dom.vcpu(key.vcpu) else { return };
    if dom.is_dying() {
        return;
    }
    match key.kind {
        Kind::Singleshot => events::raise_virq(&dom, vcpu.id, Virq::TIMER),
        Kind::Periodic => fire_periodic(&dom, vcpu, now),
        Kind::Poll => sched::unblock(&dom, vcpu),
        Kind::FirstWatchdog | Kind::SecondWatchdog => lifecycle::shutdown(&dom, WATCHDOG),
    }
}

/// A tick for a vCPU that is blocked or runs; ticks of a vCPU that waits for a CPU add up to one.
fn fire_periodic(dom: &Domain, vcpu: &Vcpu, now: u64) {
    let period = vcpu.period_ns.load(Ordering::Relaxed);
    if period == 0 {
        return;
    }
    arm_here(key(dom, vcpu, Kind::Periodic), now.saturating_add(period));
    events::raise_virq(dom, vcpu.id, Virq::TIMER);
}
