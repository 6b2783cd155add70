//! The registers that end a PC, as QEMU emulates it.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::boot::BootInfo;
use crate::ports;

/// Power control of QEMU's machines, and what switches them off.
const PM1_CONTROL: u16 = 0x604;
const SLEEP_ENABLE: u16 = 1 << 13;
/// Reset control of PC chip sets.
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// QEMU's `isa-debug-exit`.
const DEBUG_EXIT: u16 = 0xf4;

/// The machine is switched off. These are what Zendo writes to `isa-debug-exit` for the same reasons.
pub(crate) const POWEROFF: u8 = 0x10;
/// It starts anew.
pub(crate) const REBOOT: u8 = 0x11;
/// It stops.
pub(crate) const CRASH: u8 = 0x12;

/// Whether the emulator is told why the machine ends (`exit=debug`).
static TELLS: AtomicBool = AtomicBool::new(false);

/// Reads the options.
pub(crate) fn init(boot: &BootInfo) {
    TELLS.store(boot.args().value("exit") == Some("debug"), Ordering::Relaxed);
}

fn write(port: u16, value: u8) {
    // SAFETY: the machine ends; where there is no such device, nothing happens.
    unsafe { ports::write_u8(port, value) };
}

/// Tells the emulator, if that is wished, and the chip set; what is asked for may take a moment.
pub(crate) fn end(reason: u8) {
    if TELLS.load(Ordering::Relaxed) {
        write(DEBUG_EXIT, reason);
    }
    match reason {
        // SAFETY: as in `write`.
        POWEROFF => unsafe { ports::write_u16(PM1_CONTROL, SLEEP_ENABLE) },
        REBOOT => {
            write(RESET_CONTROL, 2);
            write(RESET_CONTROL, 6);
            write(KEYBOARD_COMMAND, KEYBOARD_RESET);
        }
        _ => {}
    }
}
