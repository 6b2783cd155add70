//! Timers: per CPU a queue of deadlines, and the one hardware timer that serves it.
//!
//! A vCPU's timers live in the queue of the CPU that armed them last. Deadlines of domains that
//! went away are dropped when they expire. The hardware is set to the nearest of: the queue, the
//! end of the running slice, the next refresh of the running vCPU's clock.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use hv_core::bits;
use hv_core::timer::TimerQueue;
use hv_machine::percpu::{self, CpuId, PerCpu};
use hv_machine::sync::Mutex;
use hv_machine::time;
use hypercall_abi::sched::shutdown::WATCHDOG;
use hypercall_abi::{DomId, Errno, VcpuId, Virq};

use crate::current::Here;
use crate::domain::create::MAX_VCPUS;
use crate::domain::{lifecycle, table, Domain, Vcpu};
use crate::{events, pvtime, sched};

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
    const ALL: [Self; KINDS] =
        [Self::Singleshot, Self::Periodic, Self::Poll, Self::FirstWatchdog, Self::SecondWatchdog];
}

/// How many kinds there are.
pub const KINDS: usize = 5;

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

/// What the timer of one CPU serves.
struct Clock {
    /// The only part that other CPUs use.
    queue: Mutex<TimerQueue<Key>>,
    /// Whether this CPU does not idle.
    runs: AtomicBool,
    /// When the slice running here ends.
    slice_end_ns: AtomicU64,
    /// When the clock of the vCPU running here is to be refreshed.
    refresh_ns: AtomicU64,
    /// What the hardware is set to.
    set_ns: AtomicU64,
    /// How long a vCPU woken here may wait for its waker to stop.
    patience_ns: AtomicU64,
}

/// A time that does not come.
const NEVER: u64 = u64::MAX;

static CLOCKS: PerCpu<Clock> = PerCpu::new(|| Clock {
    queue: Mutex::new(TimerQueue::default()),
    runs: AtomicBool::new(false),
    slice_end_ns: AtomicU64::new(NEVER),
    refresh_ns: AtomicU64::new(0),
    set_ns: AtomicU64::new(NEVER),
    patience_ns: AtomicU64::new(HANDOVER_NS),
});

/// Makes room in every queue for the timers of all domains.
///
/// # Errors
/// `ENOMEM`.
pub fn reserve() -> Result<(), Errno> {
    let domains = table::count().max(INITIAL_DOMAINS);
    let room = domains * MAX_VCPUS as usize * KINDS;
    for cpu in (0..percpu::nr_cpus()).map(CpuId) {
        CLOCKS.of(cpu).queue.lock().reserve(room).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(())
}

/// Longest time a running guest sees the same `vcpu_time_info`.
const REFRESH_PERIOD_NS: u64 = 1_000_000_000;

/// Arms a timer of a vCPU on this CPU, replacing the one it had. Those of a dying domain were disarmed
/// for good: what outlives a domain would take the room of others.
pub fn arm(dom: &Domain, vcpu: &Vcpu, kind: Kind, deadline_ns: u64) {
    if dom.is_dying() {
        return;
    }
    cancel_on(dom, vcpu, kind, !percpu::cpu_id().mask());
    let clock = CLOCKS.get();
    let first = arm_here(clock, dom, vcpu, kind, deadline_ns);
    set_hardware(clock, first);
}

/// Disarms a timer of a vCPU.
#[inline(always)]
pub fn cancel(dom: &Domain, vcpu: &Vcpu, kind: Kind) {
    cancel_on(dom, vcpu, kind, u64::MAX);
}

/// Puts a timer into the queue of this CPU; the answer is the queue's first deadline. Room was made
/// when the domain was created, so this cannot fail. `timer_cpus` of the vCPU has the bit of every
/// CPU in whose queue the timer may be; a bit changes only while that queue is locked.
#[inline(always)]
fn arm_here(clock: &Clock, dom: &Domain, vcpu: &Vcpu, kind: Kind, deadline_ns: u64) -> u64 {
    let mut queue = clock.queue.lock();
    let armed = queue.arm(key(dom, vcpu, kind), deadline_ns);
    debug_assert!(armed.is_ok());
    let (cpus, this) = (&vcpu.timer_cpus[kind as usize], percpu::cpu_id().mask());
    if cpus.load(Ordering::Relaxed) & this == 0 {
        cpus.fetch_or(this, Ordering::SeqCst);
    }
    queue.next_deadline().unwrap_or(NEVER)
}

/// Takes a timer out of the queues of these CPUs.
#[inline(always)]
fn cancel_on(dom: &Domain, vcpu: &Vcpu, kind: Kind, cpus: u64) {
    let found = vcpu.timer_cpus[kind as usize].load(Ordering::SeqCst) & cpus;
    if found != 0 {
        take_out(dom, vcpu, kind, found);
    }
}

fn take_out(dom: &Domain, vcpu: &Vcpu, kind: Kind, cpus: u64) {
    let armed_on = &vcpu.timer_cpus[kind as usize];
    for cpu in bits(cpus).map(CpuId) {
        let mut queue = CLOCKS.of(cpu).queue.lock();
        queue.cancel(key(dom, vcpu, kind));
        armed_on.fetch_and(!cpu.mask(), Ordering::SeqCst);
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

/// CPUs that do not idle.
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// How long a woken vCPU may wait for the CPU of its waker before an idle one is interrupted for it:
/// first, at most, and how much longer with each turn that ended by itself. Setting the hardware costs
/// more than a switch, and where turns are short once is enough for many of them.
const HANDOVER_NS: u64 = 200_000;
const MAX_HANDOVER_NS: u64 = 2_000_000;
const HANDOVER_STEP_NS: u64 = 5_000;

/// Whether another CPU than this one runs something.
pub fn others_run() -> bool {
    RUNNING.load(Ordering::SeqCst) & !percpu::cpu_id().mask() != 0
}

/// Leaves a vCPU that was woken here, and for which the policy chose an idle CPU, to this one for a
/// moment, if it can be; true then. Whoever wakes another mostly blocks right after it, and a switch is
/// sooner done than an interrupt of a sleeping CPU. When the moment is over this CPU chooses anew, and
/// the policy then asks an idle CPU to help.
pub fn hand_over(chosen: CpuId, now: u64) -> bool {
    let (running, this) = (RUNNING.load(Ordering::SeqCst), percpu::cpu_id());
    if running & chosen.mask() != 0 {
        return false;
    }
    if running & this.mask() == 0 {
        hv_machine::cpuinfo::raise_work(crate::exit::work::SCHEDULE);
        return true;
    }
    let clock = CLOCKS.get();
    let end = now + clock.patience_ns.load(Ordering::Relaxed);
    if end < clock.slice_end_ns.load(Ordering::Relaxed) {
        clock.slice_end_ns.store(end, Ordering::Relaxed);
        let first = clock.queue.lock().next_deadline();
        set_hardware(clock, first.unwrap_or(NEVER));
    }
    true
}

/// Remembers whether something is to run on this CPU now, and when its slice ends, if it does.
pub fn begin_turn(runs: bool, slice_end_ns: Option<u64>) {
    let clock = CLOCKS.get();
    if clock.runs.load(Ordering::Relaxed) != runs {
        clock.runs.store(runs, Ordering::Relaxed);
        RUNNING.fetch_xor(percpu::cpu_id().mask(), Ordering::SeqCst);
    }
    clock.slice_end_ns.store(slice_end_ns.unwrap_or(NEVER), Ordering::Relaxed);
    let patience = clock.patience_ns.load(Ordering::Relaxed) + HANDOVER_STEP_NS;
    clock.patience_ns.store(patience.min(MAX_HANDOVER_NS), Ordering::Relaxed);
}

/// Sets the hardware timer to the nearest deadline.
pub fn rearm() {
    let clock = CLOCKS.get();
    let first = clock.queue.lock().next_deadline();
    set_hardware(clock, first.unwrap_or(NEVER));
}

/// Sets the hardware timer, if it would come too late; the queue's first deadline is `first`. One that
/// comes too early stays: slices and deadlines that end before their time are the rule, and it fires in
/// vain once for many times that it was not set, which costs more than a switch of domains.
#[inline(always)]
fn set_hardware(clock: &Clock, first: u64) {
    let slice = clock.slice_end_ns.load(Ordering::Relaxed);
    let refresh = clock.refresh_ns.load(Ordering::Relaxed);
    let runs = clock.runs.load(Ordering::Relaxed);
    let nearest = if runs { first.min(slice).min(refresh) } else { first };
    if nearest < clock.set_ns.load(Ordering::Relaxed) {
        clock.set_ns.store(nearest, Ordering::Relaxed);
        time::arm_timer(nearest);
    }
}

/// Fires what is due, after the hardware timer has fired; true when the running slice is over.
pub fn expire(here: Option<&Here>) -> bool {
    let (clock, now) = (CLOCKS.get(), time::now_ns());
    clock.set_ns.store(NEVER, Ordering::Relaxed);
    // The lock is free again when a timer fires.
    let pop = || clock.queue.lock().pop_expired(now);
    core::iter::from_fn(pop).for_each(|(key, _)| fire(key, now));
    refresh_clock(clock, now, here);
    let is_over = now >= clock.slice_end_ns.load(Ordering::Relaxed);
    if is_over {
        clock.patience_ns.store(HANDOVER_NS, Ordering::Relaxed);
    }
    is_over
}

fn refresh_clock(clock: &Clock, now: u64, here: Option<&Here>) {
    if now < clock.refresh_ns.load(Ordering::Relaxed) {
        return;
    }
    clock.refresh_ns.store(now + REFRESH_PERIOD_NS, Ordering::Relaxed);
    if let Some(here) = here {
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
    arm_here(CLOCKS.get(), dom, vcpu, Kind::Periodic, now.saturating_add(period));
    events::raise_virq(dom, vcpu.id, Virq::TIMER);
}
