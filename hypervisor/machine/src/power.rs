//! Ways to end: power off, reset, exit of the emulator, halt.

use crate::acpi;
use crate::cpu::{asm, inb, inw, outb, outl, outw};

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
    if let (Some(fadt), Some([type_a, type_b])) = (acpi::fadt(), acpi::off_state()) {
        enter_acpi_mode(fadt);
        for (port, sleep_type) in fadt.pm1_control.into_iter().zip([type_a, type_b]) {
            if port != 0 {
                let rest = inw(port) & !(7 << 10);
                outw(port, rest | u16::from(sleep_type & 7) << 10 | SLEEP_ENABLE);
            }
        }
        pause();
    }
    outw(QEMU_PM1_CONTROL, SLEEP_ENABLE);
    pause();
    halt()
}

fn enter_acpi_mode(fadt: &acpi::parse::Fadt) {
    let (port, value) = fadt.smi_command;
    if port == 0 || value == 0 || inw(fadt.pm1_control[0]) & ACPI_MODE != 0 {
        return;
    }
    outb(port, value);
    for _ in 0..TRIES {
        if inw(fadt.pm1_control[0]) & ACPI_MODE != 0 {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Resets the machine.
pub fn reboot() -> ! {
    if let Some((port, value)) = acpi::fadt().and_then(|fadt| fadt.reset) {
        outb(port, value);
        pause();
    }
    outb(RESET_CONTROL, 2);
    outb(RESET_CONTROL, 6);
    pause();
    for _ in 0..TRIES {
        if inb(KEYBOARD_COMMAND) & 2 == 0 {
            break;
        }
        core::hint::spin_loop();
    }
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

/// Time for the machine to react.
fn pause() {
    for _ in 0..TRIES {
        core::hint::spin_loop();
    }
}
