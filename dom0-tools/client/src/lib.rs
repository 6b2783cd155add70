//! What `zl` on the host and the control domain say to each other.
//!
//! A connection begins with a handshake (`handshake`, `auth`): both ends prove that they know the
//! token of the run, which itself is never sent. Then the host sends requests and gets replies
//! (`message`), each in a frame with its length in front (`frame`). Files travel in chunks with a
//! window and a check sum (`transfer`).
//!
//! Everything here is a state machine over bytes: no socket, no clock, no thread. The ends are the
//! service `zld` in the control domain's image and the program `zl` of the crate `zl-host`.
//!
//! Invariants: bytes may arrive cut anywhere; no byte of a peer makes anything here panic or take
//! more memory than the frame limit; before its proof a peer gets nothing but a refusal.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod auth;
pub mod crc;
pub mod doorman;
pub mod frame;
pub mod handshake;
pub mod message;
pub mod transfer;

pub use auth::Token;
pub use frame::{encode, FrameError, Frames};
pub use message::{Reply, Request};

/// Version of the protocol: the two ends must have the same.
pub const VERSION: u16 = 1;
/// The port of the management service in the control domain.
pub const PORT: u16 = 7420;
/// The file of the boot archive that holds the token, in hexadecimal digits.
pub const TOKEN_FILE: &str = "zl.token";
