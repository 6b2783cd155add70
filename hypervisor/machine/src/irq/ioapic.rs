//! I/O APICs: device lines, by global number ("GSI").
//!
//! Lines of the image are routed by `gsi_route` and are masked until it unmasks them. All go to the
//! boot processor.

use super::apic;
use crate::mem::mmio::Registers;
use crate::percpu::CpuId;
use crate::sync::Mutex;
use alloc::vec::Vec;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const REG_VERSION: u32 = 1;
const REG_REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// When a line asks for attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// When it changes.
    Edge,
    /// As long as it is active.
    Level,
}

/// Which state of a line is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// High.
    High,
    /// Low.
    Low,
}

struct IoApic {
    registers: Registers,
    gsi_base: u32,
    lines: u32,
}

/// Where an ISA interrupt really is, if not at its own number.
struct Override {
    isa: u8,
    gsi: u32,
    trigger: Trigger,
    polarity: Polarity,
}

struct Lines {
    apics: Vec<IoApic>,
    overrides: Vec<Override>,
}

static LINES: Mutex<Lines> = Mutex::new(Lines { apics: Vec::new(), overrides: Vec::new() });

impl IoApic {
    fn read(&self, register: u32) -> u32 {
        self.registers.write(SELECT, register);
        self.registers.read(WINDOW)
    }

    fn write(&self, register: u32, value: u32) {
        self.registers.write(SELECT, register);
        self.registers.write(WINDOW, value);
    }
}

impl Lines {
    /// The I/O APIC of a line, and the line's low register there.
    fn find(&self, gsi: u32) -> Option<(&IoApic, u32)> {
        let apic = self
            .apics
            .iter()
            .find(|apic| gsi.checked_sub(apic.gsi_base).is_some_and(|line| line < apic.lines))?;
        Some((apic, REG_REDIRECTION + 2 * (gsi - apic.gsi_base)))
    }

    fn change(&self, gsi: u32, change: impl FnOnce(u32) -> u32) -> bool {
        let Some((apic, register)) = self.find(gsi) else { return false };
        let low = apic.read(register);
        apic.write(register, change(low));
        true
    }
}

/// Takes an I/O APIC into use, all its lines masked.
pub(crate) fn add(maddr: u64, gsi_base: u32) {
    let Some(registers) = Registers::map(maddr, 0x20) else { return };
    let mut apic = IoApic { registers, gsi_base, lines: 0 };
    apic.lines = (apic.read(REG_VERSION) >> 16 & 0xff) + 1;
    for line in 0..apic.lines {
        apic.write(REG_REDIRECTION + 2 * line, MASKED);
    }
    LINES.lock().apics.push(apic);
}

/// Records where an ISA interrupt really is.
pub(crate) fn isa_override(isa: u8, gsi: u32, trigger: Trigger, polarity: Polarity) {
    LINES.lock().overrides.push(Override { isa, gsi, trigger, polarity });
}

/// Routes and unmasks an ISA interrupt.
pub(crate) fn isa_route(isa: u8, vector: u8) -> bool {
    let (gsi, trigger, polarity) = {
        let lines = LINES.lock();
        match lines.overrides.iter().find(|o| o.isa == isa) {
            Some(o) => (o.gsi, o.trigger, o.polarity),
            None => (u32::from(isa), Trigger::Edge, Polarity::High),
        }
    };
    gsi_route(gsi, vector, trigger, polarity) && gsi_unmask(gsi)
}

/// How many lines there are.
#[must_use]
pub fn gsi_count() -> u32 {
    let lines = LINES.lock();
    lines.apics.iter().map(|apic| apic.gsi_base + apic.lines).max().unwrap_or(0)
}

/// Routes a line to a vector on the boot processor and masks it; false when there is no such line.
pub fn gsi_route(gsi: u32, vector: u8, trigger: Trigger, polarity: Polarity) -> bool {
    let lines = LINES.lock();
    let Some((apic, register)) = lines.find(gsi) else { return false };
    let mut low = u32::from(vector) | MASKED;
    if trigger == Trigger::Level {
        low |= LEVEL;
    }
    if polarity == Polarity::Low {
        low |= ACTIVE_LOW;
    }
    apic.write(register, MASKED);
    apic.write(register + 1, apic::id_of(CpuId(0)) << 24);
    apic.write(register, low);
    true
}

/// Masks a line; false when there is no such line.
pub fn gsi_mask(gsi: u32) -> bool {
    LINES.lock().change(gsi, |low| low | MASKED)
}

/// Unmasks a line; false when there is no such line.
pub fn gsi_unmask(gsi: u32) -> bool {
    LINES.lock().change(gsi, |low| low & !MASKED)
}

/// The guest has served a line: a level-triggered one, which was masked when it fired, may fire
/// again. False when there is no such line.
pub fn gsi_eoi(gsi: u32) -> bool {
    gsi_unmask(gsi)
}
