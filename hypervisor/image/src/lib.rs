//! The hypervisor: hypercalls, domains and traps on top of the pure cores and the machine.
//!
//! This crate is safe Rust. It owns what neither side can own: the table of domains, the locks and
//! their order (see `LOCKING.md`), and the sequence in which decisions of `hv-core` are applied to
//! the machine of `hv-machine`. Entry points are in `main.rs`; start reading at `hypercall::entry`,
//! `trap::exception` and `exit::exit_work`.
#![cfg(target_os = "none")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod control;
pub mod counters;
pub mod current;
pub mod dom0;
pub mod domain;
pub mod events;
pub mod exit;
pub mod fpu;
pub mod guestmem;
pub mod host;
pub mod hypercall;
pub mod options;
pub mod pvtime;
pub mod sched;
pub mod switch;
pub mod trap;
pub mod upcall;
pub mod wake;
