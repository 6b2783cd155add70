//! Structures about a vCPU: context, affinity, scheduling, extended state.

use crate::addr::GuestVa;
use crate::ids::VcpuId;
use crate::macros::{abi_struct, consts};
use crate::xen::XenctlBitmap;

abi_struct! {
    /// `cmd::SETVCPUCONTEXT` and `cmd::GETVCPUCONTEXT`.
    VcpuContext {
        /// The vCPU.
        vcpu: VcpuId,
        /// Padding.
        _pad: u32,
        /// Address of a `regs::VcpuGuestContext`.
        ctxt: GuestVa,
    }
}

abi_struct! {
    /// `cmd::GETVCPUINFO`.
    GetVcpuInfo {
        /// In: the vCPU.
        vcpu: VcpuId,
        /// Out: it is up.
        online: u8,
        /// Out: it waits for an event.
        blocked: u8,
        /// Out: it is on a CPU.
        running: u8,
        /// Padding.
        _pad0: u8,
        /// Out: time it ran.
        cpu_time_ns: u64,
        /// Out: the CPU.
        cpu: u32,
        /// Padding.
        _pad1: u32,
    }
}

abi_struct! {
    /// `cmd::MAX_VCPUS`.
    MaxVcpus {
        /// Number of vCPUs, the same as at creation.
        max: u32,
    }
}

abi_struct! {
    /// `cmd::SETVCPUAFFINITY` and `cmd::GETVCPUAFFINITY`.
    VcpuAffinity {
        /// The vCPU.
        vcpu: VcpuId,
        /// `AFFINITY_*`.
        flags: u32,
        /// CPUs it may run on.
        cpumap_hard: XenctlBitmap,
        /// CPUs it should run on.
        cpumap_soft: XenctlBitmap,
    }
}

consts! { u32:
    /// The map of CPUs a vCPU may run on.
    AFFINITY_HARD = 1;
    /// The map of CPUs a vCPU should run on.
    AFFINITY_SOFT = 2;
    /// Even against an override.
    AFFINITY_FORCE = 4;
}

consts! { u32:
    /// Scheduler: credit.
    SCHEDULER_CREDIT = 5;
    /// Scheduler: credit2.
    SCHEDULER_CREDIT2 = 6;
    /// Scheduler: arinc653.
    SCHEDULER_ARINC653 = 7;
    /// Scheduler: rtds.
    SCHEDULER_RTDS = 8;
    /// Scheduler: null.
    SCHEDULER_NULL = 9;
}

consts! { u32:
    /// Sets the parameters of a domain.
    SCHEDOP_PUTINFO = 0;
    /// Gets the parameters of a domain.
    SCHEDOP_GETINFO = 1;
    /// Sets the parameters of vCPUs.
    SCHEDOP_PUTVCPUINFO = 2;
    /// Gets the parameters of vCPUs.
    SCHEDOP_GETVCPUINFO = 3;
}

abi_struct! {
    /// `cmd::SCHEDULER_OP`, with the parameters of schedulers with weights.
    SchedulerOp {
        /// `SCHEDULER_*`.
        sched_id: u32,
        /// `SCHEDOP_*`.
        cmd: u32,
        /// 1 to 65535.
        weight: u16,
        /// Percent of one CPU; 0 for no limit.
        cap: u16,
        /// Padding.
        _pad: [u32; 3],
    }
}

/// Weight of a new domain.
pub const SCHED_DEFAULT_WEIGHT: u16 = 256;

abi_struct! {
    /// `cmd::SENDTRIGGER`.
    SendTrigger {
        /// `TRIGGER_*`.
        trigger: u32,
        /// The vCPU.
        vcpu: VcpuId,
    }
}

consts! { u32:
    /// Non-maskable interrupt.
    TRIGGER_NMI = 0;
    /// Fully virtualized guests only.
    TRIGGER_RESET = 1;
    /// Fully virtualized guests only.
    TRIGGER_INIT = 2;
    /// Fully virtualized guests only.
    TRIGGER_POWER = 3;
    /// Fully virtualized guests only.
    TRIGGER_SLEEP = 4;
}

abi_struct! {
    /// `cmd::SET_EXT_VCPUCONTEXT` and `cmd::GET_EXT_VCPUCONTEXT`.
    ExtVcpuContext {
        /// The vCPU.
        vcpu: VcpuId,
        /// Bytes that are valid.
        size: u32,
        /// Entry point of SYSCALL from 32-bit code.
        syscall32_callback_eip: u64,
        /// Entry point of SYSENTER.
        sysenter_callback_eip: u64,
        /// Code segment of SYSCALL from 32-bit code.
        syscall32_callback_cs: u16,
        /// Code segment of SYSENTER.
        sysenter_callback_cs: u16,
        /// SYSCALL from 32-bit code masks events.
        syscall32_disables_events: u8,
        /// SYSENTER masks events.
        sysenter_disables_events: u8,
        /// Padding.
        _pad: u16,
        /// Machine check capabilities.
        mcg_cap: u64,
        /// Machine check controls of bank 0 and bank 1, then what a larger bank set would need.
        mci_ctl2: [u64; 3],
    }
}

abi_struct! {
    /// `cmd::SETVCPUEXTSTATE` and `cmd::GETVCPUEXTSTATE`.
    VcpuExtState {
        /// The vCPU.
        vcpu: VcpuId,
        /// Padding.
        _pad: u32,
        /// Parts of the state.
        xfeature_mask: u64,
        /// Bytes of the buffer.
        size: u64,
        /// Address of the buffer.
        buffer: GuestVa,
    }
}

abi_struct! {
    /// `cmd::GET_VCPU_MSRS` and `cmd::SET_VCPU_MSRS`.
    VcpuMsrs {
        /// The vCPU.
        vcpu: VcpuId,
        /// Entries.
        msr_count: u32,
        /// Address of the entries.
        msrs: GuestVa,
    }
}

abi_struct! {
    /// An entry of `VcpuMsrs`.
    VcpuMsr {
        /// Number of the register.
        index: u32,
        /// Must be 0.
        reserved: u32,
        /// Contents.
        value: u64,
    }
}
