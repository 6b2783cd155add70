//! Measures the time stamp counter and the timer of the local APIC against the PIT, whose rate is known.
//!
//! Called once, at boot. The window grows until the delays of reading no longer matter, which is at once
//! where instructions are counted. The PIT goes round in 55 ms; on an emulated machine that was not run
//! for so long a measurement is wrong, so two must agree.

use crate::time::tsc;
use crate::{apic, ports};

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

/// What was measured, times 2^32.
pub(crate) struct Rates {
    /// Nanoseconds for each count of the time stamp counter.
    pub(crate) ns_per_count: u64,
    /// Ticks of the timer for each nanosecond.
    pub(crate) ticks_per_ns: u64,
}

/// Measurements before the last is taken as it is.
const REPEATS: usize = 8;

/// Measures both clocks until two measurements agree; needs the local APIC.
pub(crate) fn measure() -> Rates {
    let mut last = measure_once();
    for _ in 0..REPEATS {
        let next = measure_once();
        if are_close(last.ns_per_count, next.ns_per_count) {
            return next;
        }
        last = next;
    }
    last
}

/// Whether two numbers differ by less than a percent.
const fn are_close(one: u64, other: u64) -> bool {
    one.abs_diff(other) < one / 100
}

fn measure_once() -> Rates {
    let (start, end) = window();
    let counts = end.tsc.saturating_sub(start.tsc).max(1);
    let ticks = u64::from(start.timer_left.wrapping_sub(end.timer_left));
    let ns = (ticks_between(start.pit, end.pit) * NS_PER_S / PIT_HZ).max(1);
    let ratio = |of: u64, to: u64| ((u128::from(of) << 32) / u128::from(to)) as u64;
    Rates { ns_per_count: ratio(ns, counts), ticks_per_ns: ratio(ticks, ns) }
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

/// Ticks of the PIT, which has 16 bits.
const fn ticks_between(start: u64, end: u64) -> u64 {
    end.wrapping_sub(start) & 0xffff
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
fn window() -> (Reading, Reading) {
    start_pit();
    apic::timer_start(u32::MAX);
    let start = read_all();
    let mut window = FIRST_WINDOW;
    loop {
        while ticks_between(start.pit, read_pit()) < window {
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
