//! Hypercall numbers (`rax` at the SYSCALL instruction).

use crate::macros::consts;

consts! { u64:
    /// Installs exception handlers.
    SET_TRAP_TABLE = 0;
    /// Changes page-table entries by machine address.
    MMU_UPDATE = 1;
    /// Installs the frames of a global descriptor table.
    SET_GDT = 2;
    /// Sets the stack used on entry to the guest kernel.
    STACK_SWITCH = 3;
    /// Sets the event, failsafe and syscall entry points.
    SET_CALLBACKS = 4;
    /// Sets or clears the task-switched flag.
    FPU_TASKSWITCH = 5;
    /// The old form of `SCHED_OP`.
    SCHED_OP_COMPAT = 6;
    /// Control of the machine, for the control domain.
    PLATFORM_OP = 7;
    /// Writes a debug register.
    SET_DEBUGREG = 8;
    /// Reads a debug register.
    GET_DEBUGREG = 9;
    /// Writes one descriptor.
    UPDATE_DESCRIPTOR = 10;
    /// Memory reservation of a domain.
    MEMORY_OP = 12;
    /// Several hypercalls in one.
    MULTICALL = 13;
    /// Changes the lowest-level entry that maps an address.
    UPDATE_VA_MAPPING = 14;
    /// Arms the one-shot timer.
    SET_TIMER_OP = 15;
    /// The old form of `EVENT_CHANNEL_OP`.
    EVENT_CHANNEL_OP_COMPAT = 16;
    /// Version, features and names.
    XEN_VERSION = 17;
    /// The hypervisor's console.
    CONSOLE_IO = 18;
    /// The old form of `PHYSDEV_OP`.
    PHYSDEV_OP_COMPAT = 19;
    /// Grant tables.
    GRANT_TABLE_OP = 20;
    /// Turns assistance features on and off.
    VM_ASSIST = 21;
    /// `UPDATE_VA_MAPPING` with a frame of another domain.
    UPDATE_VA_MAPPING_OTHERDOMAIN = 22;
    /// Returns from an exception or event.
    IRET = 23;
    /// Control of the domain's own vCPUs.
    VCPU_OP = 24;
    /// Sets a segment base.
    SET_SEGMENT_BASE = 25;
    /// Pinning, root tables and flushes.
    MMUEXT_OP = 26;
    /// Security module.
    XSM_OP = 27;
    /// Non-maskable interrupt callback.
    NMI_OP = 28;
    /// Yield, block, poll and shut down.
    SCHED_OP = 29;
    /// Registers entry points one by one.
    CALLBACK_OP = 30;
    /// Profiling.
    XENOPROF_OP = 31;
    /// Event channels.
    EVENT_CHANNEL_OP = 32;
    /// Physical devices and interrupts.
    PHYSDEV_OP = 33;
    /// Fully virtualized guests.
    HVM_OP = 34;
    /// Control of the whole system, for the control domain.
    SYSCTL = 35;
    /// Control of one domain, for the control domain.
    DOMCTL = 36;
    /// Crash kernels.
    KEXEC_OP = 37;
    /// Transcendent memory; no longer exists.
    TMEM_OP = 38;
    /// Inter-domain messages.
    ARGO_OP = 39;
    /// Performance counters.
    XENPMU_OP = 40;
    /// Device models.
    DM_OP = 41;
    /// The hypervisor's file system of parameters.
    HYPFS_OP = 42;
    /// First number for architectures; machine checks on x86.
    ARCH_0 = 48;
    /// Last number for architectures.
    ARCH_7 = 55;
    /// Number of slots in the table: larger numbers do not exist.
    COUNT = 64;
}
