//! The rings of a network card in shared memory, for both halves.

use hypercall_abi::PAGE_SIZE;
use pv_ring::{NetRxPage, NetTxPage};

use crate::shared::SharedMemory;

/// The ring of outgoing packets in page `page` of `memory`.
///
/// # Panics
/// Outside of the memory.
#[must_use]
pub fn tx_ring(memory: &SharedMemory, page: usize) -> &NetTxPage {
    // SAFETY: `at` checks bounds and alignment; the type consists of atomics, which may be shared with
    // other writers, and any bits are values of it; that the memory stays mapped was promised to
    // `SharedMemory::new`.
    unsafe { memory.at::<NetTxPage>(page * PAGE_SIZE).as_ref() }
}

/// The ring of incoming packets in page `page` of `memory`.
///
/// # Panics
/// Outside of the memory.
#[must_use]
pub fn rx_ring(memory: &SharedMemory, page: usize) -> &NetRxPage {
    // SAFETY: as for `tx_ring`.
    unsafe { memory.at::<NetRxPage>(page * PAGE_SIZE).as_ref() }
}
