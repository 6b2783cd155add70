//! Finds the memory, maps it, and hands it over: frame table, machine-to-physical table, allocator.
//!
//! Called once by the boot sequence. Order matters: page tables come from the first GiB, which the
//! boot tables map; everything larger is placed afterwards, through the new direct map.
//!
//! The two tables with an entry for each frame number are contiguous in addresses, not in memory: a
//! page of them whose entries all stand for numbers without memory is one of a few that are shared,
//! and can only be read.

use super::paging::{self, early_page, maddr_of};
use crate::layout::{direct, DIRECT_BASE, FRAME_TABLE_BASE, LARGE_PAGE};
use crate::layout::{LOW_MEMORY, M2P_BASE, M2P_WRITE_BASE, PAGE};
use crate::mem::pt::{self, bits, Rights};
use crate::mem::{directmap::raw_fill, frames};
use crate::pure::memmap::Ranges;
use crate::pure::multiboot::LoaderInfo;
use hv_core::page::FrameInfo;

extern "C" {
    static hv_image_start: u8;
    static hv_image_end: u8;
}

/// Builds everything from the boot loader's memory map.
pub(super) fn init(loader: &LoaderInfo<'_>) {
    let ram = Ranges::of_ram(loader.regions.as_slice());
    assert!(ram.total() > 0, "the boot loader gave no memory map");
    let mut free = free_ranges(&ram, loader);
    paging::build(&ram, &mut free);
    let count = (ram.end() / PAGE) as usize;
    let table = build_frame_table(&ram, &mut free);
    let open = take_table(&mut free, count.div_ceil(64));
    // SAFETY: the other CPUs are started when the boot sequence is done with memory.
    unsafe { frames::install(table, open, ram.total() / PAGE) };
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

/// A table with an entry for each frame number.
struct PerFrame<'a> {
    /// Bytes of an entry.
    entry: u64,
    /// Every 64-bit word of it.
    fill: u64,
    /// Where it is seen, with which entry bits.
    views: &'a [(u64, u64)],
    /// Machine address of the pages that stand, in turn, for those without an entry of memory.
    holes: u64,
    nr_holes: u64,
    /// Whether they do so where a whole large page has no such entry.
    seamless: bool,
}

impl PerFrame<'_> {
    /// Takes the memory for it and maps it, in large pages where these are used in full.
    fn build(&self, ram: &Ranges, free: &mut Ranges) {
        let pages = LARGE_PAGE / PAGE;
        for first in (0..(ram.end() / PAGE * self.entry).div_ceil(PAGE)).step_by(pages as usize) {
            let used = (first..first + pages).filter(|page| self.describes(ram, *page)).count();
            let (len, offset) = (used as u64 * PAGE, first * PAGE);
            if used as u64 == pages {
                let taken = take_filled(free, len, LARGE_PAGE, self.fill).addr() as u64;
                self.show(offset, taken - DIRECT_BASE, !0, 2, free);
            } else if used > 0 || self.seamless {
                let mut next =
                    take_filled(free, len, LARGE_PAGE, self.fill).addr() as u64 - DIRECT_BASE;
                for page in first..first + pages {
                    if self.describes(ram, page) {
                        self.show(page * PAGE, next, !0, 1, free);
                        next += PAGE;
                    } else {
                        let hole = self.holes + page % self.nr_holes * PAGE;
                        self.show(page * PAGE, hole, !bits::WRITE, 1, free);
                    }
                }
            }
        }
    }

    /// Whether an entry on that page stands for memory.
    fn describes(&self, ram: &Ranges, page: u64) -> bool {
        let (start, end) = (page * PAGE / self.entry, ((page + 1) * PAGE).div_ceil(self.entry));
        ram.as_slice().iter().any(|range| range.start < end * PAGE && range.end > start * PAGE)
    }

    fn show(&self, offset: u64, maddr: u64, mask: u64, level: u32, free: &mut Ranges) {
        for (base, rights) in self.views {
            pt::map(base + offset, maddr | (rights & mask), level, &mut || early_page(free));
        }
    }
}

/// Makes the frame table.
fn build_frame_table(ram: &Ranges, free: &mut Ranges) -> &'static [FrameInfo] {
    let entry = size_of::<FrameInfo>() as u64;
    // After so many pages the entries lie on a page as they do on the first.
    let nr_holes = entry >> entry.trailing_zeros().min(12);
    let holes: &[FrameInfo] = take_table(free, (nr_holes * PAGE / entry) as usize);
    holes.iter().for_each(FrameInfo::declare_hole);
    let holes = holes.as_ptr().addr() as u64 - DIRECT_BASE;
    let views = &[(FRAME_TABLE_BASE, Rights::Write.bits())];
    PerFrame { entry, fill: 0, views, holes, nr_holes, seamless: true }.build(ram, free);
    let start = core::ptr::with_exposed_provenance(FRAME_TABLE_BASE as usize);
    // SAFETY: mapped by `build` for all frame numbers, with zeros, which entries may consist of, and
    // with the constant entries made above, which nobody writes: they are holes.
    unsafe { core::slice::from_raw_parts(start, (ram.end() / PAGE) as usize) }
}

/// Makes the machine-to-physical table, readable for guests. A GiB without memory has none.
fn build_m2p(ram: &Ranges, free: &mut Ranges) {
    let fill = frames::M2P_INVALID;
    let holes = take_filled(free, PAGE, PAGE, fill).addr() as u64 - DIRECT_BASE;
    let shown = (M2P_BASE, Rights::Read.bits() | bits::USER);
    let views = &[shown, (M2P_WRITE_BASE, Rights::Write.bits())];
    PerFrame { entry: 8, fill, views, holes, nr_holes: 1, seamless: false }.build(ram, free);
}

/// Tells the frame table which numbers below the highest have no memory behind them. What belongs to
/// the firmware counts as none: the control domain may map it like devices.
fn declare_holes(ram: &Ranges) {
    let mut holes = Ranges::default();
    holes.add(0, ram.end());
    ram.as_slice().iter().for_each(|range| holes.remove(range.start, range.end));
    holes.add(0, LOW_MEMORY.min(ram.end()));
    for hole in holes.as_slice() {
        let frames = &frames::table()[(hole.start / PAGE) as usize..(hole.end / PAGE) as usize];
        frames.iter().filter(|frame| !frame.is_hole()).for_each(FrameInfo::declare_hole);
    }
}
