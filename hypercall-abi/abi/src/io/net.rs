//! Requests and responses of network devices.

use crate::ids::GrantRef;
use crate::macros::{abi_struct, consts};

/// Slots of a packet every back half accepts.
pub const NR_SLOTS_MIN: u32 = 18;
/// Most bytes of a packet.
pub const MAX_TX_SIZE: u32 = 0xffff;

consts! { u16:
    /// Outgoing: the checksum is to be made.
    TXF_CSUM_BLANK = 1;
    /// Outgoing: the contents are known to be good.
    TXF_DATA_VALIDATED = 2;
    /// Outgoing: the packet continues in the next request.
    TXF_MORE_DATA = 4;
    /// Outgoing: extra information follows.
    TXF_EXTRA_INFO = 8;
}

abi_struct! {
    /// An outgoing request.
    NetifTxRequest {
        /// The frame.
        gref: GrantRef,
        /// First byte in it.
        offset: u16,
        /// `TXF_*`.
        flags: u16,
        /// Returned with the response.
        id: u16,
        /// Bytes: of the packet in the first request, of the part in the others.
        size: u16,
    }
}

consts! { u8:
    /// Nothing.
    EXTRA_TYPE_NONE = 0;
    /// Segmentation.
    EXTRA_TYPE_GSO = 1;
    /// A multicast address to receive.
    EXTRA_TYPE_MCAST_ADD = 2;
    /// A multicast address to receive no more.
    EXTRA_TYPE_MCAST_DEL = 3;
    /// A hash.
    EXTRA_TYPE_HASH = 4;
    /// Flag: more extra information follows.
    EXTRA_FLAG_MORE = 1;
    /// Segmentation: TCP over IPv4.
    GSO_TYPE_TCPV4 = 1;
    /// Segmentation: TCP over IPv6.
    GSO_TYPE_TCPV6 = 2;
}

abi_struct! {
    /// Extra information in a slot of its own.
    NetifExtraInfo {
        /// `EXTRA_TYPE_*`.
        kind: u8,
        /// `EXTRA_FLAG_*`.
        flags: u8,
        /// What the kind says.
        u: [u16; 3],
    }
}

abi_struct! {
    /// An outgoing response.
    NetifTxResponse {
        /// From the request.
        id: u16,
        /// `RSP_*`.
        status: i16,
    }
}

abi_struct! {
    /// An incoming request: an empty frame.
    NetifRxRequest {
        /// Returned with the response.
        id: u16,
        /// Padding.
        pad: u16,
        /// The frame.
        gref: GrantRef,
    }
}

consts! { u16:
    /// Incoming: the contents are known to be good.
    RXF_DATA_VALIDATED = 1;
    /// Incoming: the checksum was not made.
    RXF_CSUM_BLANK = 2;
    /// Incoming: the packet continues in the next response.
    RXF_MORE_DATA = 4;
    /// Incoming: extra information follows.
    RXF_EXTRA_INFO = 8;
    /// Incoming: segmentation information comes first.
    RXF_GSO_PREFIX = 16;
}

abi_struct! {
    /// An incoming response.
    NetifRxResponse {
        /// From the request.
        id: u16,
        /// First byte in the frame.
        offset: u16,
        /// `RXF_*`.
        flags: u16,
        /// Bytes, or `RSP_*`.
        status: i16,
    }
}

consts! { i16:
    /// The packet was dropped.
    RSP_DROPPED = -2;
    /// Failed.
    RSP_ERROR = -1;
    /// Done.
    RSP_OKAY = 0;
    /// Answer to a slot with extra information.
    RSP_NULL = 1;
}
