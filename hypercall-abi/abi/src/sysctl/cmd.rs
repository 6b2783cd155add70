//! Numbers of the `sysctl` commands.

use crate::macros::consts;

consts! { u32:
    /// Reads the hypervisor's messages.
    READCONSOLE = 1;
    /// Trace buffers.
    TBUF_OP = 2;
    /// Describes the machine.
    PHYSINFO = 3;
    /// Names the scheduler.
    SCHED_ID = 4;
    /// Performance counters of the hypervisor.
    PERFC_OP = 5;
    /// Describes domains.
    GETDOMAININFOLIST = 6;
    /// Types keys on the hypervisor's console.
    DEBUG_KEYS = 7;
    /// Idle times of the CPUs.
    GETCPUINFO = 8;
    /// Free memory by width of addresses.
    AVAILHEAP = 9;
    /// Power management counters.
    GET_PMSTAT = 10;
    /// Takes CPUs down and up.
    CPU_HOTPLUG = 11;
    /// Power management.
    PM_OP = 12;
    /// Takes frames out of use.
    PAGE_OFFLINE_OP = 14;
    /// Lock counters.
    LOCKPROF_OP = 15;
    /// Describes cores, sockets and nodes.
    CPUTOPOINFO = 16;
    /// Describes nodes.
    NUMAINFO = 17;
    /// CPU pools.
    CPUPOOL_OP = 18;
    /// Parameters of the scheduler.
    SCHEDULER_OP = 19;
    /// Coverage of the hypervisor's code.
    COVERAGE_OP = 20;
    /// Cache monitoring.
    PSR_CMT_OP = 21;
    /// Nodes of devices.
    PCITOPOINFO = 22;
    /// Cache allocation.
    PSR_ALLOC = 23;
    /// How CPUID can be changed.
    GET_CPU_LEVELLING_CAPS = 25;
    /// Sets of CPU features.
    GET_CPU_FEATURESET = 26;
    /// Patches of the running hypervisor.
    LIVEPATCH_OP = 27;
    /// What the CPU can show to domains.
    GET_CPU_POLICY = 29;
}
