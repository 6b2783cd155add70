//! Xenstore as its users see it, and what two halves of a device say to each other through it.
//!
//! [`Store`] is what the front halves in guests (through the shared ring) and the back halves and the
//! toolstack in the control domain (directly) are written against. Nothing here moves bytes or waits.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod store;

pub use store::{retry, Perm, Rights, Store, Tx, WatchId, WatchSink};
