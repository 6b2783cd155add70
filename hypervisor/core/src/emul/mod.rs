//! Emulation of single guest instructions.
//!
//! A PV guest meets three kinds of instructions that ring 3 cannot execute as they are: privileged
//! ones (a general protection fault), writes to its own read-only page tables (a page fault), and
//! CPUID behind the forced-emulation prefix (an invalid opcode fault). This module decodes them
//! from a private copy of the instruction bytes and says what they do.
//!
//! The image fetches up to 15 bytes once, calls the front end that fits the fault, applies the
//! outcome and advances rip; everything that is not recognised goes to the guest as the fault it
//! was. Only 64-bit code is decoded.
//!
//! Invariants: decoding never reads the guest's code again, never panics and never accepts a form
//! whose length or operands the processor would see differently (`tests/emul_iced.rs` compares both
//! with an independent decoder). Whether a decoded instruction is permitted is decided by `cr`,
//! `io` and the other policies, not by the decoders.

pub mod alu;
pub mod apply;
pub mod code;
pub mod cr;
pub mod decode;
pub mod io;
pub mod privop;
pub mod regs;
pub mod store;

pub use apply::{apply, Outcome};
pub use code::Code;
pub use decode::DecodeError;
pub use privop::PrivOp;
pub use regs::{GuestRegs, Segment};
pub use store::{decode_store, Store};
