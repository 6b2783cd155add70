//! The second witness of a test: why the machine ended.
//!
//! With `exit=debug` on its command line Zendo writes the reason of dom0's shutdown to QEMU's
//! debug-exit port. QEMU then ends with the status `(value << 1) | 1`, so none of the values can be
//! taken for one of QEMU's own (0 and 1) or for a death by signal.

use std::fmt;
use std::process::ExitStatus;

/// Why the machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// dom0 shut down with reason poweroff.
    Poweroff,
    /// dom0 asked for a reboot.
    Reboot,
    /// dom0 crashed.
    Crash,
    /// dom0's watchdog fired.
    Watchdog,
    /// The hypervisor itself gave up.
    HypervisorPanic,
    /// QEMU ended by itself, without a word from the debug-exit port (ACPI power-off included).
    Plain(i32),
    /// QEMU was killed.
    Killed,
}

impl End {
    /// Reads the status of an ended QEMU.
    pub fn from_status(status: ExitStatus) -> End {
        match status.code() {
            Some(code) => End::from_code(code),
            None => End::Killed,
        }
    }

    /// Reads the number QEMU ended with.
    pub fn from_code(code: i32) -> End {
        let value = (code & 1 == 1).then_some(code >> 1);
        match value {
            Some(0x10) => End::Poweroff,
            Some(0x11) => End::Reboot,
            Some(0x12) => End::Crash,
            Some(0x13) => End::Watchdog,
            Some(0x20) => End::HypervisorPanic,
            _ => End::Plain(code),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Poweroff => write!(f, "poweroff"),
            End::Reboot => write!(f, "reboot"),
            End::Crash => write!(f, "crash of dom0"),
            End::Watchdog => write!(f, "watchdog of dom0"),
            End::HypervisorPanic => write!(f, "panic of the hypervisor"),
            End::Plain(code) => write!(f, "QEMU ended with status {code}"),
            End::Killed => write!(f, "QEMU was killed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_out_of_the_status_shifted_by_one() {
        assert_eq!(End::from_code(0x21), End::Poweroff);
        assert_eq!(End::from_code(0x23), End::Reboot);
        assert_eq!(End::from_code(0x25), End::Crash);
        assert_eq!(End::from_code(0x27), End::Watchdog);
        assert_eq!(End::from_code(0x41), End::HypervisorPanic);
    }

    #[test]
    fn qemus_own_statuses_are_no_reasons() {
        assert_eq!(End::from_code(0), End::Plain(0));
        assert_eq!(End::from_code(1), End::Plain(1));
        assert_eq!(End::from_code(0x20), End::Plain(0x20));
    }
}
