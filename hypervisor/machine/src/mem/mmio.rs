//! Mappings of device registers and firmware tables, made while booting and kept for ever.
//!
//! The area is one leaf table: 2 MiB are plenty for APICs, a timer and the ACPI tables.

use super::pt::{self, bits, Rights};
use crate::layout::{MMIO_BASE, PAGE};
use crate::sync::Mutex;

/// Pages used of the area.
static USED: Mutex<usize> = Mutex::new(0);

/// Maps `len` bytes of machine addresses; `None` when the area is full.
fn map(maddr: u64, len: u64, entry_bits: u64) -> Option<*mut u8> {
    let leaf = pt::find(MMIO_BASE, 1)?;
    let first = maddr & !(PAGE - 1);
    let pages = maddr.checked_add(len)?.div_ceil(PAGE).checked_sub(first / PAGE)? as usize;
    let mut used = USED.lock();
    let start = *used;
    if pages > 512 - start {
        return None;
    }
    *used += pages;
    for page in 0..pages {
        let frame = (first + page as u64 * PAGE) & bits::FRAME;
        leaf.set(start + page, frame | entry_bits);
    }
    let va = MMIO_BASE + start as u64 * PAGE + (maddr - first);
    Some(core::ptr::with_exposed_provenance_mut(va as usize))
}

/// Maps firmware memory for reading; `None` when the area is full.
pub(crate) fn map_firmware(maddr: u64, len: u64) -> Option<&'static [u8]> {
    let start = map(maddr, len, Rights::Read.bits())?;
    // SAFETY: mapped read-only for ever just now; firmware tables do not change while we run.
    Some(unsafe { core::slice::from_raw_parts(start, len as usize) })
}

/// Registers of a device, 32 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    /// Address of the first one.
    base: usize,
    count: usize,
}

impl Registers {
    /// Maps `len` bytes of registers.
    pub(crate) fn map(maddr: u64, len: u64) -> Option<Self> {
        let uncached = Rights::Write.bits() | bits::NO_CACHE | bits::WRITE_THROUGH;
        let base = map(maddr, len, uncached)?.expose_provenance();
        Some(Self { base, count: len as usize / 4 })
    }

    fn address(self, offset: usize) -> *mut u32 {
        assert!(offset / 4 < self.count);
        core::ptr::with_exposed_provenance_mut(self.base + offset)
    }

    /// Reads the register at a byte offset.
    pub(crate) fn read(self, offset: usize) -> u32 {
        // SAFETY: within the mapping, by the check, which is the same on all CPUs and never removed.
        unsafe { self.address(offset).read_volatile() }
    }

    /// Writes the register at a byte offset.
    pub(crate) fn write(self, offset: usize, value: u32) {
        // SAFETY: as above; the registers of APICs and timers do not make devices write to memory.
        unsafe { self.address(offset).write_volatile(value) };
    }
}
