//! The clocks of this machine: see the parent module.

use super::scale::{self, TscScale};
use super::{calibrate, rtc};
use crate::cpu::asm;
use crate::irq::apic;
use crate::sync::Once;
use core::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds to counter ticks or back, read on every call: plain words, written once at boot.
static MUL: AtomicU64 = AtomicU64::new(1 << 31);
static SHIFT: AtomicU64 = AtomicU64::new(1);
static BASE_TSC: AtomicU64 = AtomicU64::new(0);
/// Timer ticks per nanosecond, times 2^32.
static TIMER_MUL: AtomicU64 = AtomicU64::new(1 << 32);
static SCALE: Once<TscScale> = Once::new();
static WALLCLOCK: Once<(u64, u32)> = Once::new();

const NS_PER_S: u64 = 1_000_000_000;

/// Measures all clocks; needs the local APIC. Time 0 is `entry_tsc`.
pub(crate) fn init(entry_tsc: u64) {
    let rates = calibrate::measure();
    let scale = TscScale::new(rates.tsc_khz, entry_tsc);
    SCALE.call_once(|| scale);
    MUL.store(u64::from(scale.mul), Ordering::Relaxed);
    SHIFT.store(scale.shift as u64, Ordering::Relaxed);
    BASE_TSC.store(entry_tsc, Ordering::SeqCst);
    TIMER_MUL.store((u128::from(rates.timer_khz) << 32) as u64 / 1_000_000, Ordering::Relaxed);
    let seconds = rtc::read_unix_seconds();
    let (secs, ns) = (now_ns() / NS_PER_S, now_ns() % NS_PER_S);
    // Time of day at time 0: the seconds read now, minus what has passed.
    WALLCLOCK.call_once(|| match ns {
        0 => (seconds.saturating_sub(secs), 0),
        _ => (seconds.saturating_sub(secs + 1), (NS_PER_S - ns) as u32),
    });
}

/// Nanoseconds since boot.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    ns_at_tsc(asm::rdtsc())
}

/// Nanoseconds since boot at a value of the counter.
#[inline]
#[must_use]
pub fn ns_at_tsc(tsc: u64) -> u64 {
    let ticks = tsc.saturating_sub(BASE_TSC.load(Ordering::Relaxed));
    scale::ticks_to_ns(ticks, MUL.load(Ordering::Relaxed), SHIFT.load(Ordering::Relaxed) as i8)
}

/// How the counter relates to nanoseconds since boot; what guests are told.
///
/// # Panics
/// Before the clocks have been measured.
#[must_use]
pub fn tsc_scale() -> TscScale {
    match SCALE.get() {
        Some(scale) => *scale,
        None => panic!("clocks used before they were measured"),
    }
}

/// Time of day at boot: seconds since 1970 and nanoseconds.
#[must_use]
pub fn wallclock_at_boot() -> (u64, u32) {
    WALLCLOCK.get().copied().unwrap_or((0, 0))
}

/// Makes this CPU's timer fire once at `deadline_ns` or, when that is far away, earlier.
#[inline]
pub fn arm_timer(deadline_ns: u64) {
    let ahead = deadline_ns.saturating_sub(now_ns());
    let ticks = (u128::from(ahead) * u128::from(TIMER_MUL.load(Ordering::Relaxed))) >> 32;
    apic::timer_start((ticks as u64).clamp(1, u64::from(u32::MAX)) as u32);
}

/// Stops this CPU's timer.
#[inline]
pub fn disarm() {
    apic::timer_start(0);
}
