//! Boots images in QEMU and judges what they print.
//!
//! `cargo xtask test system`, `demo`, `bench` and `ci` call this crate; it knows nothing of cargo.
//! From the bottom up: [`qemu`] makes a command line with [`devices`], [`machine`] owns the running process and its
//! serial line, [`screen`] turns terminal output into the lines a person would see, [`dom0`] types
//! at the control domain's shell, [`verdict`] and [`exit_code`] are the two witnesses of a test
//! guest, [`hostile`] makes images nobody should boot, [`disk_image`] makes and
//! reads disks, and [`cases`] is the table of questions.
//!
//! What holds everywhere: every wait has a deadline and waits for text or for the end of a process,
//! never for time to pass; silence is a failure; a process is ended through its own handle.

#![forbid(unsafe_code)]

pub mod cases;
pub mod devices;
pub mod disk_image;
pub mod dom0;
pub mod exit_code;
pub mod hostile;
pub mod machine;
pub mod qemu;
pub mod screen;
pub mod session;
pub mod summary;
pub mod timed;
pub mod verdict;
