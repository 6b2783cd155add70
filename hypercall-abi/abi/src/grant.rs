//! Grant tables: shared entries and the structures of `grant_table_op`.

use crate::addr::{GuestVa, Mfn};
use crate::ids::{DomId, GrantRef};
use crate::macros::{abi_struct, consts, newtype};

newtype! {
    /// What a mapping is unmapped by.
    GrantHandle(u32)
}

consts! { u32:
    /// Maps granted frames.
    MAP_GRANT_REF = 0;
    /// Unmaps them.
    UNMAP_GRANT_REF = 1;
    /// Finds (and grows) the caller's table.
    SETUP_TABLE = 2;
    /// Prints a table on the console.
    DUMP_TABLE = 3;
    /// Gives a frame away.
    TRANSFER = 4;
    /// Copies between frames.
    COPY = 5;
    /// Size of a table.
    QUERY_SIZE = 6;
    /// Unmaps and puts another mapping there.
    UNMAP_AND_REPLACE = 7;
    /// Chooses the layout of the table.
    SET_VERSION = 8;
    /// Frames of the status words of layout 2.
    GET_STATUS_FRAMES = 9;
    /// Layout of a table.
    GET_VERSION = 10;
    /// Exchanges two entries.
    SWAP_GRANT_REF = 11;
    /// Cache maintenance.
    CACHE_FLUSH = 12;
}

/// Number of entries with a fixed purpose.
pub const NR_RESERVED_ENTRIES: u32 = 8;
/// Entries of layout 1 in a page.
pub const V1_ENTRIES_PER_PAGE: u32 = 512;

abi_struct! {
    /// An entry of layout 1.
    GrantEntryV1 {
        /// A combination of module `gtf`.
        flags: u16,
        /// Who may use the entry.
        domid: DomId,
        /// Frame that is granted.
        frame: u32,
    }
}

/// Flags of a shared entry.
pub mod gtf {
    use crate::macros::consts;

    consts! { u16:
        /// Type: unused.
        INVALID = 0;
        /// Type: the frame may be used.
        PERMIT_ACCESS = 1;
        /// Type: a frame will be accepted.
        ACCEPT_TRANSFER = 2;
        /// Type: stands for another entry (layout 2).
        TRANSITIVE = 3;
        /// The bits that hold the type.
        TYPE_MASK = 3;
        /// Only for reading.
        READONLY = 1 << 2;
        /// In use for reading; set by the hypervisor.
        READING = 1 << 3;
        /// In use for writing; set by the hypervisor.
        WRITING = 1 << 4;
        /// Write-through.
        PWT = 1 << 5;
        /// Not cached.
        PCD = 1 << 6;
        /// Attribute bit.
        PAT = 1 << 7;
        /// Only a part of the frame (layout 2).
        SUB_PAGE = 1 << 8;
        /// Transfer is under way.
        TRANSFER_COMMITTED = 1 << 2;
        /// Transfer is complete.
        TRANSFER_COMPLETED = 1 << 3;
    }
}

abi_struct! {
    /// Argument of `MAP_GRANT_REF`.
    GnttabMapGrantRef {
        /// In: address, or machine address of the entry.
        host_addr: u64,
        /// In: a combination of module `gntmap`.
        flags: u32,
        /// In: the granter's entry.
        gref: GrantRef,
        /// In: the granter.
        dom: DomId,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Out: what to unmap with.
        handle: GrantHandle,
        /// Out: machine address for devices.
        dev_bus_addr: u64,
    }
}

/// Flags of `GnttabMapGrantRef`.
pub mod gntmap {
    use crate::macros::consts;

    consts! { u32:
        /// Map for devices.
        DEVICE_MAP = 1 << 0;
        /// Map for the CPU.
        HOST_MAP = 1 << 1;
        /// Only for reading.
        READONLY = 1 << 2;
        /// For user mode.
        APPLICATION_MAP = 1 << 3;
        /// `host_addr` is the machine address of a page-table entry.
        CONTAINS_PTE = 1 << 4;
        /// First of the bits copied to the entry's bits for the guest's own use.
        GUEST_AVAIL0 = 1 << 16;
        /// Those bits and all above.
        GUEST_AVAIL_MASK = !0 << 16;
    }
}

abi_struct! {
    /// Argument of `UNMAP_GRANT_REF`.
    GnttabUnmapGrantRef {
        /// In: where it is mapped, or 0.
        host_addr: u64,
        /// In: machine address for devices, or 0.
        dev_bus_addr: u64,
        /// In: from the map operation.
        handle: GrantHandle,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad: u16,
    }
}

abi_struct! {
    /// Argument of `SETUP_TABLE`.
    GnttabSetupTable {
        /// In: whose table.
        dom: DomId,
        /// Padding.
        _pad0: u16,
        /// In: wanted size in frames.
        nr_frames: u32,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad1: [u16; 3],
        /// Out, through the address: the frames.
        frame_list: GuestVa,
    }
}

abi_struct! {
    /// Argument of `DUMP_TABLE`.
    GnttabDumpTable {
        /// In: whose table.
        dom: DomId,
        /// Out: a number of module `gntst`.
        status: i16,
    }
}

abi_struct! {
    /// Argument of `TRANSFER`.
    GnttabTransfer {
        /// In: the frame.
        mfn: Mfn,
        /// In: who gets it.
        domid: DomId,
        /// Padding.
        _pad0: u16,
        /// In: its entry.
        gref: GrantRef,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad1: [u16; 3],
    }
}

abi_struct! {
    /// One side of a copy.
    GnttabCopyPtr {
        /// Entry or frame, as the flags of the copy say.
        u: u64,
        /// Granter, or the caller for a frame.
        domid: DomId,
        /// First byte in the frame.
        offset: u16,
        /// Padding.
        _pad: u32,
    }
}

impl GnttabCopyPtr {
    /// The side as an entry of the granter; only the low 32 bits are defined.
    #[must_use]
    pub const fn gref(&self) -> GrantRef {
        GrantRef::new(self.u as u32)
    }

    /// The side as a frame of the caller.
    #[must_use]
    pub const fn gmfn(&self) -> Mfn {
        Mfn::new(self.u)
    }
}

abi_struct! {
    /// Argument of `COPY`.
    GnttabCopy {
        /// In: from here.
        source: GnttabCopyPtr,
        /// In: to here.
        dest: GnttabCopyPtr,
        /// In: bytes.
        len: u16,
        /// In: `GNTCOPY_*`.
        flags: u16,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad: u16,
    }
}

/// Flag of `GnttabCopy`: the source is an entry.
pub const GNTCOPY_SOURCE_GREF: u16 = 1;
/// Flag of `GnttabCopy`: the destination is an entry.
pub const GNTCOPY_DEST_GREF: u16 = 2;

abi_struct! {
    /// Argument of `QUERY_SIZE`.
    GnttabQuerySize {
        /// In: whose table.
        dom: DomId,
        /// Padding.
        _pad0: u16,
        /// Out: frames now.
        nr_frames: u32,
        /// Out: most frames possible.
        max_nr_frames: u32,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad1: u16,
    }
}

abi_struct! {
    /// Argument of `UNMAP_AND_REPLACE`.
    GnttabUnmapAndReplace {
        /// In: where it is mapped.
        host_addr: u64,
        /// In: address whose mapping moves there.
        new_addr: u64,
        /// In: from the map operation.
        handle: GrantHandle,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad: u16,
    }
}

abi_struct! {
    /// Argument of `SET_VERSION`.
    GnttabSetVersion {
        /// In and out: 1 or 2.
        version: u32,
    }
}

abi_struct! {
    /// Argument of `GET_STATUS_FRAMES`.
    GnttabGetStatusFrames {
        /// In: wanted size in frames.
        nr_frames: u32,
        /// In: whose table.
        dom: DomId,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Out, through the address: the frames.
        frame_list: GuestVa,
    }
}

abi_struct! {
    /// Argument of `GET_VERSION`.
    GnttabGetVersion {
        /// In: whose table.
        dom: DomId,
        /// Padding.
        _pad: u16,
        /// Out: 1 or 2.
        version: u32,
    }
}

abi_struct! {
    /// Argument of `SWAP_GRANT_REF`.
    GnttabSwapGrantRef {
        /// In: an entry.
        ref_a: GrantRef,
        /// In: another entry.
        ref_b: GrantRef,
        /// Out: a number of module `gntst`.
        status: i16,
        /// Padding.
        _pad: u16,
    }
}

/// Result of one grant operation.
pub mod gntst {
    use crate::macros::consts;

    consts! { i16:
        /// Done.
        OKAY = 0;
        /// Any failure without a number of its own.
        GENERAL_ERROR = -1;
        /// No such domain.
        BAD_DOMAIN = -2;
        /// No such entry.
        BAD_GNTREF = -3;
        /// No such handle.
        BAD_HANDLE = -4;
        /// Unusable address.
        BAD_VIRT_ADDR = -5;
        /// Unusable device address.
        BAD_DEV_ADDR = -6;
        /// No room in the I/O tables.
        NO_DEVICE_SPACE = -7;
        /// Not allowed.
        PERMISSION_DENIED = -8;
        /// Unusable frame.
        BAD_PAGE = -9;
        /// The range leaves its frame.
        BAD_COPY_ARG = -10;
        /// The frame number is too large.
        ADDRESS_TOO_BIG = -11;
        /// Try again.
        EAGAIN = -12;
        /// No free handle.
        NO_SPACE = -13;
    }
}
