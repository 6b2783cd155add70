//! Measures the time stamp counter and the APIC timer against a clock of known rate.
//!
//! The reference is the HPET where the firmware names one, else channel 2 of the PIT. The window is
//! short, because every instruction spent here is boot time under an instruction-counting emulator;
//! each end of it is read several times and the reading with the least delay is used, because an
//! emulator may be interrupted by its host in the middle.

use crate::cpu::{asm, inb, outb};
use crate::irq::apic;
use crate::mem::mmio::Registers;

/// Length of the measurement.
const WINDOW_NS: u64 = 500_000;
/// Readings of one end.
const TRIES: usize = 5;
const NS_PER_S: u64 = 1_000_000_000;
const FEMTOSECONDS_PER_NS: u64 = 1_000_000;

/// Rates in kHz.
pub(super) struct Rates {
    pub(super) tsc_khz: u32,
    pub(super) timer_khz: u32,
}

/// A clock that counts up at a known rate.
trait Reference {
    /// The present count.
    fn read(&self) -> u64;
    /// Ticks from one count to a later one.
    fn elapsed(&self, from: u64, to: u64) -> u64;
    /// Ticks as nanoseconds.
    fn to_ns(&self, ticks: u64) -> u64;
}

struct Hpet {
    registers: Registers,
    period_fs: u64,
}

const HPET_PERIOD: usize = 0x04;
const HPET_CONFIG: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;

impl Hpet {
    fn find() -> Option<Self> {
        let registers = Registers::map(crate::acpi::find_hpet()?, 0x400)?;
        let period_fs = u64::from(registers.read(HPET_PERIOD));
        // The specification allows periods up to 100 ns.
        if period_fs == 0 || period_fs > 100 * FEMTOSECONDS_PER_NS {
            return None;
        }
        registers.write(HPET_CONFIG, registers.read(HPET_CONFIG) | 1);
        Some(Self { registers, period_fs })
    }
}

impl Reference for Hpet {
    fn read(&self) -> u64 {
        u64::from(self.registers.read(HPET_COUNTER))
    }
    fn elapsed(&self, from: u64, to: u64) -> u64 {
        u64::from((to as u32).wrapping_sub(from as u32))
    }
    fn to_ns(&self, ticks: u64) -> u64 {
        ticks * self.period_fs / FEMTOSECONDS_PER_NS
    }
}

/// Channel 2 of the PIT, counting down from 65535 once.
struct Pit;

const PIT_HZ: u64 = 1_193_182;
const PIT_DATA2: u16 = 0x42;
const PIT_COMMAND: u16 = 0x43;
const PIT_GATE: u16 = 0x61;

impl Pit {
    fn start() -> Self {
        // Gate on, speaker off.
        outb(PIT_GATE, inb(PIT_GATE) & !2 | 1);
        // Channel 2, both bytes, mode 0, binary.
        outb(PIT_COMMAND, 0b1011_0000);
        outb(PIT_DATA2, 0xff);
        outb(PIT_DATA2, 0xff);
        Self
    }
}

impl Reference for Pit {
    fn read(&self) -> u64 {
        // Latch channel 2, then both bytes.
        outb(PIT_COMMAND, 0b1000_0000);
        let low = inb(PIT_DATA2);
        let high = inb(PIT_DATA2);
        0xffff - u64::from(u16::from_le_bytes([low, high]))
    }
    fn elapsed(&self, from: u64, to: u64) -> u64 {
        to.wrapping_sub(from) & 0xffff
    }
    fn to_ns(&self, ticks: u64) -> u64 {
        ticks * NS_PER_S / PIT_HZ
    }
}

/// One simultaneous reading of all clocks.
struct Reading {
    reference: u64,
    tsc: u64,
    timer_left: u32,
}

fn read_all(reference: &dyn Reference) -> Reading {
    let mut best: Option<(u64, Reading)> = None;
    for _ in 0..TRIES {
        let before = asm::rdtsc();
        let count = reference.read();
        let timer_left = apic::timer_left();
        let after = asm::rdtsc();
        let delay = after - before;
        if best.as_ref().is_none_or(|(least, _)| delay < *least) {
            let tsc = before + delay / 2;
            best = Some((delay, Reading { reference: count, tsc, timer_left }));
        }
    }
    match best {
        Some((_, reading)) => reading,
        None => Reading { reference: 0, tsc: 0, timer_left: 0 },
    }
}

/// Measures both clocks.
pub(super) fn measure() -> Rates {
    match Hpet::find() {
        Some(hpet) => measure_by(&hpet),
        None => measure_by(&Pit::start()),
    }
}

fn measure_by(reference: &dyn Reference) -> Rates {
    apic::timer_start(u32::MAX);
    let start = read_all(reference);
    loop {
        let elapsed = reference.elapsed(start.reference, reference.read());
        if reference.to_ns(elapsed) >= WINDOW_NS {
            break;
        }
        core::hint::spin_loop();
    }
    let end = read_all(reference);
    apic::timer_start(0);
    let ns = reference.to_ns(reference.elapsed(start.reference, end.reference)).max(1);
    let khz = |ticks: u64| (u128::from(ticks) * 1_000_000 / u128::from(ns)) as u32;
    Rates {
        tsc_khz: khz(end.tsc.saturating_sub(start.tsc)).max(1),
        timer_khz: khz(u64::from(start.timer_left.wrapping_sub(end.timer_left))).max(1),
    }
}
