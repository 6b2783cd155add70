//! Finds the memory, maps it, and hands it over: frame table, machine-to-physical table, allocator.
//!
//! Called once by the boot sequence. Order matters: page tables come from the first GiB, which the
//! boot tables map; everything larger is placed afterwards, through the new direct map.

use super::memmap::{Range, Ranges};
use super::multiboot::LoaderInfo;
use super::{paging, window};
use crate::layout::{direct, HUGE_PAGE, LARGE_PAGE, PAGE};
use crate::mem::{frames, pt};
use core::sync::atomic::AtomicU64;
use hv_core::page::FrameInfo;
use hypercall_abi::Mfn;

extern "C" {
    static hv_image_start: u8;
    static hv_image_end: u8;
}

/// Memory below this is left to the firmware and to starting CPUs.
const LOW_MEMORY: u64 = 1 << 20;

/// Machine address of a symbol of the image.
pub(super) fn maddr_of(symbol: *const u8) -> u64 {
    symbol.addr() as u64 - crate::layout::IMAGE_BASE
}

/// Machine addresses of the image.
pub(super) fn image_range() -> Range {
    Range { start: maddr_of(&raw const hv_image_start), end: maddr_of(&raw const hv_image_end) }
}

/// Builds everything from the boot loader's memory map.
pub(super) fn init(loader: &LoaderInfo<'_>) {
    let ram = Ranges::of_ram(loader.regions.as_slice());
    assert!(ram.total() > 0, "the boot loader gave no memory map");
    let mut free = free_ranges(&ram, loader);
    let root = paging::build(&ram, &mut free);
    let count = (ram.end() / PAGE) as usize;
    let table = take_zeroed(&mut free, (count * size_of::<FrameInfo>()) as u64);
    let open = take_zeroed(&mut free, (count.div_ceil(64) * 8) as u64);
    let m2p = build_m2p(root, &ram, &mut free);
    // SAFETY: both were taken for this purpose just now, zeroed, with room for `count` frames.
    unsafe { frames::install(table.cast(), open.cast(), count) };
    // SAFETY: one word per piece, each leading to 2 MiB taken for this purpose.
    unsafe { frames::install_m2p(m2p) };
    frames::set_total_ram(ram.total() / PAGE);
    declare_holes(&ram, count as u64);
    for module in loader.modules.as_slice() {
        frames::open_range(module.start & !(PAGE - 1), module.end.next_multiple_of(PAGE));
    }
    window::build(0, window::Stack::Boot, root, &mut || window::early_page(&mut free));
    for range in free.as_slice() {
        frames::add_free(range.start, range.end);
    }
}

/// RAM without the image, the modules and what the boot loader still holds.
fn free_ranges(ram: &Ranges, loader: &LoaderInfo<'_>) -> Ranges {
    let mut free = ram.clone();
    free.remove(0, LOW_MEMORY);
    let image = image_range();
    free.remove(image.start, image.end);
    for module in loader.modules.as_slice() {
        free.remove(module.start, module.end.max(module.start + 1));
    }
    for &(start, end) in loader.used.as_slice() {
        free.remove(start, end);
    }
    free
}

/// Takes memory for ever and fills every 64-bit word of it with `fill`.
fn take_filled(free: &mut Ranges, len: u64, align: u64, fill: u64) -> *mut u64 {
    let len = len.next_multiple_of(PAGE);
    let Some(maddr) = free.take_high(len, align, u64::MAX) else {
        panic!("too little memory for the frame table ({} KiB needed)", len / 1024);
    };
    let start = core::ptr::with_exposed_provenance_mut::<u64>(direct(maddr) as usize);
    // SAFETY: the range was free RAM, is ours now, and the direct map covers it.
    unsafe {
        core::arch::asm!("rep stosq", inout("rcx") len / 8 => _, inout("rdi") start => _,
            in("rax") fill, options(nostack, preserves_flags));
    }
    start
}

fn take_zeroed(free: &mut Ranges, len: u64) -> *mut u64 {
    take_filled(free, len, PAGE, 0)
}

/// Makes the machine-to-physical table, 2 MiB for each GiB that has memory; returns the list of its
/// pieces.
fn build_m2p(root: pt::Table, ram: &Ranges, free: &mut Ranges) -> *mut AtomicU64 {
    let pieces = ram.end().div_ceil(HUGE_PAGE);
    let list = take_zeroed(free, pieces * 8);
    let ram = ram.clone();
    for piece in 0..pieces {
        let covered = Range { start: piece * HUGE_PAGE, end: (piece + 1) * HUGE_PAGE };
        let has_ram = ram.as_slice().iter().any(|r| r.start < covered.end && r.end > covered.start);
        if !has_ram {
            continue;
        }
        let maddr = take_filled(free, LARGE_PAGE, LARGE_PAGE, u64::MAX).addr() as u64
            - crate::layout::DIRECT_BASE;
        paging::map_m2p(root, piece, maddr, &mut || window::early_page(free));
        // SAFETY: `list` has a word for each piece.
        let slot = unsafe { list.add(piece as usize) };
        // SAFETY: within the list, which is ours.
        unsafe { slot.write(maddr) };
    }
    list.cast()
}

/// Tells the frame table which numbers below the highest have no memory behind them. The first MiB
/// counts as none: firmware and devices live there, and the control domain may map it like them.
fn declare_holes(ram: &Ranges, count: u64) {
    const LOW_FRAMES: u64 = (1 << 20) / PAGE;
    let mut next = 0;
    let hole = |from: u64, to: u64| {
        for frame in frames::table().get(from as usize..to as usize).unwrap_or(&[]) {
            frame.declare_hole();
        }
    };
    for range in ram.as_slice() {
        hole(next, range.start / PAGE);
        next = range.end / PAGE;
    }
    hole(next, count);
    hole(0, LOW_FRAMES.min(count));
}

/// The boot loader's copy of the ACPI root pointer, from its address in the direct map.
pub(super) fn root_pointer(address: u64) -> Option<&'static [u8]> {
    const ROOT_POINTER_BYTES: usize = 36;
    if address == 0 {
        return None;
    }
    let start = core::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: the tag lies in the boot loader's information, which is kept; shorter pointers of the
    // old format are followed by other tags.
    Some(unsafe { core::slice::from_raw_parts(start, ROOT_POINTER_BYTES) })
}

/// A page of the allocator that becomes a table of the hypervisor.
pub(super) fn late_page() -> pt::Table {
    let Some(mfn) = frames::alloc(0) else { panic!("no memory for a page table") };
    frames::set_open(mfn, 0, false);
    // SAFETY: allocated just now and closed; never freed.
    unsafe { pt::Table::new(Mfn::maddr(mfn)) }
}
