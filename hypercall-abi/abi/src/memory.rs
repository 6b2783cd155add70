//! Memory reservation: the structures of `memory_op`.

use crate::addr::{GuestVa, Mfn};
use crate::ids::DomId;
use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Allocates frames.
    INCREASE_RESERVATION = 0;
    /// Gives frames back.
    DECREASE_RESERVATION = 1;
    /// Highest frame of memory plus one.
    MAXIMUM_RAM_PAGE = 2;
    /// Frames a domain has.
    CURRENT_RESERVATION = 3;
    /// Frames a domain may have.
    MAXIMUM_RESERVATION = 4;
    /// Frames of the machine-to-physical array.
    MACHPHYS_MFN_LIST = 5;
    /// Allocates frames for given pseudo-physical frames.
    POPULATE_PHYSMAP = 6;
    /// Translated guests only.
    ADD_TO_PHYSMAP = 7;
    /// The domain's memory map.
    MEMORY_MAP = 9;
    /// The machine's memory map.
    MACHINE_MEMORY_MAP = 10;
    /// Exchanges frames for others.
    EXCHANGE = 11;
    /// Where the machine-to-physical array is mapped.
    MACHPHYS_MAPPING = 12;
    /// Sets a domain's memory map.
    SET_MEMORY_MAP = 13;
    /// Highest pseudo-physical frame of a domain.
    MAXIMUM_GPFN = 14;
    /// Translated guests only.
    REMOVE_FROM_PHYSMAP = 15;
    /// Populate on demand, fully virtualized guests only.
    SET_POD_TARGET = 16;
    /// Populate on demand, fully virtualized guests only.
    GET_POD_TARGET = 17;
    /// Memory sharing.
    GET_SHARING_FREED_PAGES = 18;
    /// Memory sharing.
    GET_SHARING_SHARED_PAGES = 19;
    /// Translated guests only.
    ADD_TO_PHYSMAP_BATCH = 23;
    /// Sets memory aside for a domain.
    CLAIM_PAGES = 24;
    /// Frames of the 32-bit machine-to-physical array.
    MACHPHYS_COMPAT_MFN_LIST = 25;
    /// Virtual NUMA topology.
    GET_VNUMAINFO = 26;
    /// Memory reserved for devices.
    RESERVED_DEVICE_MEMORY_MAP = 27;
    /// Frames that belong to a domain's management.
    ACQUIRE_RESOURCE = 28;
}

/// Bits of the command that hold the operation; the rest belongs to continuations.
pub const CMD_MASK: u64 = 0x3f;
/// First bit of the command that belongs to continuations.
pub const CMD_START_EXTENT_SHIFT: u32 = 6;
/// Most entries of a domain's memory map.
pub const MAX_MEMORY_MAP_ENTRIES: u32 = 1024;

/// Fields of `XenMemoryReservation::mem_flags`.
pub mod memf {
    use crate::macros::consts;

    consts! { u32:
        /// Bits that limit the width of the frames' addresses; 0 means no limit.
        ADDRESS_BITS_MASK = 0xff;
        /// First bit of the node plus one.
        NODE_SHIFT = 8;
        /// Bits that hold the node plus one.
        NODE_MASK = 0xff << NODE_SHIFT;
        /// Fully virtualized guests only.
        POPULATE_ON_DEMAND = 1 << 16;
        /// Only from this node.
        EXACT_NODE_REQUEST = 1 << 17;
        /// The node is virtual.
        VNODE = 1 << 18;
    }
}

abi_struct! {
    /// A set of equally large extents of memory.
    XenMemoryReservation {
        /// Address of the list of frames.
        extent_start: GuestVa,
        /// Entries of the list.
        nr_extents: u64,
        /// log2 of the frames per entry.
        extent_order: u32,
        /// A combination of module `memf`.
        mem_flags: u32,
        /// Whose memory.
        domid: DomId,
        /// Padding.
        _pad: [u16; 3],
    }
}

abi_struct! {
    /// Argument of `EXCHANGE`.
    XenMemoryExchange {
        /// Frames to give.
        r#in: XenMemoryReservation,
        /// Frames to get; holds pseudo-physical frames on entry.
        out: XenMemoryReservation,
        /// In: 0. Out: entries of `in` that were exchanged.
        nr_exchanged: u64,
    }
}

abi_struct! {
    /// Argument of the operations that only need a domain.
    XenMemoryDomain {
        /// The domain.
        domid: DomId,
    }
}

abi_struct! {
    /// Argument of `MACHPHYS_MFN_LIST`.
    XenMachphysMfnList {
        /// In: capacity of the list.
        max_extents: u32,
        /// Padding.
        _pad0: u32,
        /// In: address of the list.
        extent_start: GuestVa,
        /// Out: entries written.
        nr_extents: u32,
        /// Padding.
        _pad1: u32,
    }
}

abi_struct! {
    /// Result of `MACHPHYS_MAPPING`.
    XenMachphysMapping {
        /// First address.
        v_start: u64,
        /// First address behind the array.
        v_end: u64,
        /// Largest frame that may be used as index.
        max_mfn: u64,
    }
}

abi_struct! {
    /// Argument of `MEMORY_MAP` and `MACHINE_MEMORY_MAP`.
    XenMemoryMap {
        /// In: capacity. Out: entries.
        nr_entries: u32,
        /// Padding.
        _pad: u32,
        /// Address of the entries.
        buffer: GuestVa,
    }
}

abi_struct! {
    /// Argument of `SET_MEMORY_MAP`.
    XenForeignMemoryMap {
        /// Whose map.
        domid: DomId,
        /// Padding.
        _pad: [u16; 3],
        /// The map.
        map: XenMemoryMap,
    }
}

/// One range of a memory map, in the 20-byte format of the firmware.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct E820Entry {
    /// First address, low and high half: the format has no padding in an array.
    pub addr: [u32; 2],
    /// Bytes, low and high half.
    pub size: [u32; 2],
    /// A number of module `e820`.
    pub kind: u32,
}

impl E820Entry {
    /// A range of `size` bytes from `addr`.
    #[must_use]
    pub const fn new(addr: u64, size: u64, kind: u32) -> Self {
        Self {
            addr: [addr as u32, (addr >> 32) as u32],
            size: [size as u32, (size >> 32) as u32],
            kind,
        }
    }

    /// First address.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.addr[0] as u64 | (self.addr[1] as u64) << 32
    }

    /// Number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.size[0] as u64 | (self.size[1] as u64) << 32
    }
}

/// Kinds of memory in a memory map.
pub mod e820 {
    use crate::macros::consts;

    consts! { u32:
        /// Memory.
        RAM = 1;
        /// Not to be used.
        RESERVED = 2;
        /// Tables that may be freed after use.
        ACPI = 3;
        /// To be kept over sleep.
        NVS = 4;
        /// Broken.
        UNUSABLE = 5;
    }
}

abi_struct! {
    /// Argument of `ACQUIRE_RESOURCE`.
    XenMemAcquireResource {
        /// In: whose resource.
        domid: DomId,
        /// In: a number of module `resource`.
        kind: u16,
        /// In: which one of this kind.
        id: u32,
        /// In: frames wanted. Out, without a list: frames there are.
        nr_frames: u32,
        /// In: 0.
        pad: u32,
        /// In: first frame of the resource.
        frame: u64,
        /// Address of the list.
        frame_list: GuestVa,
    }
}

/// Kinds of resource and their parts.
pub mod resource {
    /// Kind: device model servers.
    pub const IOREQ_SERVER: u16 = 0;
    /// Kind: the grant table.
    pub const GRANT_TABLE: u16 = 1;
    /// Kind: processor traces.
    pub const VMTRACE_BUF: u16 = 2;
    /// Grant table: the shared entries.
    pub const GRANT_TABLE_ID_SHARED: u32 = 0;
    /// Grant table: the status words.
    pub const GRANT_TABLE_ID_STATUS: u32 = 1;
}

abi_struct! {
    /// Argument of `RESERVED_DEVICE_MEMORY_MAP`.
    XenReservedDeviceMemoryMap {
        /// In: `RDM_ALL` or 0.
        flags: u32,
        /// In: capacity. Out: entries.
        nr_entries: u32,
        /// Address of the entries.
        buffer: GuestVa,
        /// In: the device: segment, bus and function.
        dev: u32,
        /// Padding.
        _pad: u32,
    }
}

/// Flag of `XenReservedDeviceMemoryMap`: all devices.
pub const RDM_ALL: u32 = 1;

abi_struct! {
    /// An entry of `RESERVED_DEVICE_MEMORY_MAP`.
    XenReservedDeviceMemory {
        /// First frame.
        start_pfn: Mfn,
        /// Number of frames.
        nr_pages: u64,
    }
}
