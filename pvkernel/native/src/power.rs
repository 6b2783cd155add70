//! The ends of this machine.

use crate::chipset::End::{self, Crash, Poweroff, Reboot};
use crate::{chipset, cpu};

fn end(reason: End) -> ! {
    chipset::end(reason);
    // What is asked for may take a moment; after a crash the last words can be read.
    cpu::halt()
}

/// Switches off.
pub fn poweroff() -> ! {
    end(Poweroff)
}

/// Starts anew.
pub fn reboot() -> ! {
    end(Reboot)
}

/// Reports that something went wrong beyond repair.
pub fn crash() -> ! {
    end(Crash)
}
