//! Numbers of the `domctl` commands.

use crate::macros::consts;

consts! { u32:
    /// Makes an empty, paused domain.
    CREATEDOMAIN = 1;
    /// Destroys a domain.
    DESTROYDOMAIN = 2;
    /// Pauses a domain once more.
    PAUSEDOMAIN = 3;
    /// Takes back one pause.
    UNPAUSEDOMAIN = 4;
    /// Describes the first domain from a number on.
    GETDOMAININFO = 5;
    /// Sets where a vCPU may run.
    SETVCPUAFFINITY = 9;
    /// Shadow paging and dirty logging.
    SHADOW_OP = 10;
    /// Sets how much memory a domain may have.
    MAX_MEM = 11;
    /// Sets the state of a vCPU.
    SETVCPUCONTEXT = 12;
    /// Gets the state of a vCPU.
    GETVCPUCONTEXT = 13;
    /// Describes a vCPU.
    GETVCPUINFO = 14;
    /// Makes the vCPUs.
    MAX_VCPUS = 15;
    /// Scheduling parameters of a domain.
    SCHEDULER_OP = 16;
    /// Sets the UUID.
    SETDOMAINHANDLE = 17;
    /// Attaches a debugger.
    SETDEBUGGING = 18;
    /// Access to a physical interrupt.
    IRQ_PERMISSION = 19;
    /// Access to device memory.
    IOMEM_PERMISSION = 20;
    /// Access to I/O ports.
    IOPORT_PERMISSION = 21;
    /// Fills a hypercall page.
    HYPERCALL_INIT = 22;
    /// Shifts the wall clock.
    SETTIMEOFFSET = 24;
    /// Gets where a vCPU may run.
    GETVCPUAFFINITY = 25;
    /// Continues a suspended domain.
    RESUMEDOMAIN = 27;
    /// Sends a non-maskable interrupt.
    SENDTRIGGER = 28;
    /// Names the port that is notified when the domain is suspended.
    SUBSCRIBE = 29;
    /// Fully virtualized guests only.
    GETHVMCONTEXT = 33;
    /// Fully virtualized guests only.
    SETHVMCONTEXT = 34;
    /// Sets the word size of the guest.
    SET_ADDRESS_SIZE = 35;
    /// Gets the word size of the guest.
    GET_ADDRESS_SIZE = 36;
    /// Gives a device to a domain.
    ASSIGN_DEVICE = 37;
    /// Fully virtualized guests only.
    BIND_PT_IRQ = 38;
    /// Fully virtualized guests only.
    MEMORY_MAPPING = 39;
    /// Fully virtualized guests only.
    IOPORT_MAPPING = 40;
    /// Sets more state of a vCPU.
    SET_EXT_VCPUCONTEXT = 42;
    /// Gets more state of a vCPU.
    GET_EXT_VCPUCONTEXT = 43;
    /// Asks whether a device can be given away.
    TEST_ASSIGN_DEVICE = 45;
    /// Lets a domain control another.
    SET_TARGET = 46;
    /// Takes a device back.
    DEASSIGN_DEVICE = 47;
    /// Fully virtualized guests only.
    UNBIND_PT_IRQ = 48;
    /// Devices that belong together.
    GET_DEVICE_GROUP = 50;
    /// Fully virtualized guests only.
    DEBUG_OP = 54;
    /// Gets how time is made.
    GETTSCINFO = 59;
    /// Sets how time is made.
    SETTSCINFO = 60;
    /// Types of frames.
    GETPAGEFRAMEINFO3 = 61;
    /// Sets the extended FPU state.
    SETVCPUEXTSTATE = 62;
    /// Gets the extended FPU state.
    GETVCPUEXTSTATE = 63;
    /// Makes the domain the receiver of a virtual interrupt.
    SET_VIRQ_HANDLER = 66;
    /// Sets where memory comes from.
    SETNODEAFFINITY = 68;
    /// Gets where memory comes from.
    GETNODEAFFINITY = 69;
    /// Gets model-specific registers.
    GET_VCPU_MSRS = 72;
    /// Sets model-specific registers.
    SET_VCPU_MSRS = 73;
    /// Sets the virtual NUMA topology.
    SETVNUMAINFO = 74;
    /// Starts a domain anew with its memory kept.
    SOFT_RESET = 79;
    /// Gets what the CPU shows to a domain.
    GET_CPU_POLICY = 82;
    /// Sets what the CPU shows to a domain.
    SET_CPU_POLICY = 83;
    /// Gets the memory for shadow page tables.
    GET_PAGING_MEMPOOL_SIZE = 85;
    /// Sets the memory for shadow page tables.
    SET_PAGING_MEMPOOL_SIZE = 86;
}
