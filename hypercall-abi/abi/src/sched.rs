//! Yield, block, poll and shutdown: the structures of `sched_op`.

use crate::addr::GuestVa;
use crate::ids::DomId;
use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Gives up the CPU.
    YIELD = 0;
    /// Unmasks events and waits for one.
    BLOCK = 1;
    /// Stops the domain.
    SHUTDOWN = 2;
    /// Waits for one of a few ports.
    POLL = 3;
    /// Stops another domain.
    REMOTE_SHUTDOWN = 4;
    /// Says which reason a later stop shall have.
    SHUTDOWN_CODE = 5;
    /// Arms a watchdog.
    WATCHDOG = 6;
    /// Moves a vCPU to a CPU, for the hardware domain.
    PIN_OVERRIDE = 7;
}

/// Most ports of one `POLL`.
pub const MAX_POLL_PORTS: u32 = 128;

/// Why a domain stopped.
pub mod shutdown {
    use crate::macros::consts;

    consts! { u32:
        /// It powered off.
        POWEROFF = 0;
        /// It wants to be started again.
        REBOOT = 1;
        /// It is ready to be saved.
        SUSPEND = 2;
        /// It crashed.
        CRASH = 3;
        /// Its watchdog expired.
        WATCHDOG = 4;
        /// It wants a new start with its memory kept.
        SOFT_RESET = 5;
        /// The largest reason with a meaning.
        MAX = 5;
    }
}

abi_struct! {
    /// Argument of `SHUTDOWN` and `SHUTDOWN_CODE`.
    SchedShutdown {
        /// A number of module `shutdown`.
        reason: u32,
    }
}

abi_struct! {
    /// Argument of `POLL`.
    SchedPoll {
        /// Address of the list of ports.
        ports: GuestVa,
        /// Entries of the list.
        nr_ports: u32,
        /// Padding.
        _pad: u32,
        /// System time at which to give up; 0 means never.
        timeout_ns: u64,
    }
}

abi_struct! {
    /// Argument of `REMOTE_SHUTDOWN`.
    SchedRemoteShutdown {
        /// The domain to stop.
        domain_id: DomId,
        /// Padding.
        _pad: u16,
        /// A number of module `shutdown`.
        reason: u32,
    }
}

abi_struct! {
    /// Argument of `WATCHDOG`.
    SchedWatchdog {
        /// 0 for a new watchdog, or its number.
        id: u32,
        /// Seconds until it expires; 0 frees it.
        timeout_s: u32,
    }
}

abi_struct! {
    /// Argument of `PIN_OVERRIDE`.
    SchedPinOverride {
        /// The CPU, or negative to undo.
        pcpu: i32,
    }
}
