//! What runs in ring 3: the library of programs.
//!
//! `sys` has the system calls, `start` the way into a program and its end, `heap` its memory; these three
//! hold the unsafe code. `file`, `io`, `process` and `system` are what programs use. `shell`, `edit`, `regex`,
//! `text` and `random` decide without any system call, and are tested on the host; there a system call
//! answers that it does not exist.
//!
//! A program is `#![no_main]`, names its function with `program!(main)` and returns its status. What goes
//! wrong is one line on descriptor 2, `name: what: why` (`complain`), and a status that is not 0.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod edit;
pub mod file;
#[allow(unsafe_code)]
mod heap;
pub mod io;
pub mod process;
pub mod random;
pub mod regex;
pub mod shell;
#[allow(unsafe_code)]
pub mod start;
#[allow(unsafe_code)]
pub mod sys;
pub mod system;
pub mod text;

pub use file::File;
pub use pvkernel_abi::{self as abi, Errno};

/// What a system call gives, or why it failed.
pub type Result<T> = core::result::Result<T, Errno>;

/// Names the function a program begins with: from its arguments, the first of which is its own name, to
/// its status.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[allow(unsafe_code)]
        #[export_name = "program_main"]
        fn program_main_entry(args: &[&'static str]) -> i32 {
            let main: fn(&[&'static str]) -> i32 = $main;
            main(args)
        }

        #[cfg(not(target_os = "none"))]
        #[allow(unsafe_code)]
        #[export_name = "main"]
        extern "C" fn host_main() -> i32 {
            let _: fn(&[&'static str]) -> i32 = $main;
            1
        }
    };
}
