//! The teaching kernel on Xen's paravirtual interface.
//!
//! This crate turns the public PV64 interface into a safe kernel API: start of day, frames and
//! heap, mappings, events, time, threads, console. Programs (`dom0`, the test guests) name their
//! main function with `entry!` and run as a kernel thread in which all of it is ready.
//!
//! The layers, from below: `hypercall` (the calls), `layout`/`p2m`/`mmu`/`frames`/`heap` (memory),
//! `entry`/`trap`/`vcpu_info`/`event`/`channel`/`time` (being interrupted), `grants` (memory shared with
//! other domains), `xenstore`/`xenbus` (devices of other domains), `ports`/`pci`/`mmio`/`dma`/`pirq`/`virtio`
//! (devices, in the control domain), `services` (what the tools ask for), `thread`/`console`/`power` (what programs use), `boot` (the
//! order in which it all starts), `platform` (the same things as the traits of `pvkernel-core`).
//!
//! Files that name nothing of a hypervisor (`thread`, `console`, `common.S` and others) are compiled into
//! `pvkernel-native`, too, which names them with their path.
//! Files that name nothing of a hypervisor (`frames`, `heap`, `mmio`, `pages`, `pci`, `stack`, `thread`, `virtio`,
//! `window`, and some in `dma` and `user`) are compiled into `pvkernel-native`, too.
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
mod builder;
mod channel;
pub mod console;
mod console_line;
mod console_ring;
mod directmap;
pub mod dma;
mod entry;
pub mod event;
pub mod foreign;
pub mod frames;
pub mod grants;
mod heap;
mod hooks;
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
mod pvclock;
mod sealing;
pub mod services;
pub mod shared;
mod shared_page;
mod stack;
pub mod stats;
pub mod thread;
pub mod time;
pub mod trap;
mod trap_frame;
mod updates;
mod user;
mod vcpu_info;
pub mod virtio;
pub mod window;
pub mod xenbus;
pub mod xenstore;

pub use pvkernel_core::{print, println};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".set VIRT_BASE, {virt_base}",
    ".set STUBS, {stubs}",
    ".set USER_CS, {user_cs}",
    ".set USER_SS, {user_ss}",
    ".set SYSCALL, {syscall}",
    ".set ANSWERS, {answers}",
    include_str!("notes.S"),
    include_str!("entry.S"),
    include_str!("common.S"),
    include_str!("switch.S"),
    virt_base = const layout::VIRT_BASE,
    stubs = const trap::STUBS,
    user_cs = const hypercall_abi::regs::FLAT_USER_CS,
    user_ss = const hypercall_abi::regs::FLAT_USER_SS,
    syscall = const trap::SYSCALL,
    answers = const pvkernel_core::platform::ANSWERS,
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
