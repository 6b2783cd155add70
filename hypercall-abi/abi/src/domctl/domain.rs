//! Structures about a whole domain: creation, description, memory, time.

use crate::addr::{GuestVa, Mfn};
use crate::ids::{DomId, EvtchnPort};
use crate::macros::{abi_flags, abi_struct, consts};
use crate::xen::{DomainHandle, XenArchDomainconfig, XenctlBitmap};

abi_flags! {
    /// `CreateDomain::flags`.
    Cdf(u32) {
        /// Fully virtualized.
        HVM = 1 << 0;
        /// Hardware-assisted paging.
        HAP = 1 << 1;
        /// Integrity over sleep.
        S3_INTEGRITY = 1 << 2;
        /// A matter of shadow paging.
        OOS_OFF = 1 << 3;
        /// Runs the store.
        XS_DOMAIN = 1 << 4;
        /// May get devices.
        IOMMU = 1 << 5;
        /// Runs a hypervisor of its own.
        NESTED_VIRT = 1 << 6;
        /// Performance counters.
        VPMU = 1 << 7;
    }
}

abi_struct! {
    /// `cmd::CREATEDOMAIN`.
    CreateDomain {
        /// Security label.
        ssidref: u32,
        /// UUID.
        handle: DomainHandle,
        /// Kind of domain.
        flags: Cdf,
        /// Options of device translation.
        iommu_opts: u32,
        /// Number of vCPUs, at least 1.
        max_vcpus: u32,
        /// Largest port.
        max_evtchn_port: u32,
        /// Most frames of the grant table; negative for the default.
        max_grant_frames: i32,
        /// Most frames of grant mappings; negative for the default.
        max_maptrack_frames: i32,
        /// Largest layout of the grant table in the low four bits.
        grant_opts: u32,
        /// Bytes of processor trace per vCPU.
        vmtrace_size: u32,
        /// CPU pool.
        cpupool_id: u32,
        /// Architecture.
        arch: XenArchDomainconfig,
    }
}

/// Bits of `CreateDomain::grant_opts` that hold the largest layout.
pub const GRANT_VERSION_MASK: u32 = 0xf;

abi_flags! {
    /// `GetDomainInfo::flags`; bits 23 to 16 hold the reason of a shutdown.
    Dominf(u32) {
        /// Destroyed, but some frames are still in use elsewhere.
        DYING = 1 << 0;
        /// Fully virtualized.
        HVM_GUEST = 1 << 1;
        /// Stopped by itself.
        SHUTDOWN = 1 << 2;
        /// Paused by the control domain.
        PAUSED = 1 << 3;
        /// No vCPU wants to run.
        BLOCKED = 1 << 4;
        /// A vCPU is on a CPU.
        RUNNING = 1 << 5;
        /// A debugger is attached.
        DEBUGGED = 1 << 6;
        /// Runs the store.
        XS_DOMAIN = 1 << 7;
        /// Hardware-assisted paging.
        HAP = 1 << 8;
        /// The reason of the shutdown.
        SHUTDOWN_MASK = 0xff << 16;
    }
}

impl Dominf {
    /// First bit of the reason of a shutdown.
    pub const SHUTDOWN_SHIFT: u32 = 16;

    /// The reason of the shutdown, a number of `sched::shutdown`; `None` if there was none.
    #[must_use]
    pub const fn shutdown_reason(self) -> Option<u32> {
        if self.contains(Self::SHUTDOWN) {
            Some(self.bits() >> Self::SHUTDOWN_SHIFT & 0xff)
        } else {
            None
        }
    }

    /// The same flags with `SHUTDOWN` set for this reason.
    #[must_use]
    pub const fn with_shutdown_reason(self, reason: u32) -> Self {
        let rest = self.bits() & !Self::SHUTDOWN_MASK.bits();
        let bits = (reason & 0xff) << Self::SHUTDOWN_SHIFT | Self::SHUTDOWN.bits();
        Self::from_bits_retain(rest | bits)
    }
}

abi_struct! {
    /// `cmd::GETDOMAININFO`.
    GetDomainInfo {
        /// Out: the domain.
        domain: DomId,
        /// Padding.
        _pad1: u16,
        /// Out: state.
        flags: Dominf,
        /// Out: frames it has.
        tot_pages: u64,
        /// Out: frames it may have.
        max_pages: u64,
        /// Out: frames claimed, but not allocated.
        outstanding_pages: u64,
        /// Out: frames shared by memory sharing.
        shr_pages: u64,
        /// Out: frames paged out.
        paged_pages: u64,
        /// Out: frame of the shared information.
        shared_info_frame: Mfn,
        /// Out: time its vCPUs ran.
        cpu_time_ns: u64,
        /// Out: vCPUs that are up.
        nr_online_vcpus: u32,
        /// Out: largest vCPU, or `INVALID_MAX_VCPU_ID`.
        max_vcpu_id: u32,
        /// Out: security label.
        ssidref: u32,
        /// Out: UUID.
        handle: DomainHandle,
        /// Out: CPU pool.
        cpupool: u32,
        /// Out: width of its addresses.
        gpaddr_bits: u8,
        /// Padding.
        _pad2: [u8; 7],
        /// Out: architecture.
        arch_config: XenArchDomainconfig,
    }
}

/// `GetDomainInfo::max_vcpu_id` of a domain without vCPUs.
pub const INVALID_MAX_VCPU_ID: u32 = !0;

abi_struct! {
    /// `cmd::GETPAGEFRAMEINFO3`.
    GetPageFrameInfo3 {
        /// Entries.
        num: u64,
        /// Address of the entries: frames in, types out.
        array: GuestVa,
    }
}

/// Most entries of `GetPageFrameInfo3`.
pub const PFINFO_MAX: u64 = 1024;

/// Types `GETPAGEFRAMEINFO3` reports.
pub mod pfinfo {
    use crate::macros::consts;

    consts! { u32:
        /// No page table.
        NOTAB = 0;
        /// Table of level 1.
        L1TAB = 1 << 28;
        /// Table of level 2.
        L2TAB = 2 << 28;
        /// Table of level 3.
        L3TAB = 3 << 28;
        /// Table of level 4.
        L4TAB = 4 << 28;
        /// The bits that hold the level.
        LTABTYPE_MASK = 7 << 28;
        /// Pinned.
        LPINTAB = 1 << 31;
        /// Not the domain's frame.
        XTAB = 0xf << 28;
        /// Only to be allocated.
        XALLOC = 0xe << 28;
        /// Broken.
        BROKEN = 0xd << 28;
        /// All bits with a meaning.
        LTAB_MASK = 0xf << 28;
    }
}

abi_struct! {
    /// Counters of `ShadowOp`.
    ShadowOpStats {
        /// Faults since the last clean.
        fault_count: u32,
        /// Frames written since the last clean.
        dirty_count: u32,
    }
}

abi_struct! {
    /// `cmd::SHADOW_OP`.
    ShadowOp {
        /// A number of module `shadow`.
        op: u32,
        /// Flags of the operation.
        mode: u32,
        /// Memory for shadow page tables in MiB.
        mb: u32,
        /// Padding.
        _pad: u32,
        /// Address of the bit map.
        dirty_bitmap: GuestVa,
        /// In: frames asked for. Out: frames reported.
        pages: u64,
        /// Out: counters.
        stats: ShadowOpStats,
    }
}

/// Operations of `ShadowOp`.
pub mod shadow {
    use crate::macros::consts;

    consts! { u32:
        /// Stops.
        OFF = 0;
        /// Starts shadow paging for a test.
        ENABLE_TEST = 1;
        /// Starts dirty logging.
        ENABLE_LOGDIRTY = 2;
        /// Fetches the bit map and clears it.
        CLEAN = 11;
        /// Fetches the bit map.
        PEEK = 12;
        /// Gets the memory.
        GET_ALLOCATION = 30;
        /// Sets the memory.
        SET_ALLOCATION = 31;
        /// Starts in a mode.
        ENABLE = 32;
        /// Mode: dirty logging.
        ENABLE_LOG_DIRTY = 1 << 2;
        /// Flag of a clean: the last one.
        LOGDIRTY_FINAL = 1;
    }
}

abi_struct! {
    /// `cmd::MAX_MEM`.
    MaxMem {
        /// KiB the domain may have.
        max_memkb: u64,
    }
}

abi_struct! {
    /// `cmd::SETDOMAINHANDLE`.
    SetDomainHandle {
        /// UUID.
        handle: DomainHandle,
    }
}

abi_struct! {
    /// `cmd::SETDEBUGGING`.
    SetDebugging {
        /// Not 0: attached.
        enable: u8,
    }
}

abi_struct! {
    /// `cmd::HYPERCALL_INIT`.
    HypercallInit {
        /// Frame to fill.
        gmfn: Mfn,
    }
}

abi_struct! {
    /// `cmd::SETTIMEOFFSET`.
    SetTimeOffset {
        /// Seconds to add to the wall clock.
        time_offset_s: i64,
    }
}

abi_struct! {
    /// `cmd::SET_ADDRESS_SIZE` and `cmd::GET_ADDRESS_SIZE`.
    AddressSize {
        /// Bits: 64.
        size: u32,
    }
}

abi_struct! {
    /// `cmd::SUBSCRIBE`.
    Subscribe {
        /// A port of the domain.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// `cmd::SET_TARGET`.
    SetTarget {
        /// The domain that is controlled.
        target: DomId,
    }
}

abi_struct! {
    /// `cmd::GETTSCINFO` and `cmd::SETTSCINFO`.
    TscInfo {
        /// `TSC_MODE_*`.
        tsc_mode: u32,
        /// Rate the domain sees.
        gtsc_khz: u32,
        /// How often it was restored.
        incarnation: u32,
        /// Padding.
        _pad: u32,
        /// Age of the domain.
        elapsed_ns: u64,
    }
}

consts! { u32:
    /// The counter is native where that is right.
    TSC_MODE_DEFAULT = 0;
    /// The counter is always emulated.
    TSC_MODE_ALWAYS_EMULATE = 1;
    /// The counter is never emulated.
    TSC_MODE_NEVER_EMULATE = 2;
}

abi_struct! {
    /// `cmd::SETNODEAFFINITY` and `cmd::GETNODEAFFINITY`.
    NodeAffinity {
        /// Bit map of the nodes.
        nodemap: XenctlBitmap,
    }
}

abi_struct! {
    /// `cmd::GET_PAGING_MEMPOOL_SIZE` and `cmd::SET_PAGING_MEMPOOL_SIZE`.
    PagingMempool {
        /// Bytes.
        size: u64,
    }
}

abi_struct! {
    /// `cmd::SETVNUMAINFO`.
    Vnuma {
        /// Virtual nodes.
        nr_vnodes: u32,
        /// Ranges of memory.
        nr_vmemranges: u32,
        /// vCPUs.
        nr_vcpus: u32,
        /// Padding.
        _pad: u32,
        /// Address of the distances.
        vdistance: GuestVa,
        /// Address of the nodes of the vCPUs.
        vcpu_to_vnode: GuestVa,
        /// Address of the physical nodes.
        vnode_to_pnode: GuestVa,
        /// Address of the ranges.
        vmemrange: GuestVa,
    }
}
