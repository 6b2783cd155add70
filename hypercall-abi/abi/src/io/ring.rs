//! The head of a shared ring of requests and responses.

use crate::addr::PAGE_SIZE;
use crate::macros::abi_struct;

abi_struct! {
    /// The first 64 bytes of a ring; the slots follow.
    SringHeader {
        /// Requests written.
        req_prod: u32,
        /// Notify when this many requests are written.
        req_event: u32,
        /// Responses written.
        rsp_prod: u32,
        /// Notify when this many responses are written.
        rsp_event: u32,
        /// Private and padding.
        _pad: [u32; 12],
    }
}

/// Bytes before the first slot.
pub const HEADER_SIZE: usize = core::mem::size_of::<SringHeader>();

impl SringHeader {
    /// The head of a ring that was never used.
    #[must_use]
    pub const fn initial() -> Self {
        Self { req_prod: 0, req_event: 1, rsp_prod: 0, rsp_event: 1, _pad: [0; 12] }
    }
}

/// Slots of a ring of one page: the largest power of two that fits.
#[must_use]
pub const fn slots_per_page(slot_size: usize) -> u32 {
    match (PAGE_SIZE - HEADER_SIZE).checked_div(slot_size) {
        None | Some(0) => 0,
        Some(fit) => 1 << fit.ilog2(),
    }
}
