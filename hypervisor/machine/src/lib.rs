//! The machine: the only crate of the hypervisor with unsafe code.
//!
//! It brings processors, memory and devices into order and gives the image safe functions for them;
//! it decides nothing about guests. Start reading at `boot` for the way up, at `entry` for
//! the way in and out of guests. `SOUNDNESS.md` lists what the safe functions rely on.
//!
//! Invariants: interrupts are off in the hypervisor except in `cpu::idle_wait`; each CPU has one stack,
//! with the guest's registers at its head; a frame is either open to `directmap` or Rust's, never both.
//!
//! On the host only the pure parts are compiled, for their tests.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod layout;
pub mod pure;
pub mod sync;

#[cfg(target_os = "none")]
mod acpi;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub mod cpuinfo;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
pub mod irq;
#[cfg(target_os = "none")]
pub mod log;
#[cfg(target_os = "none")]
pub mod mem;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
pub mod percpu;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod serial;
#[cfg(target_os = "none")]
pub mod time;
#[cfg(target_os = "none")]
pub mod tlb;

#[cfg(target_os = "none")]
pub use {
    boot::{BootInfo, Module},
    cpu::{gdt as desc, segments},
    entry::hooks::{Hooks, SyscallKind},
    entry::regs::{GuestRegs, VECTOR_SYSCALL_EXIT},
    mem::{directmap, frames, guest, heap, hvslots},
    percpu::CpuId,
};
