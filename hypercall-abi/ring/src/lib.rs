//! Index arithmetic of the shared rings of the PV protocols.
//!
//! Used by pvkernel (console, store, disks, network cards), and by the services of dom0 that are their
//! other ends. Both ends of a ring lie in memory the other domain can write at any moment, so nothing
//! in it is believed: each end keeps its own index privately, checks the other's index on every
//! use, and gives up on a ring whose indices make no sense.
//!
//! Invariant: whatever the other end does, no access leaves the ring, no function loops more often
//! than the caller's buffer or the ring is long, and nothing panics.
//!
//! The crate does not map memory, send notifications or wait; it says when to notify.
#![no_std]
#![forbid(unsafe_code)]

mod byte;
mod net;
mod page;
mod slot;

pub use byte::{ByteRing, Consumer, Producer};
pub use net::{NetRxPage, NetTxPage, RxSlot, TxSlot, NET_SLOTS};
pub use page::{AtomicByteRing, ConsolePage, XenstorePage};
pub use slot::{BackRing, FrontRing, PushError, SlotRing};

/// The indices of a ring are impossible: the other end is broken or hostile and the connection has
/// to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingCorrupt {
    /// Distance between the indices that was found.
    pub distance: u32,
    /// Largest distance that makes sense.
    pub limit: u32,
}

impl core::fmt::Display for RingCorrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ring indices are {} apart, at most {} is possible", self.distance, self.limit)
    }
}

impl core::error::Error for RingCorrupt {}

/// Distance from `cons` to `prod` of free-running indices, if it is possible at all.
fn filled(prod: u32, cons: u32, limit: u32) -> Result<u32, RingCorrupt> {
    let distance = prod.wrapping_sub(cons);
    if distance > limit {
        Err(RingCorrupt { distance, limit })
    } else {
        Ok(distance)
    }
}
