//! Finds the memory, maps it, and hands it over: frame table, machine-to-physical table, allocator.
//!
//! Called once by the boot sequence. Order matters: page tables come from the first GiB, which the
//! boot tables map; everything larger is placed afterwards, through the new direct map.

use super::paging::{self, early_page, maddr_of};
use crate::layout::{direct, DIRECT_BASE, HUGE_PAGE, LARGE_PAGE, M2P_BASE, M2P_WRITE_BASE, PAGE};
use crate::mem::pt::{self, bits, Rights};
use crate::mem::{directmap::raw_fill, frames};
use crate::pure::memmap::Ranges;
use crate::pure::multiboot::LoaderInfo;

extern "C" {
    static hv_image_start: u8;
    static hv_image_end: u8;
}

/// Memory below this is left to the firmware and to starting CPUs.
const LOW_MEMORY: u64 = 1 << 20;

/// Builds everything from the boot loader's memory map.
pub(super) fn init(loader: &LoaderInfo<'_>) {
    let ram = Ranges::of_ram(loader.regions.as_slice());
    assert!(ram.total() > 0, "the boot loader gave no memory map");
    let mut free = free_ranges(&ram, loader);
    paging::build(&ram, &mut free);
    let count = (ram.end() / PAGE) as usize;
    let table = take_table(&mut free, count);
    let open = take_table(&mut free, count.div_ceil(64));
    frames::install(table, open, ram.total() / PAGE);
    build_m2p(&ram, &mut free);
    declare_holes(&ram);
    for module in loader.modules.as_slice() {
        frames::set_open(module.start / PAGE, module.end.div_ceil(PAGE), true);
    }
    for range in free.as_slice() {
        frames::add_free(range.start, range.end);
    }
}

/// RAM without the image, the modules and what the boot loader still holds.
fn free_ranges(ram: &Ranges, loader: &LoaderInfo<'_>) -> Ranges {
    let mut free = ram.clone();
    free.remove(0, LOW_MEMORY);
    free.remove(maddr_of(&raw const hv_image_start), maddr_of(&raw const hv_image_end));
    for module in loader.modules.as_slice() {
        free.remove(module.start, module.end.max(module.start + 1));
    }
    for &(start, end) in loader.used.as_slice() {
        free.remove(start, end);
    }
    free
}

/// Takes memory for ever and fills every 64-bit word of it with `fill`; returns its address in the
/// direct map.
fn take_filled(free: &mut Ranges, len: u64, align: u64, fill: u64) -> *mut u64 {
    let len = len.next_multiple_of(PAGE);
    let maddr = free.take_high(len, align, u64::MAX).expect("memory for tables of all frames");
    let start = direct(maddr) as usize;
    // SAFETY: the range was free RAM, is ours now, and the direct map covers it.
    unsafe { raw_fill(start, len as usize / 8, fill) };
    core::ptr::with_exposed_provenance_mut(start)
}

/// Takes memory for ever for `count` entries of zeros, which the types this is used for may consist
/// of: words and frame table entries, all of them atomics.
fn take_table<T>(free: &mut Ranges, count: usize) -> &'static [T] {
    let start = take_filled(free, (count * size_of::<T>()) as u64, PAGE, 0);
    // SAFETY: zeroed memory of that size, taken for this purpose just now.
    unsafe { core::slice::from_raw_parts(start.cast(), count) }
}

/// Makes the machine-to-physical table, readable for guests: 2 MiB for each GiB that has memory.
fn build_m2p(ram: &Ranges, free: &mut Ranges) {
    for piece in 0..ram.end().div_ceil(HUGE_PAGE) {
        let (start, end) = (piece * HUGE_PAGE, (piece + 1) * HUGE_PAGE);
        if ram.as_slice().iter().any(|range| range.start < end && range.end > start) {
            let filled = take_filled(free, LARGE_PAGE, LARGE_PAGE, frames::M2P_INVALID);
            let maddr = filled.addr() as u64 - DIRECT_BASE;
            let shown = maddr | Rights::Read.bits() | bits::USER;
            let ours = maddr | Rights::Write.bits();
            for (base, entry) in [(M2P_BASE, shown), (M2P_WRITE_BASE, ours)] {
                pt::map(base + piece * LARGE_PAGE, entry, 2, &mut || early_page(free));
            }
        }
    }
}

/// Tells the frame table which numbers below the highest have no memory behind them. The first MiB
/// counts as none: firmware and devices live there, and the control domain may map it like them.
fn declare_holes(ram: &Ranges) {
    let mut holes = Ranges::default();
    holes.add(0, ram.end());
    ram.as_slice().iter().for_each(|range| holes.remove(range.start, range.end));
    holes.add(0, LOW_MEMORY.min(ram.end()));
    for hole in holes.as_slice() {
        let frames = &frames::table()[(hole.start / PAGE) as usize..(hole.end / PAGE) as usize];
        frames.iter().for_each(|frame| frame.declare_hole());
    }
}
