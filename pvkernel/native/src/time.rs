//! System time from the time stamp counter, wall-clock time from the battery clock, and the timer.
//!
//! The counter is taken to run at one rate for ever, as in QEMU and on every processor of the last
//! fifteen years. Its rate and that of the local APIC's timer are measured once, against the PIT,
//! whose rate is known. The window grows until the delays of reading no longer matter, which is at
//! once where instructions are counted.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use crate::{apic, ports, rtc};

const NS_PER_S: u64 = 1_000_000_000;
const PIT_HZ: u64 = 1_193_182;
const PIT_DATA: u16 = 0x42;
const PIT_COMMAND: u16 = 0x43;
const PIT_GATE: u16 = 0x61;
/// Ticks of the PIT in the first window, a quarter of a millisecond; each further one is twice as long.
const FIRST_WINDOW: u64 = 298;
/// The last window: 4.8 ms.
const LAST_WINDOW: u64 = FIRST_WINDOW << 4;
/// The measurement is good when all delays together are this part of it.
const GOOD_PART: u64 = 4000;
/// Readings of one end, of which the one with the least delay counts.
const TRIES: usize = 9;

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
    let (start, end) = measure();
    let counts = end.tsc.saturating_sub(start.tsc).max(1);
    let ticks = u64::from(start.timer_left.wrapping_sub(end.timer_left));
    let ns = ((end.pit - start.pit) * NS_PER_S / PIT_HZ).max(1);
    let ns_per_count = ((u128::from(ns) << 32) / u128::from(counts)) as u64;
    let ticks_per_ns = ((u128::from(ticks) << 32) / u128::from(ns)) as u64;
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

/// One simultaneous reading of all clocks.
struct Reading {
    pit: u64,
    tsc: u64,
    timer_left: u32,
    /// How long the reading took.
    delay: u64,
}

/// Lets channel 2 of the PIT count down from 65535 once.
fn start_pit() {
    // SAFETY: the speaker's register.
    let gate = unsafe { ports::read_u8(PIT_GATE) };
    // Gate on, speaker off; channel 2, both bytes, mode 0, binary; the bytes.
    let setup =
        [(PIT_GATE, gate & !2 | 1), (PIT_COMMAND, 0xb0), (PIT_DATA, 0xff), (PIT_DATA, 0xff)];
    for (port, value) in setup {
        // SAFETY: nobody else uses the channel.
        unsafe { ports::write_u8(port, value) };
    }
}

/// Ticks since the start.
fn read_pit() -> u64 {
    // SAFETY: keeps the count of channel 2 until both bytes were read.
    unsafe { ports::write_u8(PIT_COMMAND, 0x80) };
    // SAFETY: the low byte of the count.
    let low = unsafe { ports::read_u8(PIT_DATA) };
    // SAFETY: the high byte of the count.
    let high = unsafe { ports::read_u8(PIT_DATA) };
    0xffff - u64::from(u16::from_le_bytes([low, high]))
}

fn read_once() -> Reading {
    let before = tsc();
    let pit = read_pit();
    let timer_left = apic::timer_left();
    let delay = tsc().saturating_sub(before);
    Reading { pit, tsc: before + delay / 2, timer_left, delay }
}

fn read_all() -> Reading {
    let more = (1..TRIES).map(|_| read_once());
    more.fold(read_once(), |best, next| if next.delay < best.delay { next } else { best })
}

/// Both ends of a window that is long enough.
fn measure() -> (Reading, Reading) {
    start_pit();
    apic::timer_start(u32::MAX);
    let start = read_all();
    let mut window = FIRST_WINDOW;
    loop {
        while read_pit() - start.pit < window {
            core::hint::spin_loop();
        }
        let end = read_all();
        let is_good = (start.delay + end.delay) * GOOD_PART < end.tsc.saturating_sub(start.tsc);
        if is_good || window >= LAST_WINDOW {
            apic::timer_start(0);
            return (start, end);
        }
        window *= 2;
    }
}
