//! Interrupts: vectors, inter-processor interrupts, device lines.
//!
//! `hv_interrupt` is called by the entry code, from a guest or from the idle loop. The machine
//! handles what is its own (TLB requests, spurious ones) and acknowledges; everything else goes to
//! the image's hook first. A device line goes to the CPU at which it was ended last.

pub(crate) mod apic;
mod ioapic;

pub(crate) use ioapic::{add as add_ioapic, isa_override, isa_route};
pub use ioapic::{gsi_count, gsi_mask, gsi_route, gsi_unmask, Signal};

use crate::entry::hooks::hooks;
use crate::percpu::{self, CpuId};
use crate::tlb;
use core::sync::atomic::Ordering;

/// First vector for device lines: the vector of line `gsi` is this plus `gsi`.
pub const VEC_GSI_BASE: u8 = 0x40;
/// Device lines that have a vector.
pub const GSI_VECTORS: u32 = 0x70 - VEC_GSI_BASE as u32;
/// The serial port has received something.
pub const VEC_SERIAL: u8 = 0xf0;
/// The timer armed with `time::arm_timer`.
pub const VEC_TIMER: u8 = 0xf1;
/// Another CPU wants this one to look at its work.
pub const VEC_KICK: u8 = 0xf2;
/// Another CPU waits for a TLB flush; the image does not see it.
pub(crate) const VEC_TLB: u8 = 0xf3;
/// Interrupts that went away before they were delivered.
pub(crate) const VEC_SPURIOUS: u8 = 0xff;

/// Interrupts a CPU, which will pass its exit checks.
pub fn kick(cpu: CpuId) {
    send(cpu, VEC_KICK);
}

pub(crate) fn send(cpu: CpuId, vector: u8) {
    apic::send(cpu.0, vector.into());
}

/// Every external interrupt.
#[no_mangle]
extern "C" fn hv_interrupt(vector: u32) {
    let vector = vector as u8;
    match vector {
        VEC_SPURIOUS => return,
        VEC_TLB => tlb::service(),
        _ if percpu::info().released.load(Ordering::Relaxed) != 0 => {
            (hooks().interrupt)(vector);
        }
        _ => {}
    }
    apic::eoi();
}
