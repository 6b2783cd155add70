//! Bits of an entry of a page table, as the processor reads them.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cpu;

/// Refers to something.
pub const PRESENT: u64 = 1;
/// Can be written.
pub const RW: u64 = 1 << 1;
/// Can be used by programs.
pub const USER: u64 = 1 << 2;
/// Each write goes to memory.
pub const PWT: u64 = 1 << 3;
/// Not cached.
pub const PCD: u64 = 1 << 4;
/// Has been used.
pub const ACCESSED: u64 = 1 << 5;
/// Has been written.
pub const DIRTY: u64 = 1 << 6;
/// A large page, in a table of level 2.
pub const LARGE: u64 = 1 << 7;
/// Cannot be run.
pub const NX: u64 = 1 << 63;
/// The address.
pub const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;

/// Bits this processor knows; it may lack `NX`.
static KNOWN: AtomicU64 = AtomicU64::new(!NX);

/// Finds out what the processor can do, before the first entry is written.
pub(crate) fn find_known() {
    if cpu::cpuid(0x8000_0001, 0)[3] & 1 << 20 != 0 {
        KNOWN.store(u64::MAX, Ordering::Relaxed);
    }
}

/// An entry as this processor knows it.
#[inline]
pub(crate) fn known(entry: u64) -> u64 {
    entry & KNOWN.load(Ordering::Relaxed)
}
