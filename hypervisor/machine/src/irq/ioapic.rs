//! I/O APICs: device lines, by global number ("GSI").
//!
//! Lines of the image are routed by `gsi_route` and are masked until it unmasks them. A line goes to
//! the CPU that unmasked it last.

use super::apic;
use crate::mem::mmio::Registers;
use crate::percpu;
use crate::sync::Mutex;
use alloc::vec;
use alloc::vec::Vec;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const REG_VERSION: u32 = 1;
const REG_REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// How a line asks for attention; by default as the ISA bus does it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// As long as it is active, not just when it becomes active.
    pub is_level: bool,
    /// The low state is the active one.
    pub is_low: bool,
}

struct IoApic {
    registers: Registers,
    gsi_base: u32,
    /// What the two registers of each line were set to: reading them takes as long as writing.
    lines: Vec<[u32; 2]>,
}

struct Lines {
    apics: Vec<IoApic>,
    /// Where ISA interrupts really are, if not at their own number.
    overrides: Vec<(u8, u32, Signal)>,
}

static LINES: Mutex<Lines> = Mutex::new(Lines { apics: Vec::new(), overrides: Vec::new() });

impl IoApic {
    fn write(&self, register: u32, value: u32) {
        self.registers.write(SELECT, register);
        self.registers.write(WINDOW, value);
    }

    /// Sets the low register of a line (0), or the high one (1).
    fn set(&mut self, line: u32, half: usize, value: u32) {
        let known = &mut self.lines[line as usize][half];
        if *known != value {
            *known = value;
            self.write(REG_REDIRECTION + 2 * line + half as u32, value);
        }
    }
}

/// Calls `act` with the I/O APIC of a line and the line's number there; false when there is no such
/// line.
fn with_line(gsi: u32, act: impl FnOnce(&mut IoApic, u32)) -> bool {
    let mut lines = LINES.lock();
    let is_here = |apic: &&mut IoApic| {
        (apic.gsi_base..apic.gsi_base + apic.lines.len() as u32).contains(&gsi)
    };
    let apic = lines.apics.iter_mut().find(is_here);
    apic.map(|apic| act(apic, gsi - apic.gsi_base)).is_some()
}

/// Takes an I/O APIC into use, all its lines masked.
pub(crate) fn add(maddr: u64, gsi_base: u32) {
    let Some(registers) = Registers::map(maddr, 0x20) else { return };
    registers.write(SELECT, REG_VERSION);
    let lines = (registers.read(WINDOW) >> 16 & 0xff) + 1;
    // Nothing is known of them yet.
    let mut apic = IoApic { registers, gsi_base, lines: vec![[u32::MAX; 2]; lines as usize] };
    (0..lines).for_each(|line| apic.set(line, 0, MASKED));
    LINES.lock().apics.push(apic);
}

/// Records where an ISA interrupt really is.
pub(crate) fn isa_override(isa: u8, gsi: u32, signal: Signal) {
    LINES.lock().overrides.push((isa, gsi, signal));
}

/// Routes and unmasks an ISA interrupt.
pub(crate) fn isa_route(isa: u8, vector: u8) -> bool {
    let found = LINES.lock().overrides.iter().find(|line| line.0 == isa).copied();
    let (_, gsi, signal) = found.unwrap_or((isa, isa.into(), Signal::default()));
    gsi_route(gsi, vector, signal) && gsi_unmask(gsi)
}

/// How many lines there are.
pub fn gsi_count() -> u32 {
    let lines = LINES.lock();
    lines.apics.iter().map(|apic| apic.gsi_base + apic.lines.len() as u32).max().unwrap_or(0)
}

/// Routes a line to a vector and masks it; false when there is no such line.
pub fn gsi_route(gsi: u32, vector: u8, signal: Signal) -> bool {
    let level = if signal.is_level { LEVEL } else { 0 };
    let low = if signal.is_low { ACTIVE_LOW } else { 0 };
    with_line(gsi, |apic, line| apic.set(line, 0, u32::from(vector) | MASKED | level | low))
}

/// Masks a line; false when there is no such line.
pub fn gsi_mask(gsi: u32) -> bool {
    with_line(gsi, |apic, line| apic.set(line, 0, apic.lines[line as usize][0] | MASKED))
}

/// Unmasks a line, which comes to this CPU from now on: whoever serves it runs here, and is served best
/// where it sleeps. False when there is no such line. A level-triggered one, which was masked when it
/// fired, may fire again.
pub fn gsi_unmask(gsi: u32) -> bool {
    with_line(gsi, |apic, line| {
        apic.set(line, 1, apic::id_of(percpu::cpu_id().0) << 24);
        apic.set(line, 0, apic.lines[line as usize][0] & !MASKED);
    })
}
