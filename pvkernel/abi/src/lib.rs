//! What programs and the teaching kernel say to each other: numbers and layouts, nothing else.
//!
//! A system call is the instruction `syscall` with its number in `rax` and up to six arguments in `rdi`,
//! `rsi`, `rdx`, `r10`, `r8`, `r9`. The answer is in `rax`: not negative, or a negative [`Errno`]. `rcx` and
//! `r11` are clobbered, all other registers stay. Texts are an address and a length; they need no end
//! mark. Numbers of errors are those of Linux, so that they are known from elsewhere.
#![no_std]
#![forbid(unsafe_code)]

mod errno;
mod layout;
mod numbers;

pub use errno::Errno;
pub use layout::{
    DirEntry, FileKind, MemoryInfo, Process, ProcessState, Stat, StatFs, Text, NAME_MAX, PATH_MAX,
};
pub use numbers::{open, wait, Call, Seek};

/// Lowest address a program may use.
pub const USER_START: u64 = 0x1000;
/// First address behind those a program may use: the lower half less a page that stays empty.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;
/// Descriptors a process may have open.
pub const OPEN_MAX: usize = 64;
/// Arguments of a program, and bytes of all of them.
pub const ARG_MAX: (usize, usize) = (256, 32 * 1024);
/// Status of a process that a fault ended: this and the vector of the exception.
pub const STATUS_FAULT: i32 = 0x100;
/// Status of a process that was killed.
pub const STATUS_KILLED: i32 = 0x200;
