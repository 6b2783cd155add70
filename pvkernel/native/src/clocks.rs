//! The clocks of the machine: time stamp counter, battery clock, and the timer of the local APIC.
//!
//! The counter is taken to run at one rate for ever, as in QEMU and on every processor of the last
//! fifteen years. `calibrate` measures its rate and that of the timer once.

use alloc::boxed::Box;

use spin::Once;

use crate::apic::{self, Line};
use crate::calibrate::{self, Rates};
use crate::time::tsc;
use crate::{event, platform, rtc};

const NS_PER_S: u64 = 1_000_000_000;

/// What is found out at boot.
struct Clocks {
    /// The counter at time 0.
    start_tsc: u64,
    /// Nanoseconds for each count, times 2^32.
    ns_per_count: u64,
    /// Ticks of the timer for each nanosecond, times 2^32.
    ticks_per_ns: u64,
    /// Seconds since 1970 at time 0.
    start_s: u64,
}

static CLOCKS: Once<Clocks> = Once::new();

fn scaled(count: u64, factor: u64) -> u64 {
    ((u128::from(count) * u128::from(factor)) >> 32) as u64
}

fn clocks() -> &'static Clocks {
    CLOCKS.get().expect("clocks are used after they were measured")
}

/// Measures all clocks; needs the local APIC. Time 0 is `entry_tsc`.
pub(crate) fn init(entry_tsc: u64) {
    let Rates { ns_per_count, ticks_per_ns } = calibrate::measure();
    let passed_s = scaled(tsc().saturating_sub(entry_tsc), ns_per_count) / NS_PER_S;
    let start_s = rtc::read_unix_seconds().saturating_sub(passed_s);
    CLOCKS.call_once(|| Clocks { start_tsc: entry_tsc, ns_per_count, ticks_per_ns, start_s });
    event::on_event(Line::TIMER, Box::new(platform::timer_fired));
}

/// Nanoseconds since the first instruction.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let clocks = clocks();
    scaled(tsc().saturating_sub(clocks.start_tsc), clocks.ns_per_count)
}

/// Nanoseconds since 1970 at the first instruction.
pub(crate) fn start_ns() -> u128 {
    u128::from(clocks().start_s) * u128::from(NS_PER_S)
}

/// Makes the timer fire once: after a time, or earlier if that is long. 0 stops it.
pub(crate) fn start_timer(duration_ns: u64) {
    let ticks = scaled(duration_ns, clocks().ticks_per_ns);
    let ticks = if duration_ns == 0 { 0 } else { ticks.max(1) };
    apic::timer_start(u32::try_from(ticks).unwrap_or(u32::MAX));
}
