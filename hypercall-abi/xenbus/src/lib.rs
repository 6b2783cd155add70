//! Xenstore as its users see it, and what two halves of a device say to each other through it.
//!
//! [`Store`] is what the front halves in guests (through the shared ring) and the back halves and the
//! toolstack in the control domain (directly) are written against; [`wire`] is how calls look as
//! bytes, [`path`] what a path may be, [`client`] the state of a connection, and
//! [`device`] how the two halves of a device find together. Nothing here moves bytes or waits.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod calls;
pub mod client;
pub mod device;
pub mod path;
pub mod registry;
pub mod states;
pub mod store;
pub mod wire;

pub use registry::Registry;
pub use states::State;
pub use store::{retry, Perm, Rights, Store, Tx, WatchId, WatchSink};
