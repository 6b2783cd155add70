//! Ways to end: power off, reset, exit of the emulator, halt.

use crate::acpi;
use crate::cpu::{asm, inb, inw, outb, outl, outw, spin_until};
use crate::pure::acpi::Fadt;

const SLEEP_ENABLE: u16 = 1 << 13;
const ACPI_MODE: u16 = 1;
/// Power control ports of QEMU's machines, when the firmware's tables were not found.
const QEMU_PM1_CONTROL: u16 = 0x604;
/// Reset control of PC chip sets.
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// QEMU's `isa-debug-exit`.
const DEBUG_EXIT: u16 = 0xf4;
/// Looks at a port before a way is given up.
const TRIES: u32 = 100_000;

/// Switches the machine off.
pub fn poweroff() -> ! {
    let acpi = acpi::firmware().and_then(|firmware| firmware.fadt.zip(firmware.off_state));
    if let Some((fadt, sleep_types)) = acpi {
        enter_acpi_mode(&fadt);
        let controls = fadt.pm1_control.into_iter().zip(sleep_types);
        for (port, sleep_type) in controls.filter(|(port, _)| *port != 0) {
            let rest = inw(port) & !(7 << 10);
            outw(port, rest | u16::from(sleep_type & 7) << 10 | SLEEP_ENABLE);
        }
        pause();
    }
    outw(QEMU_PM1_CONTROL, SLEEP_ENABLE);
    pause();
    halt()
}

fn enter_acpi_mode(fadt: &Fadt) {
    let (port, value) = fadt.smi_command;
    let is_on = || inw(fadt.pm1_control[0]) & ACPI_MODE != 0;
    if port != 0 && value != 0 && !is_on() {
        outb(port, value);
        spin_until(TRIES, is_on);
    }
}

/// Time for the machine to react.
fn pause() {
    spin_until(TRIES, || false);
}

/// Resets the machine.
pub fn reboot() -> ! {
    if let Some((port, value)) = acpi::firmware().and_then(|firmware| firmware.fadt?.reset) {
        outb(port, value);
        pause();
    }
    outb(RESET_CONTROL, 2);
    outb(RESET_CONTROL, 6);
    pause();
    spin_until(TRIES, || inb(KEYBOARD_COMMAND) & 2 == 0);
    outb(KEYBOARD_COMMAND, KEYBOARD_RESET);
    pause();
    halt()
}

/// Ends QEMU with exit status `code * 2 + 1`, where it has the `isa-debug-exit` device; else returns.
pub fn debug_exit(code: u8) {
    outl(DEBUG_EXIT, u32::from(code));
}

/// Stops this CPU for ever.
pub fn halt() -> ! {
    loop {
        asm::cli_hlt();
    }
}
