//! Interrupts: each becomes a work bit or an event; nothing is done in the handler itself.
//!
//! They arrive in guest mode or while the CPU idles, so no lock is held.

use hv_machine::cpuinfo;
use hv_machine::irq::{VEC_SERIAL, VEC_TIMER};

use crate::exit::work;
use crate::hypercall::physdev;

/// An interrupt with this vector arrived.
pub fn interrupt(vector: u8) {
    match vector {
        VEC_TIMER => cpuinfo::raise_work(work::TIMER),
        VEC_SERIAL => cpuinfo::raise_work(work::CONSOLE),
        _ => physdev::interrupt(vector),
    }
}
