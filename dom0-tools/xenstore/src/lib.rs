//! The tree of configuration that all domains share: xenstore.
//!
//! Pure: messages in, answers and watch events out. The control domain's service moves the bytes.
//!
//! [`Server`] is the whole of it. Every operation, also a single one, runs as a [`transaction`] on
//! the [`tree`]: it notes what it saw, changes nothing until it ends, and ends with a conflict when
//! somebody changed what it saw. [`line`] is a domain's ring. Watches fire from what a transaction changed. [`Shared`] puts the
//! server behind a lock for the control domain's own threads, which call it directly.
//!
//! Invariants: every node's parent exists; a domain owns at most what its quota allows unless the
//! control domain gave it more; nothing of a domain's connection outlives its release; all memory a
//! domain can make the server use is bounded by [`Quota`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
pub mod key;
pub mod line;
pub mod outbox;
pub mod quota;
mod request;
pub mod server;
pub mod session;
pub mod shared;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod tree;
pub mod watch;

pub use access::{Perms, Who};
pub use quota::Quota;
pub use server::{Broken, Conn, Effect, Server};
pub use shared::{Hooks, Shared};
