//! Timers: arming and disarming, a deadline in the past, and how late a sleeper wakes.
//!
//! The timer's interrupt goes to the raw entry of `channel`; its port is the one the kernel bound.

use hypercall_abi::shared_info::{VcpuInfo, VcpuTimeInfo};
use hypercall_abi::{nr, DomId, EvtchnPort, VcpuId, Virq};
use pvkernel_xen::hypercall::{evtchn, misc, sched, vcpu};
use pvkernel_xen::{event, time};
use test_guests::call::hypercall;
use zerocopy::FromBytes;

use crate::channel::{Channel, Until, Upcall};
use crate::meter::{Meter, Row};

const SECOND_NS: u64 = 1_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;
const VCPU0: VcpuId = VcpuId::new(0);

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let channel = Channel::new(timer_port());
    channel.calm();
    far(m, channel);
    near(m, channel);
    past(m, channel, Row::new("set_timer_past_to_handler", "event"), Until::Handler);
    past(m, channel, Row::new("set_timer_past_roundtrip", "event"), Until::Return);
    for (name, after_ns) in [
        ("block_wake_latency_ns_d20us", 20_000),
        ("block_wake_latency_ns_d100us", 100_000),
        ("block_wake_latency_ns_d300us", 300_000),
        ("block_wake_latency_ns_d1ms", MILLISECOND_NS),
    ] {
        wake(m, channel, Row::new(name, "latency").rounds(100), after_ns);
    }
}

/// The port of the timer's virtual interrupt, which the kernel has bound.
fn timer_port() -> EvtchnPort {
    let is_timer = |port: &EvtchnPort| {
        evtchn::status(DomId::SELF, *port).is_ok_and(|found| {
            found.status == hypercall_abi::evtchn::status::VIRQ && found.irq() == Virq::TIMER.get()
        })
    };
    (1..64).map(EvtchnPort::new).find(is_timer).unwrap_or_default()
}

fn set(deadline_ns: u64) -> u64 {
    u64::from(hypercall(nr::SET_TIMER_OP, &[deadline_ns]) == 0)
}

fn set_singleshot(deadline_ns: u64) -> u64 {
    u64::from(vcpu::set_singleshot_timer(VCPU0, deadline_ns, 0).is_ok())
}

fn stop_singleshot() -> u64 {
    u64::from(vcpu::stop_singleshot_timer(VCPU0).is_ok())
}

/// Deadlines that are never reached while the row runs. What is armed at the end does fire.
fn far(m: &mut Meter, channel: Channel) {
    let start_ns = time::now_ns() + 100 * SECOND_NS;
    m.cost(
        Row::new("set_timer_op_stop_inactive", "hypercall"),
        0,
        |good| *good += set(0),
        |good, made| *good == made && channel.pending() == 0,
    );
    m.cost(
        Row::new("set_timer_op_far_future", "hypercall"),
        0,
        |good| *good += set(start_ns + *good),
        |good, made| *good == made && fires_only_if_armed(channel),
    );
    m.cost(
        Row::new("set_timer_op_far_then_stop_pair", "pair"),
        0,
        |good| *good += set(start_ns + *good) & set(0),
        |good, made| *good == made && fires_only_if_armed(channel),
    );
    m.cost(
        Row::new("vcpuop_singleshot_set_far_stop_pair", "pair"),
        0,
        |good| *good += set_singleshot(start_ns + *good) & stop_singleshot(),
        |good, made| *good == made && fires_only_if_armed(channel),
    );
}

/// A deadline that is soon reached, disarmed before it comes.
fn near(m: &mut Meter, channel: Channel) {
    m.parts(
        [Row::new("set_timer_op_near_then_stop_pair", "pair")],
        0,
        |good, parts| {
            let deadline_ns = time::now_ns() + MILLISECOND_NS;
            *good += parts.time(0, || set(deadline_ns) & set(0));
        },
        |good, made| *good == made && fires_only_if_armed(channel),
    );
}

/// Whether the timer is silent when stopped, and fires in time when armed.
fn fires_only_if_armed(channel: Channel) -> bool {
    let wait = |until_ns: u64| while time::now_ns() < until_ns {};
    let _ = misc::set_timer_op(0);
    channel.calm();
    wait(time::now_ns() + 2 * MILLISECOND_NS);
    let silent = channel.pending() == 0;
    let deadline_ns = time::now_ns() + MILLISECOND_NS;
    let _ = misc::set_timer_op(deadline_ns);
    // In this order: a busy host may keep this machine from running until the deadline is past.
    let early = channel.pending() != 0 && time::now_ns() < deadline_ns;
    let _ = sched::poll(&[channel.port], deadline_ns + SECOND_NS);
    let fired = channel.pending() == 1 && time::now_ns() >= deadline_ns;
    channel.calm();
    silent && fired && !early
}

/// A deadline that has passed: the event comes before the call returns.
fn past(m: &mut Meter, channel: Channel, row: Row, until: Until) {
    if !m.wants(&[row]) {
        return;
    }
    let upcall = Upcall::new(channel, until);
    m.parts(
        [row],
        0,
        |good, parts| {
            channel.set_upcalls(true);
            match until {
                Until::Handler => parts.until(0, || *good += set(1), || upcall.stamp()),
                Until::Return => *good += parts.time(0, || set(1)),
            }
        },
        |good, made| *good == made && upcall.ran() == made,
    );
}

/// From a deadline to the handler, for a vCPU that is blocked meanwhile.
fn wake(m: &mut Meter, channel: Channel, row: Row, after_ns: u64) {
    if !m.wants(&[row]) {
        return;
    }
    let upcall = Upcall::new(channel, Until::Handler);
    m.parts(
        [row],
        0,
        |early, parts| {
            channel.set_upcalls(false);
            let (deadline_tsc, deadline_ns) = deadline(after_ns);
            let _ = misc::set_timer_op(deadline_ns);
            parts.since(0, deadline_tsc, sched::block, || upcall.stamp());
            *early += u64::from(upcall.stamp() < deadline_tsc);
        },
        |early, made| *early == 0 && upcall.ran() == made,
    );
}

/// A moment about `after_ns` from now, as a value of the counter and as system time.
fn deadline(after_ns: u64) -> (u64, u64) {
    let mut raw = [0; size_of::<VcpuTimeInfo>()];
    event::vcpu_info().read(core::mem::offset_of!(VcpuInfo, time), &mut raw);
    let info = VcpuTimeInfo::read_from_bytes(&raw).unwrap_or_default();
    let one_second = info.tsc_timestamp + SECOND_NS;
    let ns_per_second_of_ticks = info.system_time_at(one_second) - info.system_time_ns;
    let ticks = u128::from(after_ns) * u128::from(SECOND_NS) / u128::from(ns_per_second_of_ticks);
    let at = time::tsc() + ticks as u64;
    (at, info.system_time_at(at))
}
