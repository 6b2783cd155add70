//! Control of the machine: the part of `platform_op` a control domain needs.

use crate::addr::GuestVa;
use crate::macros::{abi_struct, consts};
use crate::payload::Payload;
use crate::xen::XENPF_INTERFACE_VERSION;
use zerocopy::{FromBytes, Immutable, IntoBytes};

consts! { u32:
    /// Sets the wall clock, 32 bits.
    SETTIME32 = 17;
    /// Memory types.
    ADD_MEMTYPE = 31;
    /// Memory types.
    DEL_MEMTYPE = 32;
    /// Memory types.
    READ_MEMTYPE = 33;
    /// Updates the CPU's microcode.
    MICROCODE_UPDATE = 35;
    /// Reports a peculiarity of the machine.
    PLATFORM_QUIRK = 39;
    /// Describes a CPU's model.
    GET_CPU_VERSION = 48;
    /// Calls the firmware.
    EFI_RUNTIME_CALL = 49;
    /// Asks what the firmware said at boot.
    FIRMWARE_INFO = 50;
    /// Puts the machine to sleep.
    ENTER_ACPI_SLEEP = 51;
    /// Reports a change of a CPU's rate.
    CHANGE_FREQ = 52;
    /// Idle times of the CPUs.
    GETIDLETIME = 53;
    /// Power states of a CPU.
    SET_PROCESSOR_PMINFO = 54;
    /// Describes a CPU.
    GET_CPUINFO = 55;
    /// Brings a CPU up.
    CPU_ONLINE = 56;
    /// Takes a CPU down.
    CPU_OFFLINE = 57;
    /// Adds a CPU.
    CPU_HOTADD = 58;
    /// Adds memory.
    MEM_HOTADD = 59;
    /// Keeps CPUs idle.
    CORE_PARKING = 60;
    /// Reads and writes model-specific registers.
    RESOURCE_OP = 61;
    /// Sets the wall clock, 64 bits.
    SETTIME64 = 62;
    /// Finds a name of the hypervisor.
    GET_SYMBOL = 63;
}

abi_struct! {
    /// The argument of `platform_op`.
    XenPlatformOp {
        /// A number of this module.
        cmd: u32,
        /// Must be `XENPF_INTERFACE_VERSION`.
        interface_version: u32,
        /// The structure of the command.
        u: Payload,
    }
}

impl XenPlatformOp {
    /// A request without structure.
    #[must_use]
    pub fn new(cmd: u32) -> Self {
        Self { cmd, interface_version: XENPF_INTERFACE_VERSION, u: Payload::default() }
    }

    /// A request with structure.
    #[must_use]
    pub fn with_payload<T: IntoBytes + Immutable>(cmd: u32, value: &T) -> Self {
        let mut op = Self::new(cmd);
        op.set_payload(value);
        op
    }

    /// The structure of the command.
    #[must_use]
    pub fn payload<T: FromBytes>(&self) -> T {
        self.u.get()
    }

    /// Replaces the structure of the command.
    pub fn set_payload<T: IntoBytes + Immutable>(&mut self, value: &T) {
        self.u.set(value);
    }
}

abi_struct! {
    /// Argument of `SETTIME32`.
    XenpfSettime32 {
        /// Wall clock, seconds.
        secs: u32,
        /// Wall clock, nanoseconds.
        nsecs: u32,
        /// System time at that moment.
        system_time_ns: u64,
    }
}

abi_struct! {
    /// Argument of `SETTIME64`.
    XenpfSettime64 {
        /// Wall clock, seconds.
        secs: u64,
        /// Wall clock, nanoseconds.
        nsecs: u32,
        /// Must be 0.
        mbz: u32,
        /// System time at that moment.
        system_time_ns: u64,
    }
}

abi_struct! {
    /// Head of the argument of `FIRMWARE_INFO`.
    XenpfFirmwareInfo {
        /// In: `FW_*`.
        kind: u32,
        /// In: which one of this kind.
        index: u32,
        /// Out: what the kind says.
        u: [u64; 4],
    }
}

consts! { u32:
    /// A disk.
    FW_DISK_INFO = 1;
    /// Signature of a disk.
    FW_DISK_MBR_SIGNATURE = 2;
    /// The screen.
    FW_VBEDDC_INFO = 3;
    /// Tables of the firmware.
    FW_EFI_INFO = 4;
    /// State of the keyboard.
    FW_KBD_SHIFT_FLAGS = 5;
}

abi_struct! {
    /// Argument of `ENTER_ACPI_SLEEP`.
    XenpfEnterAcpiSleep {
        /// Value for the first control register.
        val_a: u16,
        /// Value for the second control register.
        val_b: u16,
        /// 1 to 5.
        sleep_state: u32,
        /// `ACPI_SLEEP_EXTENDED` or 0.
        flags: u32,
    }
}

/// Flag of `XenpfEnterAcpiSleep`: the registers of hardware-reduced ACPI.
pub const ACPI_SLEEP_EXTENDED: u32 = 1;

abi_struct! {
    /// Argument of `GETIDLETIME`.
    XenpfGetidletime {
        /// Address of the bit map of CPUs, in and out.
        cpumap_bitmap: GuestVa,
        /// Bits of the map.
        cpumap_nr_cpus: u32,
        /// Padding.
        _pad: u32,
        /// Address of the times.
        idletime: GuestVa,
        /// Out: system time.
        now_ns: u64,
    }
}

abi_struct! {
    /// Argument of `GET_CPUINFO`.
    XenpfPcpuinfo {
        /// In: the CPU.
        xen_cpuid: u32,
        /// Out: largest number of a CPU.
        max_present: u32,
        /// Out: `PCPU_FLAGS_*`.
        flags: u32,
        /// Out: number in the interrupt controller.
        apic_id: u32,
        /// Out: number in ACPI.
        acpi_id: u32,
    }
}

/// Flag of `XenpfPcpuinfo`: the CPU is up.
pub const PCPU_FLAGS_ONLINE: u32 = 1;
/// Flag of `XenpfPcpuinfo`: there is no such CPU.
pub const PCPU_FLAGS_INVALID: u32 = 2;

abi_struct! {
    /// Argument of `GET_CPU_VERSION`.
    XenpfPcpuVersion {
        /// In: the CPU.
        xen_cpuid: u32,
        /// Out: largest number of a CPU.
        max_present: u32,
        /// Out: maker.
        vendor_id: [u8; 12],
        /// Out: family.
        family: u32,
        /// Out: model.
        model: u32,
        /// Out: stepping.
        stepping: u32,
    }
}

abi_struct! {
    /// Argument of `CPU_ONLINE` and `CPU_OFFLINE`.
    XenpfCpuOl {
        /// The CPU.
        cpuid: u32,
    }
}
