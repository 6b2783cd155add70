//! Builds the kernel's own page tables at boot: the direct map of all memory, the image with the
//! rights of each section, and the tops of the trees that grow later.
//!
//! They replace the boot tables, which map the first GiB twice and let everything be written and run.
//! Nothing is mapped in the lower half afterwards. The direct map consists of large pages, so where
//! the image lies it shows it as memory that can be written: the rights are those of the image's own
//! addresses.

use core::ops::Range;

use crate::image::Image;
use crate::layout::{initial_va, Pfn, DIRECT_BASE, PAGE, VIRT_BASE, WINDOW_BASE};
use crate::mmu::{self, pte, KERNEL_RO, KERNEL_RW, TABLE};
use crate::multiboot::Region;

/// Flags of a page with code of the kernel.
const KERNEL_RX: u64 = pte::PRESENT | pte::ACCESSED;
/// Bytes of a large page.
const LARGE: u64 = 512 * PAGE;
/// Bytes that one table of level 2 maps.
const LEVEL2: u64 = 512 * LARGE;

/// Frames taken one after another, before there is an allocator.
pub(crate) struct Early(pub(crate) Range<u64>);

impl Early {
    /// An empty table.
    fn take(&mut self) -> Pfn {
        let pfn = self.0.next().map(Pfn::new).expect("the tables were counted");
        let page = core::ptr::with_exposed_provenance_mut::<u8>(initial_va(pfn) as usize);
        // SAFETY: the frame is unused and mapped by the boot tables.
        unsafe { page.write_bytes(0, PAGE as usize) };
        pfn
    }
}

/// Tables that `build` needs for memory up to `end`.
pub(crate) fn tables(end: u64, image: &Image) -> u64 {
    // The root, a table of level 3 for each of three slots, one of level 2 for each GiB and for the
    // image, and those of level 1 for the image.
    1 + 3 + end.div_ceil(LEVEL2) + 1 + (image.end - VIRT_BASE).div_ceil(LARGE)
}

/// Makes the tables and returns the root.
///
/// # Safety
/// The frames are unused and mapped where `mmu` looks for tables.
pub(crate) unsafe fn build(memory: &[Region], image: &Image, early: &mut Early) -> Pfn {
    let root = early.take();
    for base in [DIRECT_BASE, WINDOW_BASE, VIRT_BASE] {
        table_at(root, base, 4, early);
    }
    for (start, end) in memory {
        let mut at = start / LARGE * LARGE;
        while at < (*end).min(WINDOW_BASE - DIRECT_BASE) {
            put(root, DIRECT_BASE + at, 2, at | KERNEL_RW | pte::LARGE, early);
            at += LARGE;
        }
    }
    for va in (image.text..image.end).step_by(PAGE as usize) {
        let flags = match va {
            _ if va == image.guard => continue,
            _ if va < image.rodata => KERNEL_RX,
            _ if va < image.data => KERNEL_RO,
            _ => KERNEL_RW,
        };
        put(root, va, 1, (va - VIRT_BASE) | flags, early);
    }
    root
}

fn put(root: Pfn, va: u64, level: u32, entry: u64, early: &mut Early) {
    let table = (level + 1..=4).rev().fold(root, |table, level| table_at(table, va, level, early));
    // SAFETY: a table of a tree that is not in use yet.
    unsafe { mmu::write_entry(table, mmu::index(va, level), entry) };
}

fn table_at(table: Pfn, va: u64, level: u32, early: &mut Early) -> Pfn {
    let index = mmu::index(va, level);
    let entry = mmu::read_entry(table, index);
    if entry & pte::PRESENT != 0 {
        return mmu::entry_frame(entry);
    }
    let next = early.take();
    // SAFETY: a table of a tree that is not in use yet.
    unsafe { mmu::write_entry(table, index, mmu::frame_entry(next, TABLE)) };
    next
}
