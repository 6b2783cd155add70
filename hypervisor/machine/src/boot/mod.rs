//! From the boot loader to the image's `boot` hook, one step per line.
//!
//! `hv_boot` is called by `start.S` on the boot stack, with the boot tables; `hv_boot_on_own_stack`
//! goes on once there are page tables, an allocator and per-CPU windows. What is found out on the
//! way stays in the modules concerned; the image gets a [`BootInfo`].

pub mod memmap;
pub mod multiboot;

#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
mod smp;
#[cfg(target_os = "none")]
mod window;

#[cfg(target_os = "none")]
mod sequence;
#[cfg(target_os = "none")]
pub use sequence::{BootInfo, Module};
