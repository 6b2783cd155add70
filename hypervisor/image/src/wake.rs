//! Timers: per CPU a queue of deadlines, and the one hardware timer that serves it.
//!
//! A vCPU's timers live in the queue of the CPU that armed them last. Deadlines of domains that
//! went away are dropped when they expire. The hardware is set to the nearest of: the queue, the
//! end of the running slice, the next refresh of the running vCPU's clock.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::timer::{TimerKey, TimerQueue};
use hv_machine::percpu::{self, CpuId, PerCpu};
use hv_machine::sync::Mutex;
use hv_machine::time;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::{DomId, VcpuId, Virq};

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
    /// A watchdog, by slot.
    Watchdog(u8),
}

/// Kinds of timers a vCPU has, as numbers below [`KINDS`].
const KINDS: usize = 5;
/// Slots for which every queue has room from the beginning.
const INITIAL_SLOTS: usize = 64;

impl Kind {
    const fn number(self) -> usize {
        match self {
            Self::Singleshot => 0,
            Self::Periodic => 1,
            Self::Poll => 2,
            Self::Watchdog(slot) => 3 + (slot & 1) as usize,
        }
    }
}

/// Whose timer.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    slot: u16,
    dom: DomId,
    vcpu: VcpuId,
    kind: Kind,
}

impl TimerKey for Key {
    fn index(self) -> usize {
        let vcpu = self.slot as usize * MAX_VCPUS as usize + self.vcpu.get() as usize;
        vcpu * KINDS + self.kind.number()
    }
}

fn key(dom: &Domain, vcpu: VcpuId, kind: Kind) -> Key {
    Key { slot: dom.slot, dom: dom.id, vcpu, kind }
}

static QUEUES: PerCpu<Mutex<TimerQueue<Key>>> = PerCpu::new(|| Mutex::new(TimerQueue::new()));

/// Makes room in every queue for the timers of a domain in `slot`.
///
/// # Errors
/// `ENOMEM`.
pub fn reserve(slot: u16) -> Result<(), Errno> {
    let slots = (slot as usize + 1).max(INITIAL_SLOTS);
    let keys = slots * MAX_VCPUS as usize * KINDS;
    for cpu in (0..percpu::nr_cpus()).map(CpuId) {
        QUEUES.of(cpu).lock().reserve(keys).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(())
}

/// When the clock of the vCPU running here is to be refreshed.
static REFRESH_NS: PerCpu<AtomicU64> = PerCpu::new(|| AtomicU64::new(0));

/// Longest time a running guest sees the same `vcpu_time_info`.
const REFRESH_PERIOD_NS: u64 = 1_000_000_000;

/// Arms a timer of a vCPU on this CPU, replacing the one it had.
pub fn arm(dom: &Domain, vcpu: &Vcpu, kind: Kind, deadline_ns: u64) {
    let key = key(dom, vcpu.id, kind);
    cancel_elsewhere(key);
    arm_here(key, deadline_ns);
    rearm();
}

/// Disarms a timer of a vCPU.
pub fn cancel(dom: &Domain, vcpu: &Vcpu, kind: Kind) {
    let key = key(dom, vcpu.id, kind);
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
        for kind in [Kind::Singleshot, Kind::Periodic, Kind::Poll] {
            cancel(dom, vcpu, kind);
        }
        (0..2).for_each(|slot| cancel(dom, vcpu, Kind::Watchdog(slot)));
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
    let nearest = queue
        .min(if slice == 0 || !busy { u64::MAX } else { slice })
        .min(if busy { refresh } else { u64::MAX });
    if nearest == u64::MAX {
        time::disarm();
    } else {
        time::arm_timer(nearest);
    }
}

/// Fires what is due; true when the running slice is over.
pub fn expire() -> bool {
    let now = time::now_ns();
    loop {
        let due = QUEUES.get().lock().pop_expired(now);
        match due {
            Some((key, _)) => fire(key, now),
            None => break,
        }
    }
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
        Kind::Singleshot => {
            vcpu.singleshot_ns.store(0, Ordering::Relaxed);
            events::raise_virq(&dom, vcpu.id, Virq::TIMER);
        }
        Kind::Periodic => fire_periodic(&dom, vcpu, now),
        Kind::Poll => sched::unblock(&dom, vcpu),
        Kind::Watchdog(_) => lifecycle::shutdown(&dom, hypercall_abi::sched::shutdown::WATCHDOG),
    }
}

/// A tick for a vCPU that is blocked or runs; ticks of a vCPU that waits for a CPU add up to one.
fn fire_periodic(dom: &Domain, vcpu: &Vcpu, now: u64) {
    let period = vcpu.period_ns.load(Ordering::Relaxed);
    if period == 0 {
        return;
    }
    arm_here(key(dom, vcpu.id, Kind::Periodic), now.saturating_add(period));
    events::raise_virq(dom, vcpu.id, Virq::TIMER);
}

/// Makes this CPU's values.
pub fn prepare_cpu() {
    QUEUES.get();
    REFRESH_NS.get();
}
