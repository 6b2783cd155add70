//! Measures the time stamp counter and the APIC timer against a clock of known rate.
//!
//! The reference is the HPET where the firmware names one, else channel 2 of the PIT. Each end of the
//! window is read several times and the reading with the least delay is used, because an emulator
//! may be interrupted by its host in the middle. The window grows until the delays no longer matter:
//! where they are tiny, as under an instruction-counting emulator, it is over very soon, which saves
//! boot time exactly there where it is counted.

use super::NS_PER_S;
use crate::cpu::{inb, outb, rdtsc};
use crate::irq::apic;
use crate::mem::mmio::Registers;

/// Length of the first window; each further one is twice as long.
const FIRST_WINDOW_NS: u64 = 250_000;
/// Length of the last window.
const LAST_WINDOW_NS: u64 = 4_000_000;
/// The measurement is good when all delays together are this part of it.
const GOOD_PART: u64 = 4000;
/// Readings of one end.
const TRIES: usize = 9;
const FEMTOSECONDS_PER_NS: u64 = 1_000_000;

/// Rates in kHz.
pub(super) struct Rates {
    pub(super) tsc_khz: u32,
    pub(super) timer_khz: u32,
}

/// A clock that counts up at a known rate.
struct Reference<'a> {
    /// The present count.
    read: &'a dyn Fn() -> u64,
    /// The bits the count has.
    mask: u64,
    /// Length of a tick.
    femtoseconds: u64,
}

impl Reference<'_> {
    /// Nanoseconds from one count to a later one.
    fn ns_between(&self, from: u64, to: u64) -> u64 {
        (to.wrapping_sub(from) & self.mask) * self.femtoseconds / FEMTOSECONDS_PER_NS
    }
}

const HPET_PERIOD: usize = 0x04;
const HPET_CONFIG: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;

/// Starts the event timer, if there is one; its registers and the length of its tick.
fn start_hpet() -> Option<(Registers, u64)> {
    let registers = Registers::map(crate::acpi::firmware()?.hpet?, 0x400)?;
    let femtoseconds = u64::from(registers.read(HPET_PERIOD));
    registers.write(HPET_CONFIG, registers.read(HPET_CONFIG) | 1);
    // The specification allows periods up to 100 ns.
    (1..=100 * FEMTOSECONDS_PER_NS).contains(&femtoseconds).then_some((registers, femtoseconds))
}

const PIT_HZ: u64 = 1_193_182;
const PIT_DATA2: u16 = 0x42;
const PIT_COMMAND: u16 = 0x43;
const PIT_GATE: u16 = 0x61;

/// Lets channel 2 of the PIT count down from 65535 once.
fn start_pit() {
    // Gate on, speaker off.
    outb(PIT_GATE, inb(PIT_GATE) & !2 | 1);
    // Channel 2, both bytes, mode 0, binary.
    outb(PIT_COMMAND, 0b1011_0000);
    outb(PIT_DATA2, 0xff);
    outb(PIT_DATA2, 0xff);
}

fn read_pit() -> u64 {
    // Latch channel 2, then both bytes.
    outb(PIT_COMMAND, 0b1000_0000);
    let low = inb(PIT_DATA2);
    let high = inb(PIT_DATA2);
    0xffff - u64::from(u16::from_le_bytes([low, high]))
}

/// One simultaneous reading of all clocks.
#[derive(Default)]
struct Reading {
    reference: u64,
    tsc: u64,
    timer_left: u32,
    /// Ticks of the counter the reading took.
    delay: u64,
}

fn read_once(clock: &Reference<'_>) -> Reading {
    let before = rdtsc();
    let reference = (clock.read)();
    let timer_left = apic::timer_left();
    let delay = rdtsc() - before;
    Reading { reference, tsc: before + delay / 2, timer_left, delay }
}

fn read_all(clock: &Reference<'_>) -> Reading {
    let readings = (0..TRIES).map(|_| read_once(clock));
    readings.min_by_key(|reading| reading.delay).unwrap_or_default()
}

/// Measures both clocks.
pub(super) fn measure() -> Rates {
    if let Some((registers, femtoseconds)) = start_hpet() {
        let read = || u64::from(registers.read(HPET_COUNTER));
        return measure_by(&Reference { read: &read, mask: u32::MAX.into(), femtoseconds });
    }
    start_pit();
    let femtoseconds = NS_PER_S * FEMTOSECONDS_PER_NS / PIT_HZ;
    measure_by(&Reference { read: &read_pit, mask: 0xffff, femtoseconds })
}

fn measure_by(clock: &Reference<'_>) -> Rates {
    apic::timer_start(u32::MAX);
    let start = read_all(clock);
    let mut window_ns = FIRST_WINDOW_NS;
    let end = loop {
        while clock.ns_between(start.reference, (clock.read)()) < window_ns {
            core::hint::spin_loop();
        }
        let end = read_all(clock);
        let good = (start.delay + end.delay) * GOOD_PART < end.tsc.saturating_sub(start.tsc);
        if good || window_ns >= LAST_WINDOW_NS {
            break end;
        }
        window_ns *= 2;
    };
    apic::timer_start(0);
    let ns = clock.ns_between(start.reference, end.reference).max(1);
    let khz = |ticks: u64| (u128::from(ticks) * 1_000_000 / u128::from(ns)) as u32;
    Rates {
        tsc_khz: khz(end.tsc.saturating_sub(start.tsc)).max(1),
        timer_khz: khz(u64::from(start.timer_left.wrapping_sub(end.timer_left))).max(1),
    }
}
