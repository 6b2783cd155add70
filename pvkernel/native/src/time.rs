//! System time, wall-clock time, and the timer.
//!
//! Both clocks are the machine's (`clocks`).

use core::sync::atomic::{AtomicU64, Ordering};

use crate::clocks;

const NS_PER_S: u128 = 1_000_000_000;

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

/// Nanoseconds since the first instruction; never runs backwards.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clocks::now_ns();
    LATEST.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Seconds and nanoseconds since 1970.
#[must_use]
pub fn wall_clock() -> (u64, u32) {
    let total_ns = clocks::start_ns() + u128::from(now_ns());
    ((total_ns / NS_PER_S) as u64, (total_ns % NS_PER_S) as u32)
}

/// Makes the timer fire once: at the time, at once if that is past, or earlier if it is far away. 0 stops it.
pub(crate) fn set_timer(deadline_ns: u64) {
    clocks::start_timer(match deadline_ns {
        0 => 0,
        _ => deadline_ns.saturating_sub(now_ns()).max(1),
    });
}
