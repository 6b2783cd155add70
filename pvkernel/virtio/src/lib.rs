//! Virtio devices for the teaching kernel.
//!
//! The backend finds the devices on its bus and supplies memory and interrupts; here they become the
//! devices of `pvkernel_core::device`.
#![no_std]
#![forbid(unsafe_code)]
