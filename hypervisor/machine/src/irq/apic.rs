//! The local APIC: acknowledging, inter-processor interrupts, the timer's registers.
//!
//! By memory-mapped registers (xAPIC): x2APIC is missing in older emulators and 64 CPUs do not need
//! it. APIC numbers come from the firmware's table.

use crate::mem::mmio::Registers;
use crate::percpu::{CpuId, MAX_CPUS};
use crate::sync::Once;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{VEC_SPURIOUS, VEC_TIMER};

const ID: usize = 0x20;
const TPR: usize = 0x80;
const EOI: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const ICR_LOW: usize = 0x300;
const ICR_HIGH: usize = 0x310;
const LVT_TIMER: usize = 0x320;
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const LVT_ERROR: usize = 0x370;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

const ENABLED: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const DIVIDE_BY_1: u32 = 0b1011;
const ICR_BUSY: u32 = 1 << 12;
const ICR_ASSERT: u32 = 1 << 14;
const ICR_NMI: u32 = 0b100 << 8;
const ICR_INIT: u32 = 0b101 << 8;
const ICR_STARTUP: u32 = 0b110 << 8;
const ICR_ALL_BUT_SELF: u32 = 0b11 << 18;
/// Times the busy bit is looked at before it is ignored.
const BUSY_TRIES: u32 = 100_000;

static REGISTERS: Once<Registers> = Once::new();
static APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// What an inter-processor interrupt does.
#[derive(Clone, Copy)]
pub(crate) enum Delivery {
    /// Interrupts with a vector.
    Fixed(u8),
    /// Resets to waiting for a start-up.
    Init,
    /// Starts at a page below 1 MiB.
    Startup(u8),
}

impl Delivery {
    const fn bits(self) -> u32 {
        match self {
            Self::Fixed(vector) => vector as u32,
            Self::Init => ICR_INIT,
            Self::Startup(page) => ICR_STARTUP | page as u32,
        }
    }
}

/// Maps the registers; true when there is a local APIC to use.
pub(crate) fn map(maddr: u64) -> bool {
    if REGISTERS.get().is_none() {
        if let Some(registers) = Registers::map(maddr, 0x1000) {
            REGISTERS.call_once(|| registers);
        }
    }
    REGISTERS.get().is_some()
}

#[inline]
fn registers() -> Registers {
    match REGISTERS.get() {
        Some(registers) => *registers,
        None => panic!("local APIC used before it was found"),
    }
}

/// Masks the interrupt controllers of the first PCs, which firmware may have left on.
pub(crate) fn mask_legacy_controllers() {
    const DATA_PORTS: [u16; 2] = [0x21, 0xa1];
    DATA_PORTS.into_iter().for_each(|port| crate::cpu::outb(port, 0xff));
}

/// Turns this CPU's APIC on, with every source of its own masked.
pub(crate) fn enable() {
    let apic = registers();
    apic.write(TPR, 0);
    apic.write(LVT_LINT0, MASKED);
    apic.write(LVT_LINT1, MASKED);
    apic.write(LVT_ERROR, MASKED);
    apic.write(TIMER_DIVIDE, DIVIDE_BY_1);
    apic.write(LVT_TIMER, VEC_TIMER as u32);
    apic.write(SPURIOUS, ENABLED | VEC_SPURIOUS as u32);
}

/// Number of this CPU's APIC.
pub(crate) fn id() -> u32 {
    registers().read(ID) >> 24
}

/// Records the APIC of a CPU.
pub(crate) fn set_id(cpu: CpuId, apic_id: u32) {
    APIC_IDS[cpu.0 as usize % MAX_CPUS].store(apic_id, Ordering::Relaxed);
}

/// Number of a CPU's APIC.
pub(crate) fn id_of(cpu: CpuId) -> u32 {
    APIC_IDS[cpu.0 as usize % MAX_CPUS].load(Ordering::Relaxed)
}

/// Acknowledges the interrupt in service.
#[inline]
pub(crate) fn eoi() {
    registers().write(EOI, 0);
}

/// Sends an inter-processor interrupt.
pub(crate) fn send(cpu: CpuId, what: Delivery) {
    let apic = registers();
    wait_idle(apic);
    apic.write(ICR_HIGH, id_of(cpu) << 24);
    apic.write(ICR_LOW, what.bits() | ICR_ASSERT);
}

/// Sends to all CPUs but this one.
pub(crate) fn send_all_others(what: Delivery) {
    let apic = registers();
    wait_idle(apic);
    apic.write(ICR_LOW, what.bits() | ICR_ASSERT | ICR_ALL_BUT_SELF);
}

/// Stops all other CPUs by NMI, if there is an APIC.
pub(crate) fn nmi_all_others() {
    if let Some(apic) = REGISTERS.get() {
        apic.write(ICR_LOW, ICR_NMI | ICR_ASSERT | ICR_ALL_BUT_SELF);
    }
}

#[inline]
fn wait_idle(apic: Registers) {
    for _ in 0..BUSY_TRIES {
        if apic.read(ICR_LOW) & ICR_BUSY == 0 {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Starts the timer; it fires once after `ticks`, or never for 0.
#[inline]
pub(crate) fn timer_start(ticks: u32) {
    registers().write(TIMER_INITIAL, ticks);
}

/// Ticks left.
pub(crate) fn timer_left() -> u32 {
    registers().read(TIMER_CURRENT)
}
