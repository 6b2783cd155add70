//! The interrupt controllers: the processor's own (local APIC) with its timer, and the one of devices
//! (I/O APIC).
//!
//! Both are at the addresses every PC has them; the controllers of the first PCs are masked. Line `n`
//! of the I/O APIC has vector `LINES + n`. Lines are masked until somebody has a handler for them.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use crate::event::masked;
use crate::registers::Registers;
use crate::{cpu, ports};

/// Vector of line 0.
const LINES: u8 = 32;
/// Vector of the timer, behind those of devices.
const TIMER: u8 = 62;
/// Vector of interrupts that went away before they were delivered: the last one that has a stub. Some
/// controllers make the lower four bits 1.
const SPURIOUS: u8 = 63;

const IO_APIC: u64 = 0xfec0_0000;

const ID: usize = 0x20;
const TPR: usize = 0x80;
const EOI: usize = 0xb0;
const SPURIOUS_VECTOR: usize = 0xf0;
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

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const LEVEL: u32 = 1 << 15;

/// Data ports of the two old controllers.
const OLD_MASKS: [u16; 2] = [0x21, 0xa1];

/// What an interrupt comes by: a line of the I/O APIC, or the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line(u32);

impl Line {
    /// The timer's.
    pub(crate) const TIMER: Self = Self((TIMER - LINES) as u32);

    /// Whose vector it is; nobody's if the interrupt went away.
    pub(crate) fn of_vector(vector: u8) -> Option<Self> {
        (LINES..SPURIOUS).contains(&vector).then(|| Self(u32::from(vector - LINES)))
    }

    /// Its number, less than 64.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    const fn register(self) -> u32 {
        REDIRECTION + 2 * self.0
    }
}

/// The controller has no such line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLine;

impl NoLine {
    /// For a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        "the interrupt controller has no such line"
    }
}

/// Lines that are masked when they fire.
static HELD: AtomicU64 = AtomicU64::new(0);

struct Apics {
    local: Registers,
    io: Registers,
}

static APICS: Once<Apics> = Once::new();

fn apics() -> &'static Apics {
    APICS.get().expect("the controllers are mapped at boot")
}

/// Maps the controllers and turns them on, all sources masked.
pub(crate) fn init() {
    // SAFETY: every processor with 64-bit mode has the register.
    let base = unsafe { cpu::rdmsr(cpu::msr::APIC_BASE) } & 0x000f_ffff_ffff_f000;
    let map = |address, len| Registers::map(address, len).expect("memory for page tables");
    let Apics { local, .. } =
        APICS.call_once(|| Apics { local: map(base, 0x400), io: map(IO_APIC, 0x20) });
    for port in OLD_MASKS {
        // SAFETY: a masked controller is silent.
        unsafe { ports::write_u8(port, 0xff) };
    }
    let state = [
        (TPR, 0),
        (LVT_LINT0, MASKED),
        (LVT_LINT1, MASKED),
        (LVT_ERROR, MASKED),
        (TIMER_DIVIDE, DIVIDE_BY_1),
        (LVT_TIMER, u32::from(TIMER)),
        (SPURIOUS_VECTOR, ENABLED | u32::from(SPURIOUS)),
    ];
    state.into_iter().for_each(|(register, value)| local.write(register, value));
    (0..line_count()).for_each(|line| write_io(REDIRECTION + 2 * line, MASKED));
}

/// Acknowledges the interrupt that was taken last.
pub(crate) fn eoi() {
    apics().local.write(EOI, 0);
}

/// Starts the timer; it fires once after so many ticks, or never for 0.
pub(crate) fn timer_start(ticks: u32) {
    apics().local.write(TIMER_INITIAL, ticks);
}

/// Ticks left.
pub(crate) fn timer_left() -> u32 {
    apics().local.read(TIMER_CURRENT)
}

fn read_io(register: u32) -> u32 {
    apics().io.write(SELECT, register);
    apics().io.read(WINDOW)
}

fn write_io(register: u32, value: u32) {
    apics().io.write(SELECT, register);
    apics().io.write(WINDOW, value);
}

/// Lines there are that have a vector.
fn line_count() -> u32 {
    ((read_io(VERSION) >> 16 & 0xff) + 1).min(Line::TIMER.0)
}

/// Routes a line to this processor, masked; one of a PCI device asks as long as its device wants something
/// (`is_level`), one of the ISA bus when it begins to want it.
///
/// # Errors
/// `NoLine`.
pub(crate) fn route(line: u32, is_level: bool) -> Result<Line, NoLine> {
    masked(|| {
        let line = Some(Line(line)).filter(|line| line.0 < line_count()).ok_or(NoLine)?;
        let level = if is_level { LEVEL } else { 0 };
        HELD.fetch_or(u64::from(is_level) << line.0, Ordering::Relaxed);
        write_io(line.register() + 1, apics().local.read(ID) & 0xff00_0000);
        write_io(line.register(), (u32::from(LINES) + line.0) | level | MASKED);
        Ok(line)
    })
}

/// Called when a line fires: one that asks until its device is content is masked.
pub(crate) fn hold(line: Line) {
    if HELD.load(Ordering::Relaxed) >> line.0 & 1 != 0 {
        write_io(line.register(), read_io(line.register()) | MASKED);
    }
}

/// Unmasks a line; it fires again if its device still wants something. The timer is never masked.
pub(crate) fn unmask(line: Line) {
    if line != Line::TIMER {
        masked(|| write_io(line.register(), read_io(line.register()) & !MASKED));
    }
}
