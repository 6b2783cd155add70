//! Control of vCPUs: the structures of `vcpu_op`. Its largest one is `regs::VcpuGuestContext`.

use crate::addr::{GuestVa, Mfn};
use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Sets the state of a vCPU that was never up.
    INITIALISE = 0;
    /// Brings it up.
    UP = 1;
    /// Takes it down.
    DOWN = 2;
    /// Asks whether it is up.
    IS_UP = 3;
    /// Times spent in each state.
    GET_RUNSTATE_INFO = 4;
    /// Has these times written to memory.
    REGISTER_RUNSTATE_MEMORY_AREA = 5;
    /// Arms the periodic timer.
    SET_PERIODIC_TIMER = 6;
    /// Stops the periodic timer.
    STOP_PERIODIC_TIMER = 7;
    /// Arms the one-shot timer.
    SET_SINGLESHOT_TIMER = 8;
    /// Stops the one-shot timer.
    STOP_SINGLESHOT_TIMER = 9;
    /// Moves the vCPU's shared structure.
    REGISTER_VCPU_INFO = 10;
    /// Sends a non-maskable interrupt.
    SEND_NMI = 11;
    /// Numbers of the CPU behind it.
    GET_PHYSID = 12;
    /// Has the time parameters written to memory.
    REGISTER_VCPU_TIME_MEMORY_AREA = 13;
}

/// States in `VcpuRunstateInfo`.
pub mod runstate {
    use crate::macros::consts;

    consts! { u32:
        /// On a CPU.
        RUNNING = 0;
        /// Could run, but does not.
        RUNNABLE = 1;
        /// Waits for an event.
        BLOCKED = 2;
        /// Down, paused or stopped.
        OFFLINE = 3;
        /// How many states there are.
        COUNT = 4;
    }
}

/// Bit of `state_entry_time_ns`: the structure is being written.
pub const RUNSTATE_UPDATE: u64 = 1 << 63;

abi_struct! {
    /// How a vCPU spent its time.
    VcpuRunstateInfo {
        /// A number of module `runstate`.
        state: u32,
        /// Padding.
        _pad: u32,
        /// System time at which the state was entered.
        state_entry_time_ns: u64,
        /// Time spent in each state.
        time_ns: [u64; 4],
    }
}

abi_struct! {
    /// Argument of `REGISTER_RUNSTATE_MEMORY_AREA`.
    VcpuRegisterRunstateMemoryArea {
        /// Where to write.
        addr: GuestVa,
    }
}

abi_struct! {
    /// Argument of `SET_PERIODIC_TIMER`.
    VcpuSetPeriodicTimer {
        /// Time between two events.
        period_ns: u64,
    }
}

/// Shortest period of the periodic timer.
pub const MIN_PERIOD_NS: u64 = 1_000_000;

abi_struct! {
    /// Argument of `SET_SINGLESHOT_TIMER`.
    VcpuSetSingleshotTimer {
        /// System time of the event.
        timeout_abs_ns: u64,
        /// `SSHOTTMR_FUTURE` or 0.
        flags: u32,
        /// Padding.
        _pad: u32,
    }
}

/// Flag of `VcpuSetSingleshotTimer`: the time is expected to lie in the future.
pub const SSHOTTMR_FUTURE: u32 = 1;

abi_struct! {
    /// Argument of `REGISTER_VCPU_INFO`.
    VcpuRegisterVcpuInfo {
        /// Frame of the new place.
        mfn: Mfn,
        /// Offset of the new place in the frame.
        offset: u32,
        /// Unused.
        rsvd: u32,
    }
}

abi_struct! {
    /// Result of `GET_PHYSID`.
    VcpuGetPhysid {
        /// Number in the interrupt controller in the low half, in ACPI in the high half.
        phys_id: u64,
    }
}

abi_struct! {
    /// Argument of `REGISTER_VCPU_TIME_MEMORY_AREA`.
    VcpuRegisterTimeMemoryArea {
        /// Where to write; 0 stops writing.
        addr: GuestVa,
    }
}
