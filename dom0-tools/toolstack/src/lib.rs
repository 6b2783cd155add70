//! The toolstack: creates, watches and destroys domains.
//!
//! `zl` and the services of the control domain call it. Everything that needs the machine goes
//! through the trait `client::Hypervisor`, so that the whole of it runs under `cargo test` on a
//! simulated hypervisor whose every call can be made to fail.
//!
//! Invariant: whatever fails on the way to a running domain, nothing of that domain is left: no
//! frame, no port, no mapping.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "fake"))]
extern crate std;

pub mod archive;
pub mod builder;
pub mod client;
pub mod config;
pub mod console;
pub mod devices;
pub mod error;
pub mod lifecycle;
pub mod staged;

pub use error::{Status, ToolError};
pub use lifecycle::Toolstack;
