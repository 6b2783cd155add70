//! The teaching kernel on the bare machine.
//!
//! The same kernel as `pvkernel-xen`, with the sensitive instructions where that one has hypercalls.
//! Files have the same names where the thing is the same, so `diff -u pvkernel/xen/src/trap.rs
//! pvkernel/native/src/trap.rs` is a lecture; files that would not differ at all are one file, named
//! below with its path.
//!
//! The layers, from below: `cpu`/`ports` (the instructions), `layout`/`mmu`/`frames`/`heap` (memory),
//! `segments`/`entry`/`trap`/`apic`/`event`/`clocks`/`time` (being interrupted),
//! `pci`/`mmio`/`dma`/`pirq`/`virtio` (devices), `user` (programs), `thread`/`console`/`power` (what the kernel uses), `boot` (the order in which it all
//! starts), `platform` (the same things as the traits of `pvkernel-core`).
//!
//! Invariants: one processor; the machine is a PC as QEMU emulates it (`pc` or `q35`), whose
//! controllers are at their usual addresses; unsafe code is confined to this crate, behind safe
//! functions except where a caller could change what memory means.
#![no_std]

extern crate alloc;

mod apic;
pub mod boot;
mod calibrate;
mod chipset;
mod clocks;
#[path = "../../xen/src/console.rs"]
pub mod console;
mod console_line;
pub mod cpu;
mod directmap;
pub mod dma;
#[path = "../../xen/src/entry.rs"]
mod entry;
pub mod event;
#[path = "../../xen/src/frames.rs"]
pub mod frames;
#[path = "../../xen/src/heap.rs"]
mod heap;
mod image;
pub mod layout;
mod loader;
#[path = "../../xen/src/mmio.rs"]
pub mod mmio;
pub mod mmu;
mod multiboot;
#[path = "../../xen/src/pages.rs"]
pub mod pages;
#[path = "../../xen/src/pci.rs"]
pub mod pci;
mod pfn;
pub mod pirq;
pub mod platform;
pub mod ports;
pub mod power;
pub mod pte;
pub mod registers;
mod rtc;
pub mod segments;
#[path = "../../xen/src/stack.rs"]
mod stack;
#[path = "../../xen/src/stats.rs"]
pub mod stats;
#[path = "../../xen/src/thread.rs"]
pub mod thread;
pub mod time;
pub mod trap;
#[path = "../../xen/src/trap_frame.rs"]
mod trap_frame;
mod uart;
pub mod user;
#[path = "../../xen/src/virtio.rs"]
pub mod virtio;
#[path = "../../xen/src/window.rs"]
pub mod window;

pub use pvkernel_core::{print, println};

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".set VIRT_BASE, {virt_base}",
    ".set STUBS, {stubs}",
    ".set USER_CS, {user_cs}",
    ".set USER_SS, {user_ss}",
    ".set SYSCALL, {syscall}",
    ".set ANSWERS, {answers}",
    include_str!("multiboot.S"),
    include_str!("entry.S"),
    include_str!("../../xen/src/common.S"),
    include_str!("../../xen/src/switch.S"),
    virt_base = const layout::VIRT_BASE,
    stubs = const trap::STUBS,
    user_cs = const segments::USER_CS,
    user_ss = const segments::USER_SS,
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
