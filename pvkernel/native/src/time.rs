//! System time from the time stamp counter, wall-clock time from the battery clock, and the timer.
//!
//! The counter is taken to run at one rate for ever, as in QEMU and on every processor of the last
//! fifteen years. `calibrate` measures its rate and that of the local APIC's timer once.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use crate::calibrate::{self, Rates};
use crate::{apic, rtc};

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

/// The latest time anybody was told; keeps the clock from running backwards.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// The time stamp counter.
#[must_use]
#[inline]
pub fn tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter.
    unsafe {
        core::arch::asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

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
}

/// Nanoseconds since the first instruction; never runs backwards.
#[must_use]
pub fn now_ns() -> u64 {
    let clocks = clocks();
    let now = scaled(tsc().saturating_sub(clocks.start_tsc), clocks.ns_per_count);
    LATEST.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Seconds and nanoseconds since 1970.
#[must_use]
pub fn wall_clock() -> (u64, u32) {
    let now = now_ns();
    (clocks().start_s + now / NS_PER_S, (now % NS_PER_S) as u32)
}

/// Makes the timer fire once: at the time, at once if that is past, or earlier if it is far away.
/// 0 stops it.
pub(crate) fn set_timer(deadline_ns: u64) {
    let ticks = match deadline_ns {
        0 => 0,
        _ => scaled(deadline_ns.saturating_sub(now_ns()), clocks().ticks_per_ns).max(1),
    };
    apic::timer_start(u32::try_from(ticks).unwrap_or(u32::MAX));
}
