//! Requests and responses of block devices.

use crate::ids::GrantRef;
use crate::macros::{abi_struct, consts};

consts! { u8:
    /// Reads sectors.
    OP_READ = 0;
    /// Writes sectors.
    OP_WRITE = 1;
    /// Writes sectors after all writes before it.
    OP_WRITE_BARRIER = 2;
    /// Makes all finished writes durable.
    OP_FLUSH_DISKCACHE = 3;
    /// Forgets sectors.
    OP_DISCARD = 5;
    /// A request with its segments in other frames.
    OP_INDIRECT = 6;
}

/// Most segments in a request.
pub const MAX_SEGMENTS_PER_REQUEST: usize = 11;
/// Most frames with segments in an indirect request.
pub const MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8;
/// Segments in a frame of an indirect request.
pub const SEGMENTS_PER_INDIRECT_FRAME: usize = 512;
/// Bytes of a sector, whatever the device says.
pub const SECTOR_SIZE: usize = 512;

abi_struct! {
    /// A part of a frame.
    BlkifRequestSegment {
        /// The frame.
        gref: GrantRef,
        /// First sector in it.
        first_sect: u8,
        /// Last sector in it.
        last_sect: u8,
        /// Padding.
        _pad: u16,
    }
}

abi_struct! {
    /// A request.
    BlkifRequest {
        /// `OP_*`.
        operation: u8,
        /// Valid segments.
        nr_segments: u8,
        /// Device.
        handle: u16,
        /// Padding.
        _pad: u32,
        /// Returned with the response.
        id: u64,
        /// First sector on the device.
        sector_number: u64,
        /// Segments.
        seg: [BlkifRequestSegment; MAX_SEGMENTS_PER_REQUEST],
    }
}

abi_struct! {
    /// A request that forgets sectors.
    BlkifRequestDiscard {
        /// `OP_DISCARD`.
        operation: u8,
        /// 1: securely.
        flag: u8,
        /// Device.
        handle: u16,
        /// Padding.
        _pad: u32,
        /// Returned with the response.
        id: u64,
        /// First sector on the device.
        sector_number: u64,
        /// Sectors.
        nr_sectors: u64,
    }
}

abi_struct! {
    /// A request with its segments in other frames.
    BlkifRequestIndirect {
        /// `OP_INDIRECT`.
        operation: u8,
        /// The operation that is meant.
        indirect_op: u8,
        /// Segments.
        nr_segments: u16,
        /// Padding.
        _pad0: u32,
        /// Returned with the response.
        id: u64,
        /// First sector on the device.
        sector_number: u64,
        /// Device.
        handle: u16,
        /// Padding.
        _pad1: u16,
        /// Frames with the segments.
        indirect_grefs: [GrantRef; MAX_INDIRECT_PAGES_PER_REQUEST],
        /// Padding.
        _pad2: u32,
    }
}

abi_struct! {
    /// A response.
    BlkifResponse {
        /// From the request.
        id: u64,
        /// From the request.
        operation: u8,
        /// Padding.
        _pad0: u8,
        /// `RSP_*`.
        status: i16,
        /// Padding.
        _pad1: u32,
    }
}

consts! { i16:
    /// Done.
    RSP_OKAY = 0;
    /// Failed.
    RSP_ERROR = -1;
    /// The device cannot do that.
    RSP_EOPNOTSUPP = -2;
}

consts! { u32:
    /// Bit of the device's description: optical disc.
    VDISK_CDROM = 1;
    /// Bit of the device's description: can be taken out.
    VDISK_REMOVABLE = 2;
    /// Bit of the device's description: cannot be written.
    VDISK_READONLY = 4;
}
