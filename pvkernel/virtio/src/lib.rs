//! Virtio devices for the teaching kernel.
//!
//! The backend finds the devices on its bus and supplies memory, queues and interrupts; here they become
//! the devices of `pvkernel_core::device`. From below: [`queue`] is what is asked of a virtqueue,
//! [`setup`] the handshake with a device, [`disk`] and [`net`] the two kinds, [`runs`] the arithmetic of
//! the backend's pools of DMA memory.
//!
//! Invariants: nothing here waits or polls; what a device says is checked before it is used; no frame
//! and no transfer is copied more than once, and none allocates.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod disk;
pub mod net;
pub mod queue;
pub mod runs;
pub mod setup;
#[cfg(test)]
mod testkit;
