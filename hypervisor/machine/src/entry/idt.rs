//! The interrupt descriptor table: one for all CPUs, filled once by the boot processor.
//!
//! Every gate is an interrupt gate. Guests may use three vectors by `int`: 3, 4 and 0x80; any other
//! gives `#GP`, from which the image works out the vector.

use crate::cpu::asm::{self, TablePointer};
use crate::cpu::gdt::HYPERVISOR_CS;
use crate::sync::Once;

/// Bytes from one stub of `trap.S` to the next.
pub(crate) const STUB_SIZE: u64 = 16;
const GATE_INTERRUPT_PRESENT: u64 = 0x8e;
const GATE_DPL3: u64 = 0x60;

extern "C" {
    static hv_trap_stubs: u8;
}

/// A gate as the CPU reads it.
type Gate = [u64; 2];

static IDT: Once<[Gate; 256]> = Once::new();

/// Which stack of the task state (`cpu::start`) a vector has for itself; 0 for none.
const fn stack_of(vector: usize) -> u64 {
    match vector {
        1 => 3,
        2 => 2,
        8 | 18 => 1,
        _ => 0,
    }
}

fn gate(vector: usize) -> Gate {
    let handler = (&raw const hv_trap_stubs).addr() as u64 + vector as u64 * STUB_SIZE;
    let dpl = if matches!(vector, 3 | 4 | 0x80) { GATE_DPL3 } else { 0 };
    let low = (handler & 0xffff)
        | u64::from(HYPERVISOR_CS) << 16
        | stack_of(vector) << 32
        | (GATE_INTERRUPT_PRESENT | dpl) << 40
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// Fills the table if needed and loads it on this CPU.
pub(crate) fn load() {
    let table = IDT.call_once(|| core::array::from_fn(gate));
    let limit = (size_of_val(table) - 1) as u16;
    let pointer = TablePointer::new(core::ptr::from_ref(table).addr() as u64, limit);
    // SAFETY: the table is never changed or freed and each gate leads to a path of `trap.S`.
    unsafe { asm::lidt(&pointer) };
}
