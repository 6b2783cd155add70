//! Mappings of device registers and firmware tables, made while booting and kept for ever.
//!
//! The area is one leaf table: 2 MiB are plenty for APICs, a timer and the ACPI tables.

use super::pt::{bits, Rights, Table};
use crate::layout::{MMIO_BASE, PAGE};
use crate::sync::{Mutex, Once};

/// How the CPU may cache a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Device registers: every access reaches the device.
    Uncached,
    /// Memory.
    WriteBack,
}

static LEAF: Once<Table> = Once::new();
/// Pages used of the area.
static USED: Mutex<usize> = Mutex::new(0);

/// Records the leaf table of the area.
pub(crate) fn init(leaf: Table) {
    LEAF.call_once(|| leaf);
}

/// Maps `len` bytes of machine addresses; `None` when the area is full.
pub(crate) fn map(maddr: u64, len: u64, cache: Cache) -> Option<*mut u8> {
    let leaf = *LEAF.get()?;
    let first = maddr & !(PAGE - 1);
    let pages = maddr.checked_add(len)?.div_ceil(PAGE).checked_sub(first / PAGE)? as usize;
    let (rights, attributes) = match cache {
        Cache::Uncached => (Rights::Write, bits::NO_CACHE | bits::WRITE_THROUGH),
        Cache::WriteBack => (Rights::Read, 0),
    };
    let mut used = USED.lock();
    let start = *used;
    if pages > 512 - start {
        return None;
    }
    *used += pages;
    for page in 0..pages {
        let frame = (first + page as u64 * PAGE) & bits::FRAME;
        leaf.set(start + page, frame | rights.bits() | attributes);
    }
    let va = MMIO_BASE + start as u64 * PAGE + (maddr - first);
    Some(core::ptr::with_exposed_provenance_mut(va as usize))
}

/// Maps firmware memory for reading; `None` when the area is full.
pub(crate) fn map_firmware(maddr: u64, len: u64) -> Option<&'static [u8]> {
    let start = map(maddr, len, Cache::WriteBack)?;
    // SAFETY: mapped read-only for ever just now; firmware tables do not change while we run.
    Some(unsafe { core::slice::from_raw_parts(start, len as usize) })
}

/// Registers of a device, 32 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    base: *mut u32,
    count: usize,
}

// SAFETY: the mapping is the same on all CPUs and is never removed; accesses are single volatile
// reads and writes, whose order is the business of the driver that owns the device.
unsafe impl Send for Registers {}
// SAFETY: see above.
unsafe impl Sync for Registers {}

impl Registers {
    /// Maps `len` bytes of registers.
    pub(crate) fn map(maddr: u64, len: u64) -> Option<Self> {
        let base = map(maddr, len, Cache::Uncached)?.cast();
        Some(Self { base, count: len as usize / 4 })
    }

    /// Reads the register at a byte offset.
    #[inline]
    pub(crate) fn read(self, offset: usize) -> u32 {
        assert!(offset / 4 < self.count);
        // SAFETY: within the mapping, by the check.
        unsafe { self.base.wrapping_byte_add(offset).read_volatile() }
    }

    /// Writes the register at a byte offset.
    #[inline]
    pub(crate) fn write(self, offset: usize, value: u32) {
        assert!(offset / 4 < self.count);
        // SAFETY: within the mapping, by the check; the registers of APICs and timers do not make
        // devices write to memory.
        unsafe { self.base.wrapping_byte_add(offset).write_volatile(value) };
    }
}
