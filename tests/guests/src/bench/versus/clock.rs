//! Reading the clock, and arming the timer.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::sched::{SchedPoll, POLL};
use hypercall_abi::shared_info::OFFSET_EVTCHN_PENDING;
use hypercall_abi::{nr, GuestVa, VcpuId};
use pvkernel_xen::hypercall::{misc, vcpu};
use pvkernel_xen::trap::{self, TrapFrame};
use pvkernel_xen::{event, time};
use test_guests::call::{address, hypercall};

use super::write::Loopback;
use super::{entry, multicall};
use crate::meter::{Meter, Row};

const VCPU0: VcpuId = VcpuId::new(0);

/// Runs the topic.
pub fn run(m: &mut Meter) {
    clock_by_trap(m);
    clock(m);
    timer_refused(m);
    timer(m);
}

/// A clock that is read again and again: how often it had moved on.
#[derive(Default)]
struct Watch {
    last: u64,
    moved: u64,
}

impl Watch {
    fn see(&mut self, now: u64) {
        self.moved += u64::from(now > self.last);
        self.last = now;
    }
}

fn moved(watch: &mut Watch, made: u64) -> bool {
    watch.moved == made
}

fn cr4() -> u64 {
    let value: u64;
    // SAFETY: emulated; reads a register.
    unsafe { asm!("mov {}, cr4", out(reg) value) };
    value
}

fn set_cr4(value: u64) {
    // SAFETY: emulated; only TSD changes, with which `rdtsc` is emulated too.
    unsafe { asm!("mov cr4, {}", in(reg) value) };
}

/// The counter by `rdmsr`, and by an `rdtsc` that the kernel has asked to trap.
fn clock_by_trap(m: &mut Meter) {
    const TSD: u64 = 1 << 2;
    let read = |watch: &mut Watch| {
        let (low, high): (u32, u32);
        // SAFETY: emulated; reads the time stamp counter.
        unsafe { asm!("rdmsr", in("ecx") 0x10, out("eax") low, out("edx") high) };
        watch.see(u64::from(high) << 32 | u64::from(low));
    };
    m.cost(Row::new("versus_clock_rdmsr", "reading"), Watch::default(), read, moved);
    let row = Row::new("versus_clock_trap", "reading");
    if !m.wants(&[row]) {
        return;
    }
    let before = cr4();
    set_cr4(before | TSD);
    m.cost(row, Watch::default(), |watch| watch.see(time::tsc()), moved);
    set_cr4(before);
}

/// The counter itself, the time page, and the hypercall that comes nearest to a clock.
fn clock(m: &mut Meter) {
    let by_call = |watch: &mut Watch| {
        let times = vcpu::runstate(VCPU0).unwrap_or_default().time_ns;
        watch.see(times.iter().sum());
    };
    m.cost(Row::new("versus_clock_call", "reading"), Watch::default(), by_call, moved);
    let by_page = |watch: &mut Watch| watch.see(time::now_ns());
    m.cost(Row::new("versus_clock_page", "reading"), Watch::default(), by_page, moved);
    let native = |watch: &mut Watch| watch.see(time::tsc());
    m.cost(Row::new("versus_clock_rdtsc", "reading"), Watch::default(), native, moved);
}

static REFUSALS: AtomicU64 = AtomicU64::new(0);

/// The kernel's handler for the refused instruction: skips it.
fn refused(frame: &mut TrapFrame) -> bool {
    const WRMSR_BYTES: u64 = 2;
    REFUSALS.fetch_add(1, Ordering::Relaxed);
    frame.rip += WRMSR_BYTES;
    true
}

/// The deadline register of the local interrupt controller belongs to the hypervisor.
fn timer_refused(m: &mut Meter) {
    const GENERAL_PROTECTION: u64 = 13;
    let row = Row::new("versus_timer_trap", "refusal");
    if !m.wants(&[row]) {
        return;
    }
    // SAFETY: only the instruction below raises this exception, and skipping it changes nothing.
    unsafe { trap::set_hook(GENERAL_PROTECTION, Some(refused)) };
    REFUSALS.store(0, Ordering::Relaxed);
    let write = |_: &mut ()| {
        // SAFETY: refused, and skipped by the handler.
        unsafe { asm!("wrmsr", in("ecx") 0x6e0, in("eax") 0, in("edx") 0) };
    };
    m.cost(row, (), write, |_, made| REFUSALS.load(Ordering::Relaxed) == made);
    // SAFETY: as before the row.
    unsafe { trap::set_hook(GENERAL_PROTECTION, None) };
}

const FAR_NS: u64 = 100_000_000_000;
const NEAR_NS: u64 = 1_000_000;

/// Deadlines that are far away and differ, and how many were refused.
struct Deadline {
    at: u64,
    refused: u64,
}

impl Deadline {
    fn far() -> Deadline {
        Deadline { at: time::now_ns() + FAR_NS, refused: 0 }
    }

    fn next(&mut self) -> u64 {
        self.at += 1000;
        self.at
    }
}

/// Whether nothing was refused, and the timer still works: set to the past it raises its event.
fn fires(deadline: &mut Deadline, _: u64) -> bool {
    let pending = event::shared_info().u64_at(OFFSET_EVTCHN_PENDING);
    let others = pending.swap(0, Ordering::SeqCst);
    let set = misc::set_timer_op(1).is_ok();
    let fired = pending.fetch_or(others, Ordering::SeqCst).count_ones() == 1;
    let stopped = misc::set_timer_op(0).is_ok();
    deadline.refused == 0 && set && fired && stopped
}

/// `set_timer_op` and its relatives; alone and on the way to idleness.
fn timer(m: &mut Meter) {
    let arm = |to: &mut Deadline| to.refused += u64::from(misc::set_timer_op(to.next()).is_err());
    m.cost(Row::new("versus_timer_call", "arming"), Deadline::far(), arm, fires);
    let one_shot = |to: &mut Deadline| {
        let at = to.next();
        to.refused += u64::from(vcpu::set_singleshot_timer(VCPU0, at, 0).is_err());
    };
    m.cost(Row::new("versus_timer_singleshot", "arming"), Deadline::far(), one_shot, fires);
    let near = |to: &mut Deadline| {
        let set = misc::set_timer_op(time::now_ns() + NEAR_NS).is_ok();
        to.refused += u64::from(!(set && misc::set_timer_op(0).is_ok()));
    };
    m.cost(Row::new("versus_timer_near", "pair"), Deadline::far(), near, fires);
    idle(m);
}

/// Arm the timer and wait: two calls, or one multicall. The port waited for is pending already, so
/// that both return at once.
fn idle(m: &mut Meter) {
    let rows = [
        Row::new("versus_timer_idle_calls", "pair"),
        Row::new("versus_timer_idle_multicall", "pair"),
    ];
    if !m.wants(&rows) {
        return;
    }
    let port = Loopback::new();
    port.pending().fetch_or(port.bit(), Ordering::SeqCst);
    let list = [port.far];
    let mut poll = SchedPoll {
        ports: GuestVa::new(list.as_ptr() as u64),
        nr_ports: 1,
        timeout_ns: 0,
        ..Default::default()
    };
    let poll = address(&mut poll);
    let calls = |to: &mut Deadline| {
        let armed = hypercall(nr::SET_TIMER_OP, &[to.next()]);
        let polled = hypercall(nr::SCHED_OP, &[u64::from(POLL), poll]);
        to.refused += u64::from(armed != 0 || polled != 0);
    };
    m.cost(rows[0], Deadline::far(), calls, fires);
    let both = |to: &mut Deadline| {
        let mut list =
            [entry(nr::SET_TIMER_OP, &[to.next()]), entry(nr::SCHED_OP, &[u64::from(POLL), poll])];
        let made = multicall(&mut list) == 0 && list.iter().all(|entry| entry.result == 0);
        to.refused += u64::from(!made);
    };
    m.cost(rows[1], Deadline::far(), both, fires);
    port.take();
}
