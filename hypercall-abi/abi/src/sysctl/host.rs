//! Structures about the machine as a whole: messages, memory, domains.

use crate::addr::GuestVa;
use crate::ids::DomId;
use crate::macros::{abi_flags, abi_struct};

abi_struct! {
    /// `cmd::READCONSOLE`.
    ReadConsole {
        /// In: not 0 empties the ring.
        clear: u8,
        /// In: not 0 starts at `index`.
        incremental: u8,
        /// Padding.
        _pad: [u8; 2],
        /// In and out: position in the stream of messages.
        index: u32,
        /// In: address of the buffer.
        buffer: GuestVa,
        /// In: room. Out: bytes.
        count: u32,
        /// Padding.
        _pad2: u32,
    }
}

abi_flags! {
    /// `PhysInfo::capabilities`.
    PhysCap(u32) {
        /// Fully virtualized guests.
        HVM = 1 << 0;
        /// Paravirtualized guests.
        PV = 1 << 1;
        /// Devices can be given away.
        DIRECTIO = 1 << 2;
        /// Hardware-assisted paging.
        HAP = 1 << 3;
        /// Shadow paging.
        SHADOW = 1 << 4;
        /// Device translation shares tables.
        IOMMU_HAP_PT_SHARE = 1 << 5;
        /// Processor traces.
        VMTRACE = 1 << 6;
        /// Performance counters.
        VPMU = 1 << 7;
        /// Layout 1 of grant tables.
        GNTTAB_V1 = 1 << 8;
        /// Layout 2 of grant tables.
        GNTTAB_V2 = 1 << 9;
    }
}

abi_struct! {
    /// `cmd::PHYSINFO`.
    PhysInfo {
        /// Threads of a core.
        threads_per_core: u32,
        /// Cores of a socket.
        cores_per_socket: u32,
        /// CPUs that are up.
        nr_cpus: u32,
        /// Largest number of a CPU.
        max_cpu_id: u32,
        /// Nodes.
        nr_nodes: u32,
        /// Largest number of a node.
        max_node_id: u32,
        /// Rate of the CPUs.
        cpu_khz: u32,
        /// What guests can have.
        capabilities: PhysCap,
        /// Architecture; 0.
        arch_capabilities: u32,
        /// Padding.
        _pad: u32,
        /// Frames of memory.
        total_pages: u64,
        /// Free frames.
        free_pages: u64,
        /// Frames waiting to be cleared.
        scrub_pages: u64,
        /// Frames claimed, but not allocated.
        outstanding_pages: u64,
        /// Largest frame.
        max_mfn: u64,
        /// Feature words of the CPU.
        hw_cap: [u32; 8],
    }
}

abi_struct! {
    /// `cmd::SCHED_ID`.
    SchedId {
        /// `domctl::SCHEDULER_*`.
        sched_id: u32,
    }
}

abi_struct! {
    /// `cmd::GETDOMAININFOLIST`.
    GetDomainInfoList {
        /// In: first number of interest.
        first_domain: DomId,
        /// Padding.
        _pad0: u16,
        /// In: room for entries.
        max_domains: u32,
        /// In: address of `domctl::GetDomainInfo` entries.
        buffer: GuestVa,
        /// Out: entries.
        num_domains: u32,
        /// Padding.
        _pad1: u32,
    }
}

abi_struct! {
    /// `cmd::DEBUG_KEYS`.
    DebugKeys {
        /// Address of the keys.
        keys: GuestVa,
        /// Number of keys.
        nr_keys: u32,
        /// Padding.
        _pad: u32,
    }
}

abi_struct! {
    /// `cmd::AVAILHEAP`.
    AvailHeap {
        /// Smallest width of addresses; 0 for no limit.
        min_bitwidth: u32,
        /// Largest width of addresses; 0 for no limit.
        max_bitwidth: u32,
        /// Node, or -1.
        node: i32,
        /// Padding.
        _pad: u32,
        /// Out: free bytes.
        avail_bytes: u64,
    }
}

abi_struct! {
    /// `cmd::NUMAINFO`.
    NumaInfo {
        /// In: room for nodes. Out: nodes.
        num_nodes: u32,
        /// Padding.
        _pad: u32,
        /// Address of `MemInfo` entries.
        meminfo: GuestVa,
        /// Address of the distances.
        distance: GuestVa,
    }
}

abi_struct! {
    /// One node.
    MemInfo {
        /// Bytes.
        memsize: u64,
        /// Free bytes.
        memfree: u64,
    }
}
