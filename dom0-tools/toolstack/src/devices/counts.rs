//! What back halves count, for `zl top`.
//!
//! The control domain's back halves implement [`IoStats`]; whoever has none shows nothing.

use alloc::vec::Vec;
use hypercall_abi::DomId;

/// Counts of one network card since it exists, as the guest sees the directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounts {
    /// The number of the card.
    pub devid: u32,
    /// Bytes the guest sent.
    pub tx_bytes: u64,
    /// Frames the guest sent.
    pub tx_frames: u64,
    /// Frames of the guest that were dropped.
    pub tx_dropped: u64,
    /// Bytes the guest received.
    pub rx_bytes: u64,
    /// Frames the guest received.
    pub rx_frames: u64,
    /// Frames for the guest that were dropped.
    pub rx_dropped: u64,
}

/// Counts of one disk since it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// The number of the disk.
    pub devid: u32,
    /// How often the back half had no room for a request.
    pub out_of_room: u64,
    /// Read requests.
    pub reads: u64,
    /// Write requests.
    pub writes: u64,
    /// Sectors of 512 bytes read.
    pub read_sectors: u64,
    /// Sectors of 512 bytes written.
    pub written_sectors: u64,
}

/// Counts of the back halves of this control domain.
pub trait IoStats {
    /// Of the cards of a domain.
    fn nets(&self, domain: DomId) -> Vec<NetCounts>;
    /// Of the disks of a domain.
    fn disks(&self, domain: DomId) -> Vec<DiskCounts>;
}

/// No back halves, no counts.
pub struct NoIo;

impl IoStats for NoIo {
    fn nets(&self, _: DomId) -> Vec<NetCounts> {
        Vec::new()
    }

    fn disks(&self, _: DomId) -> Vec<DiskCounts> {
        Vec::new()
    }
}
