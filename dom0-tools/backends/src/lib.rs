//! The back halves of disks and network cards, and the switch between them, without a machine.
//!
//! The control domain's threads move the memory and the notifications.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod blk;
pub mod frame;
pub mod net;
pub mod switch;
