//! The local APIC: acknowledging, inter-processor interrupts, the timer's registers.
//!
//! By memory-mapped registers (xAPIC): x2APIC is missing in older emulators and 64 CPUs do not need
//! it. APIC numbers come from the firmware's table.

use super::{VEC_SPURIOUS, VEC_TIMER};
use crate::cpu::{outb, spin_until};
use crate::mem::mmio::Registers;
use crate::percpu::MAX_CPUS;
use crate::sync::Once;
use core::sync::atomic::{AtomicU32, Ordering};

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
const ICR_ALL_BUT_SELF: u32 = 0b11 << 18;
/// What an inter-processor interrupt does, if it is not just a vector: stop.
pub(crate) const NMI: u32 = 0b100 << 8;
/// Resets to waiting for a start-up.
pub(crate) const INIT: u32 = 0b101 << 8;
/// Starts at a page below 1 MiB, whose number is added.
pub(crate) const STARTUP: u32 = 0b110 << 8;
/// Times the busy bit is looked at before it is ignored.
const BUSY_TRIES: u32 = 100_000;

static REGISTERS: Once<Registers> = Once::new();
/// APIC numbers of the CPUs, by CPU number; read by `start.S`.
#[no_mangle]
static HV_APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(u32::MAX) }; MAX_CPUS];

/// Maps the registers.
pub(crate) fn map(maddr: u64) {
    REGISTERS.call_once(|| Registers::map(maddr, 0x1000).expect("room for the local APIC"));
}

fn registers() -> Registers {
    *REGISTERS.get().expect("the local APIC is used after it was found")
}

/// Masks the interrupt controllers of the first PCs, which firmware may have left on.
pub(crate) fn mask_legacy_controllers() {
    const DATA_PORTS: [u16; 2] = [0x21, 0xa1];
    DATA_PORTS.into_iter().for_each(|port| outb(port, 0xff));
}

/// Turns this CPU's APIC on, with every source of its own masked.
pub(crate) fn enable() {
    let state = [
        (TPR, 0),
        (LVT_LINT0, MASKED),
        (LVT_LINT1, MASKED),
        (LVT_ERROR, MASKED),
        (TIMER_DIVIDE, DIVIDE_BY_1),
        (LVT_TIMER, u32::from(VEC_TIMER)),
        (SPURIOUS, ENABLED | u32::from(VEC_SPURIOUS)),
    ];
    state.into_iter().for_each(|(register, value)| registers().write(register, value));
}

/// Number of this CPU's APIC.
pub(crate) fn id() -> u32 {
    registers().read(ID) >> 24
}

/// Records the APIC of a CPU.
pub(crate) fn set_id(cpu: u32, apic_id: u32) {
    HV_APIC_IDS[cpu as usize % MAX_CPUS].store(apic_id, Ordering::Relaxed);
}

/// Number of a CPU's APIC.
pub(crate) fn id_of(cpu: u32) -> u32 {
    HV_APIC_IDS[cpu as usize % MAX_CPUS].load(Ordering::Relaxed)
}

/// Acknowledges the interrupt in service.
pub(crate) fn eoi() {
    registers().write(EOI, 0);
}

/// Sends an inter-processor interrupt: a vector, or one of the constants above.
pub(crate) fn send(cpu: u32, what: u32) {
    let apic = registers();
    wait_idle(apic);
    apic.write(ICR_HIGH, id_of(cpu) << 24);
    apic.write(ICR_LOW, what | ICR_ASSERT);
}

/// Sends to all CPUs but this one, if there is an APIC yet.
pub(crate) fn send_all_others(what: u32) {
    if let Some(apic) = REGISTERS.get() {
        wait_idle(*apic);
        apic.write(ICR_LOW, what | ICR_ASSERT | ICR_ALL_BUT_SELF);
    }
}

fn wait_idle(apic: Registers) {
    spin_until(BUSY_TRIES, || apic.read(ICR_LOW) & ICR_BUSY == 0);
}

/// Starts the timer; it fires once after `ticks`, or never for 0.
pub(crate) fn timer_start(ticks: u32) {
    registers().write(TIMER_INITIAL, ticks);
}

/// Ticks left.
pub(crate) fn timer_left() -> u32 {
    registers().read(TIMER_CURRENT)
}
