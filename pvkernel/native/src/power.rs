//! The ends of this machine.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::boot::BootInfo;
use crate::{cpu, ports};

/// Power control of QEMU's machines, and what switches them off.
const PM1_CONTROL: u16 = 0x604;
const SLEEP_ENABLE: u16 = 1 << 13;
/// Reset control of PC chip sets.
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// QEMU's `isa-debug-exit`, and what Zendo writes there for the same reasons.
const DEBUG_EXIT: u16 = 0xf4;
const POWEROFF: u8 = 0x10;
const REBOOT: u8 = 0x11;
const CRASH: u8 = 0x12;

/// Whether the emulator is told why the machine ends (`exit=debug`).
static TELLS: AtomicBool = AtomicBool::new(false);

/// Reads the options.
pub(crate) fn init(boot: &BootInfo) {
    TELLS.store(boot.args().value("exit") == Some("debug"), Ordering::Relaxed);
}

fn tell(reason: u8) {
    if TELLS.load(Ordering::Relaxed) {
        write(DEBUG_EXIT, reason);
    }
}

fn write(port: u16, value: u8) {
    // SAFETY: the machine ends; where there is no such device, nothing happens.
    unsafe { ports::write_u8(port, value) };
}

/// Switches off.
pub fn poweroff() -> ! {
    tell(POWEROFF);
    // SAFETY: as in `write`.
    unsafe { ports::write_u16(PM1_CONTROL, SLEEP_ENABLE) };
    cpu::halt()
}

/// Starts anew.
pub fn reboot() -> ! {
    tell(REBOOT);
    write(RESET_CONTROL, 2);
    write(RESET_CONTROL, 6);
    write(KEYBOARD_COMMAND, KEYBOARD_RESET);
    cpu::halt()
}

/// Stops after something went wrong beyond repair, so that its last words can be read.
pub fn crash() -> ! {
    tell(CRASH);
    cpu::halt()
}
