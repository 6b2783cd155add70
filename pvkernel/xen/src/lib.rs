//! The teaching kernel on Xen's paravirtual interface.
//!
//! This crate turns the public PV64 interface into a safe kernel API: start of day, frames and
//! heap, mappings, events, time, threads, console. Programs (`dom0`, the test guests) name their
//! main function with `entry!` and run as a kernel thread in which all of it is ready.
//!
//! The layers, from below: `hypercall` (the calls), `layout`/`p2m`/`mmu`/`frames`/`heap` (memory),
//! `trap`/`event`/`time` (being interrupted), `grants` (memory shared with other domains), `xenstore`/
//! `xenbus` (devices of other domains), `ports`/`pci`/`mmio`/`dma`/`pirq`/`virtio` (devices, in the control
//! domain), `services` (what the tools ask for), `thread`/`console`/`power` (what programs use), `boot` (the
//! order in which it all starts), `platform` (the same things as the traits of `pvkernel-core`).
//!
//! Files that name nothing of a hypervisor (`frames`, `heap`, `pages`, `pci`, `stack`, `thread`, `virtio`,
//! and in `dma` `pool` and `queue`) are compiled into `pvkernel-native`, too.
//!
//! Invariants: nothing beyond the public interface of Xen 4.17 is used, so the same image boots on
//! Xen and on any compatible hypervisor, as control domain and as ordinary domain; unsafe code is
//! confined to this crate, behind safe functions except where a caller could change what memory
//! means. One vCPU.
#![no_std]

extern crate alloc;

pub mod blkfront;
pub mod blkring;
pub mod boot;
pub mod console;
mod directmap;
pub mod dma;
pub mod event;
pub mod foreign;
pub mod frames;
pub mod grants;
mod heap;
pub mod hypercall;
pub mod iopages;
pub mod layout;
pub mod mmio;
pub mod mmu;
pub mod netfront;
pub mod netring;
pub mod p2m;
pub mod pages;
pub mod pci;
pub mod pirq;
pub mod platform;
pub mod ports;
pub mod power;
pub mod services;
pub mod shared;
mod stack;
pub mod stats;
pub mod thread;
pub mod time;
pub mod trap;
mod user;
pub mod virtio;
pub mod window;
pub mod xenbus;
pub mod xenstore;

pub use pvkernel_core::{print, println};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".set VIRT_BASE, {virt_base}",
    include_str!("entry.S"),
    virt_base = const layout::VIRT_BASE,
);

/// Names the main function of a kernel: `fn main(boot: &'static BootInfo) -> !`.
///
/// On a host the program links but does nothing: it prints nothing and returns 1.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[allow(unsafe_code)]
        #[export_name = "pvkernel_main"]
        extern "C" fn pvkernel_main_entry() -> ! {
            let main: fn(&'static $crate::boot::BootInfo) -> ! = $main;
            main($crate::boot::info())
        }

        #[cfg(not(target_os = "none"))]
        #[allow(unsafe_code)]
        #[export_name = "main"]
        extern "C" fn host_main() -> i32 {
            let _: fn(&'static $crate::boot::BootInfo) -> ! = $main;
            1
        }
    };
}

/// The last words of a kernel that found itself broken.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    console::emergency(|| println!("{info}"));
    power::crash()
}
