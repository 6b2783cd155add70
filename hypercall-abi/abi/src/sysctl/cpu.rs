//! Structures about CPUs: idle time, topology, pools, features.

use crate::addr::GuestVa;
use crate::macros::{abi_struct, consts};
use crate::xen::XenctlBitmap;

abi_struct! {
    /// `cmd::GETCPUINFO`.
    GetCpuInfo {
        /// In: room for entries.
        max_cpus: u32,
        /// Padding.
        _pad0: u32,
        /// In: address of `CpuInfo` entries.
        info: GuestVa,
        /// Out: entries.
        nr_cpus: u32,
        /// Padding.
        _pad1: u32,
    }
}

abi_struct! {
    /// One CPU.
    CpuInfo {
        /// Time it did nothing.
        idletime_ns: u64,
    }
}

abi_struct! {
    /// `cmd::CPUTOPOINFO`.
    CpuTopoInfo {
        /// In: room for entries. Out: entries.
        num_cpus: u32,
        /// Padding.
        _pad: u32,
        /// Address of `CpuTopo` entries.
        cputopo: GuestVa,
    }
}

abi_struct! {
    /// Where a CPU sits.
    CpuTopo {
        /// Core.
        core: u32,
        /// Socket.
        socket: u32,
        /// Node.
        node: u32,
    }
}

/// The core, socket or node of a CPU that is not there.
pub const INVALID_TOPO_ID: u32 = !0;

abi_struct! {
    /// `cmd::CPUPOOL_OP`.
    CpupoolOp {
        /// `CPUPOOL_OP_*`.
        op: u32,
        /// In and out: pool.
        cpupool_id: u32,
        /// Scheduler of the pool.
        sched_id: u32,
        /// In: domain to move.
        domid: u32,
        /// In: CPU to add or remove.
        cpu: u32,
        /// Out: domains in the pool.
        n_dom: u32,
        /// CPUs of the pool.
        cpumap: XenctlBitmap,
    }
}

consts! { u32:
    /// Makes a pool.
    CPUPOOL_OP_CREATE = 1;
    /// Removes a pool.
    CPUPOOL_OP_DESTROY = 2;
    /// Describes a pool.
    CPUPOOL_OP_INFO = 3;
    /// Adds a CPU.
    CPUPOOL_OP_ADDCPU = 4;
    /// Removes a CPU.
    CPUPOOL_OP_RMCPU = 5;
    /// Moves a domain.
    CPUPOOL_OP_MOVEDOMAIN = 6;
    /// CPUs in no pool.
    CPUPOOL_OP_FREEINFO = 7;
    /// Any pool.
    CPUPOOL_PAR_ANY = 0xffff_ffff;
}

abi_struct! {
    /// `cmd::GET_CPU_LEVELLING_CAPS`.
    CpuLevellingCaps {
        /// Out: bit map.
        caps: u32,
    }
}

abi_struct! {
    /// `cmd::GET_CPU_FEATURESET`.
    CpuFeatureset {
        /// In: `FEATURESET_*`.
        index: u32,
        /// In: room for words. Out: words.
        nr_features: u32,
        /// Address of the words.
        features: GuestVa,
    }
}

consts! { u32:
    /// As the CPU is.
    FEATURESET_RAW = 0;
    /// As the hypervisor uses it.
    FEATURESET_HOST = 1;
    /// For paravirtualized domains.
    FEATURESET_PV = 2;
    /// For fully virtualized domains.
    FEATURESET_HVM = 3;
    /// The most a paravirtualized domain can have.
    FEATURESET_PV_MAX = 4;
    /// The most a fully virtualized domain can have.
    FEATURESET_HVM_MAX = 5;
}

abi_struct! {
    /// `cmd::GET_CPU_POLICY`.
    SystemCpuPolicy {
        /// In: `POLICY_*`.
        index: u32,
        /// In: room for leaves. Out: leaves.
        nr_leaves: u32,
        /// In: room for registers. Out: registers.
        nr_msrs: u32,
        /// Must be 0.
        _rsvd: u32,
        /// Address of `xen::XenCpuidLeaf` entries.
        leaves: GuestVa,
        /// Address of `xen::XenMsrEntry` entries.
        msrs: GuestVa,
    }
}

consts! { u32:
    /// As the CPU is.
    POLICY_RAW = 0;
    /// As the hypervisor uses it.
    POLICY_HOST = 1;
    /// The most a paravirtualized domain can have.
    POLICY_PV_MAX = 2;
    /// The most a fully virtualized domain can have.
    POLICY_HVM_MAX = 3;
    /// What a paravirtualized domain gets.
    POLICY_PV_DEFAULT = 4;
    /// What a fully virtualized domain gets.
    POLICY_HVM_DEFAULT = 5;
}
