//! The console ring: one page between a domain and the console service.

use crate::macros::abi_struct;

/// Bytes of the ring towards the guest.
pub const IN_SIZE: usize = 1024;
/// Bytes of the ring from the guest.
pub const OUT_SIZE: usize = 2048;

abi_struct! {
    /// The page. Indices run freely and are masked by the size of their ring.
    XenconsInterface {
        /// Towards the guest.
        r#in: [u8; IN_SIZE],
        /// From the guest.
        out: [u8; OUT_SIZE],
        /// Read so far by the guest.
        in_cons: u32,
        /// Written so far by the service.
        in_prod: u32,
        /// Read so far by the service.
        out_cons: u32,
        /// Written so far by the guest.
        out_prod: u32,
    }
}

/// Offset of `in_cons` in the page.
pub const OFFSET_IN_CONS: usize = core::mem::offset_of!(XenconsInterface, in_cons);
/// Offset of `in_prod` in the page.
pub const OFFSET_IN_PROD: usize = core::mem::offset_of!(XenconsInterface, in_prod);
/// Offset of `out_cons` in the page.
pub const OFFSET_OUT_CONS: usize = core::mem::offset_of!(XenconsInterface, out_cons);
/// Offset of `out_prod` in the page.
pub const OFFSET_OUT_PROD: usize = core::mem::offset_of!(XenconsInterface, out_prod);
