//! Network cards.
//!
//! Frames are read and written where they lie: `receive` and `transmit` lend the memory to a closure
//! for the time of the call. A driver collects what it is told and publishes it with `flush`.

use alloc::boxed::Box;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Bytes of the Ethernet head in front of the IP packet; not part of the MTU.
pub const ETHERNET_HEAD: usize = 14;

/// What a card is and can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetInfo {
    /// Its address.
    pub mac: Mac,
    /// Most bytes behind the Ethernet head in a frame that is sent.
    pub mtu: usize,
    /// Whether frames may be sent with `checksum: Blank`, which saves reading them once more.
    pub sends_blank: bool,
    /// Whether the link is up.
    pub is_up: bool,
}

/// What is known about the transport checksum of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksum {
    /// In the frame, to be checked.
    #[default]
    Unknown,
    /// In the frame, and known to be right.
    Valid,
    /// Not filled in; the frame never left this machine, so its contents are right.
    Blank,
}

/// What goes with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameMeta {
    /// The transport checksum.
    pub checksum: Checksum,
    /// Most TCP payload bytes of a packet if this one must be cut up for a smaller network; 0 when it
    /// is a packet as it is (`gso` of the processor of the other half).
    pub segment: u16,
}

/// A network card.
pub trait NetDevice: Send + Sync {
    /// What it is.
    fn info(&self) -> NetInfo;

    /// Gives the oldest received frame to `consume`; false when there is none.
    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool;

    /// Lets `fill` write a frame of exactly `len` bytes, head included; false, without calling it,
    /// when there is no room now or the frame is too long.
    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool;

    /// Whether `transmit` of the largest frame would succeed now.
    fn can_transmit(&self) -> bool;

    /// Whether `receive` would find a frame.
    fn has_received(&self) -> bool;

    /// Publishes what was transmitted and gives the memory of what was received back to the card: one
    /// notification at most for each direction.
    fn flush(&self);

    /// Sets what is called when frames have arrived or room has become free.
    fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>);
}
