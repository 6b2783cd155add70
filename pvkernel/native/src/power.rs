//! The ends of this machine.

use crate::chipset::{self, CRASH, POWEROFF, REBOOT};
use crate::cpu;

fn end(reason: u8) -> ! {
    chipset::end(reason);
    cpu::halt()
}

/// Switches off.
pub fn poweroff() -> ! {
    end(POWEROFF)
}

/// Starts anew.
pub fn reboot() -> ! {
    end(REBOOT)
}

/// Reports that something went wrong beyond repair.
pub fn crash() -> ! {
    end(CRASH)
}
