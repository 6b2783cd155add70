//! The interrupt descriptor table: one for all CPUs, filled once by the boot processor.
//!
//! Every gate is an interrupt gate. Guests may use three vectors by `int`: 3, 4 and 0x80; any other
//! gives `#GP`, from which the image works out the vector.

use super::stubs;
use crate::cpu::asm;
use crate::cpu::gdt::HYPERVISOR_CS;
use crate::sync::Once;

/// Vectors with a stack of their own, and which.
const IST_FATAL: u8 = 1;
const IST_NMI: u8 = 2;
const IST_DEBUG: u8 = 3;

/// Bytes from one stub to the next.
const STUB_SIZE: u64 = 16;
const GATE_INTERRUPT_PRESENT: u64 = 0x8e;
const GATE_DPL3: u64 = 0x60;

extern "C" {
    static hv_trap_stubs: u8;
    static hv_trap_stubs_end: u8;
    fn hv_nmi();
    fn hv_debug_trap();
    fn hv_double_fault();
    fn hv_machine_check();
}

/// A gate as the CPU reads it.
type Gate = [u64; 2];

static IDT: Once<[Gate; 256]> = Once::new();

const fn gate(handler: u64, ist: u8, dpl: u64) -> Gate {
    let low = (handler & 0xffff)
        | (HYPERVISOR_CS as u64) << 16
        | (ist as u64) << 32
        | (GATE_INTERRUPT_PRESENT | dpl) << 40
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

fn handler_of(vector: u64) -> (u64, u8) {
    match vector {
        1 => (stubs::address(hv_debug_trap), IST_DEBUG),
        2 => (stubs::address(hv_nmi), IST_NMI),
        8 => (stubs::address(hv_double_fault), IST_FATAL),
        18 => (stubs::address(hv_machine_check), IST_FATAL),
        _ => ((&raw const hv_trap_stubs).addr() as u64 + vector * STUB_SIZE, 0),
    }
}

/// Fills the table if needed and loads it on this CPU.
pub(crate) fn load() {
    let table = IDT.call_once(|| {
        let end = (&raw const hv_trap_stubs_end).addr();
        let size = end - (&raw const hv_trap_stubs).addr();
        assert_eq!(size as u64, 256 * STUB_SIZE, "interrupt stubs have grown");
        core::array::from_fn(|vector| {
            let (handler, ist) = handler_of(vector as u64);
            gate(handler, ist, if matches!(vector, 3 | 4 | 0x80) { GATE_DPL3 } else { 0 })
        })
    });
    let limit = (core::mem::size_of_val(table) - 1) as u16;
    // SAFETY: the table is never changed or freed and each gate leads to a path of `trap.S`.
    unsafe { asm::lidt(core::ptr::from_ref(table).addr() as u64, limit) };
}
