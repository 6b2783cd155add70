//! The hypervisor's own page tables.
//!
//! Written by the boot code and by `mmio`; guests' tables are the image's affair. A [`Table`] is a
//! frame that belongs to the machine for ever and holds nothing but entries, so handing out shared
//! references to its words is sound.

use super::hvslots;
use crate::layout;
use core::sync::atomic::{AtomicU64, Ordering};

/// Entry bits.
pub(crate) mod bits {
    pub(crate) const PRESENT: u64 = 1;
    pub(crate) const WRITE: u64 = 1 << 1;
    pub(crate) const USER: u64 = 1 << 2;
    pub(crate) const WRITE_THROUGH: u64 = 1 << 3;
    pub(crate) const NO_CACHE: u64 = 1 << 4;
    pub(crate) const ACCESSED: u64 = 1 << 5;
    pub(crate) const DIRTY: u64 = 1 << 6;
    pub(crate) const LARGE: u64 = 1 << 7;
    pub(crate) const NO_EXECUTE: u64 = 1 << 63;
    /// Frame number part of an entry.
    pub(crate) const FRAME: u64 = 0x000f_ffff_ffff_f000;
    /// What non-leaf entries have.
    pub(crate) const TABLE: u64 = PRESENT | WRITE | USER | ACCESSED | DIRTY;
}

use bits::{ACCESSED, DIRTY, FRAME, NO_EXECUTE, PRESENT, TABLE, WRITE};

/// Rights of a mapping of the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Data that never changes.
    Read,
    /// Data.
    Write,
    /// Code.
    Execute,
}

impl Rights {
    /// The entry bits, without those the CPU lacks.
    pub(crate) fn bits(self) -> u64 {
        let no_execute = if crate::cpu::features().nx { NO_EXECUTE } else { 0 };
        match self {
            Self::Read => PRESENT | ACCESSED | no_execute,
            Self::Write => PRESENT | ACCESSED | WRITE | DIRTY | no_execute,
            Self::Execute => PRESENT | ACCESSED,
        }
    }
}

/// Where machine addresses are mapped at present: the boot tables' window, later the direct map.
static PHYS_OFFSET: AtomicU64 = AtomicU64::new(layout::IMAGE_BASE);

/// From now on the direct map is used.
pub(crate) fn use_direct_map() {
    PHYS_OFFSET.store(layout::DIRECT_BASE, Ordering::Relaxed);
}

/// Where a machine address is mapped at present.
pub(crate) fn phys_to_virt(maddr: u64) -> *mut u8 {
    let address = PHYS_OFFSET.load(Ordering::Relaxed) + maddr;
    core::ptr::with_exposed_provenance_mut(address as usize)
}

/// A page table of the hypervisor.
#[derive(Clone, Copy)]
pub(crate) struct Table(u64);

impl Table {
    /// Makes an empty table of a frame.
    ///
    /// # Safety
    /// The frame must be RAM that is mapped now, that nobody else uses or will ever use.
    pub(crate) unsafe fn new(maddr: u64) -> Self {
        let table = Self(maddr);
        // SAFETY: the frame is ours, as required of the caller.
        unsafe { phys_to_virt(maddr).cast::<[u64; 512]>().write([0; 512]) };
        table
    }

    /// Machine address.
    pub(crate) fn maddr(self) -> u64 {
        self.0
    }

    fn words(self) -> &'static [AtomicU64; 512] {
        // SAFETY: `new` got the frame for ever; all access is by atomics. The mapping only moves
        // from the boot window to the direct map, in the boot code, which keeps no reference.
        unsafe { &*phys_to_virt(self.0).cast() }
    }

    /// One entry.
    pub(crate) fn get(self, index: usize) -> u64 {
        self.words()[index & 511].load(Ordering::Relaxed)
    }

    /// Sets one entry.
    pub(crate) fn set(self, index: usize, entry: u64) {
        self.words()[index & 511].store(entry, Ordering::Relaxed);
    }

    /// The table an entry leads to, if there is one.
    pub(crate) fn next(self, index: usize) -> Option<Self> {
        let entry = self.get(index);
        (entry & PRESENT != 0).then_some(Self(entry & FRAME))
    }
}

/// Index of an address in the table of `level` (4 is the root).
pub(crate) const fn index(va: u64, level: u32) -> usize {
    (va >> (12 + 9 * (level - 1))) as usize & 511
}

/// The table of `level`, or the page of the level above, that maps `va`, if there is one.
pub(crate) fn find(va: u64, level: u32) -> Option<Table> {
    (level + 1..=4).rev().try_fold(hvslots::root(), |table, above| table.next(index(va, above)))
}

/// The table of `level` that maps `va`; tables that are missing are made by `alloc`.
pub(crate) fn make(va: u64, level: u32, alloc: &mut dyn FnMut() -> Table) -> Table {
    (level + 1..=4).rev().fold(hvslots::root(), |table, above| {
        let index = index(va, above);
        table.next(index).unwrap_or_else(|| {
            let child = alloc();
            table.set(index, child.maddr() | TABLE);
            child
        })
    })
}

/// Maps one page of `level` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB) at `va`.
pub(crate) fn map(va: u64, entry: u64, level: u32, alloc: &mut dyn FnMut() -> Table) {
    let large = if level > 1 { bits::LARGE } else { 0 };
    make(va, level, alloc).set(index(va, level), entry | large);
}
