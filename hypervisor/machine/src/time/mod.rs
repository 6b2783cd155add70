//! Time: nanoseconds since boot from the time stamp counter, and one timer per CPU.
//!
//! The counter is taken to run at one rate on all CPUs, in step, as on every machine of the last
//! fifteen years and in QEMU. Its rate is measured once at boot (`calibrate`). The timer is the
//! local APIC's, in one-shot mode; the image re-arms it and tolerates early firing.

mod calibrate;
mod rtc;

use crate::cpu::rdtsc;
use crate::irq::apic;
pub use crate::pure::scale::TscScale;
use crate::sync::Once;

const NS_PER_S: u64 = 1_000_000_000;

/// What is found out at boot.
struct Clocks {
    scale: TscScale,
    /// Timer ticks per nanosecond, times 2^32.
    timer_mul: u64,
    /// Seconds since 1970 and nanoseconds at time 0.
    wallclock: (u64, u32),
}

static CLOCKS: Once<Clocks> = Once::new();

/// Measures all clocks; needs the local APIC. Time 0 is `entry_tsc`.
pub(crate) fn init(entry_tsc: u64) {
    let rates = calibrate::measure();
    let scale = TscScale::new(rates.tsc_khz, entry_tsc);
    let timer_mul = (u64::from(rates.timer_khz) << 32) / 1_000_000;
    // Time of day at time 0: the seconds read now, minus what has passed, rounded up.
    let seconds = rtc::read_unix_seconds();
    let passed = scale.ns_at(rdtsc());
    let wallclock = (
        seconds.saturating_sub(passed.div_ceil(NS_PER_S)),
        (passed.next_multiple_of(NS_PER_S) - passed) as u32,
    );
    CLOCKS.call_once(|| Clocks { scale, timer_mul, wallclock });
}

/// The clocks.
///
/// # Panics
/// Before they have been measured.
fn clocks() -> &'static Clocks {
    CLOCKS.get().expect("clocks are used after they were measured")
}

/// Nanoseconds since boot.
pub fn now_ns() -> u64 {
    clocks().scale.ns_at(rdtsc())
}

/// How the counter relates to nanoseconds since boot; what guests are told.
pub fn tsc_scale() -> TscScale {
    clocks().scale
}

/// Time of day at boot: seconds since 1970 and nanoseconds.
pub fn wallclock_at_boot() -> (u64, u32) {
    clocks().wallclock
}

/// Makes this CPU's timer fire once at `deadline_ns` or, when that is far away, earlier.
pub fn arm_timer(deadline_ns: u64) {
    let ahead = deadline_ns.saturating_sub(now_ns());
    let ticks = (u128::from(ahead) * u128::from(clocks().timer_mul)) >> 32;
    apic::timer_start((ticks as u64).clamp(1, u64::from(u32::MAX)) as u32);
}
