//! ext4 for the teaching kernel's tree of files.
//!
//! [`mount`] is what a system gives to `Vfs` for the system call `mount`. The format is `zl-files`, as the
//! control domain uses it; here are its disk, its errors, and the count of who uses a file.
//!
//! What always holds: one thread owns the file system and does one thing after another; the count of users
//! has a short lock, and names come and go only on that thread together with the count; a file without
//! names is freed by the last who lets go of it, or after a crash by the next mount.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod disk;
mod errors;
mod fs;
mod holds;
mod worker;

pub use disk::{format, mount};
pub use fs::Ext4;
