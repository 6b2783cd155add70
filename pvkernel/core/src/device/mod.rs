//! Devices as the kernel's upper halves see them.
//!
//! A driver (a PV front half, a virtio driver, a RAM disk, a port of dom0's switch) implements one of
//! the traits here; file systems, the network stack and dom0's back halves use them. The traits are
//! asynchronous: a call starts work and returns, the end is told by a callback. Callbacks run as event
//! handlers or inside a call into the driver, with no lock of the driver held; they may wake threads
//! and take short locks, but must not wait.

pub mod block;
#[cfg(feature = "net")]
pub mod loopback;
pub mod measure;
pub mod net;
pub mod ram;
