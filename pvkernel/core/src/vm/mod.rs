//! Memory of processes.
//!
//! A `Space` knows what a process may have where (regions), which frames it has there (slots), and tells
//! the machine's page tables through `platform::User`. A `Pool` counts the users of each frame. The tables
//! are a cache of the slots: a page is entered when the program first touches it, so `fork` copies slots
//! and no tables.
//!
//! Who uses it: `proc` for fork, exec, exit and page faults, `syscall` to copy from and to programs.
//!
//! What always holds: a frame has as many users as slots hold it; an entry that permits writing belongs to
//! a frame with one user, or lies in a block that is kept from being written; the kernel follows no pointer
//! of a program, it looks up the frame.

mod copy;
mod fork;
mod pool;
mod region;
mod space;
#[cfg(test)]
mod tests;

pub use pool::Pool;
pub use region::{Growth, Region};
pub use space::{Denied, Space, Want};

/// Bytes of a page.
pub const PAGE: u64 = pvkernel_abi::PAGE_SIZE;

/// Behind the last address of the stack. All of a process lies in the first GiB, so that few tables do.
pub const STACK_TOP: u64 = 1 << 30;
/// Bytes to which a stack grows.
pub const STACK_BYTES: u64 = 8 << 20;
/// First address that neither program nor heap may use: a MiB below the stack stays empty.
pub const HEAP_LIMIT: u64 = STACK_TOP - STACK_BYTES - (1 << 20);

/// The kernel's own frames: processes get none when there are no more than these.
pub const RESERVE: usize = 96;
