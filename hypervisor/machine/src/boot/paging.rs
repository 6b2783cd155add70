//! Builds the hypervisor's address space and switches to it; builds the windows of the CPUs.
//!
//! Called by the boot processor: once, and for itself and each CPU it is about to start. All tables
//! made here are for ever; the sixteen root entries become part of every guest's root
//! (`mem::hvslots`).

use crate::cpu::{self, asm, gdt, start};
use crate::layout::{self, percpu_page, window};
use crate::layout::{
    DIRECT_BASE, HUGE_PAGE, IMAGE_BASE, LARGE_PAGE, M2P_BASE, MMIO_BASE, PAGE, PERCPU_BASE,
};
use crate::mem::pt::{self, Rights, Table};
use crate::mem::{frames, hvslots};
use crate::percpu::MAX_CPUS;
use crate::pure::memmap::Ranges;
use crate::tlb;

extern "C" {
    static hv_image_start: u8;
    static hv_image_text_start: u8;
    static hv_image_text_end: u8;
    static hv_image_data_start: u8;
    static hv_image_load_end: u8;
    static hv_boot_stack: u8;
    static hv_image_end: u8;
    static hv_syscall_stubs: u8;
}

/// Machine address of a symbol of the image.
pub(super) fn maddr_of(symbol: *const u8) -> u64 {
    symbol.addr() as u64 - IMAGE_BASE
}

/// A page of free memory that the boot tables map, as an empty table.
pub(super) fn early_page(free: &mut Ranges) -> Table {
    let maddr = free.take_low(PAGE, HUGE_PAGE).expect("memory below 1 GiB for page tables");
    // SAFETY: free RAM below 1 GiB, mapped by the boot tables and by the direct map, taken for ever.
    unsafe { Table::new(maddr) }
}

/// A page of the allocator that becomes a table of the hypervisor.
fn late_page() -> Table {
    let mfn = frames::alloc(0).expect("memory for a page table");
    frames::set_open(mfn.get(), mfn.get() + 1, false);
    // SAFETY: allocated just now and closed; never freed.
    unsafe { Table::new(mfn.maddr()) }
}

/// Builds the tables from `free` memory and loads them.
pub(super) fn build(ram: &Ranges, free: &mut Ranges) {
    let root = early_page(free);
    hvslots::set_root(root);
    map_image(free);
    map_direct(ram, free);
    // The upper tables of areas that are filled later, so that the root entries are final.
    for (area, level) in [(M2P_BASE, 3), (PERCPU_BASE, 2), (MMIO_BASE, 1)] {
        pt::make(area, level, &mut || early_page(free));
    }
    // SAFETY: the new tables map the code that runs and, at the same address, the stack it uses.
    unsafe { asm::write_cr3(root.maddr()) };
    pt::use_direct_map();
}

/// Maps the image page by page, each part with its rights.
fn map_image(free: &mut Ranges) {
    let parts = [
        (&raw const hv_image_start, &raw const hv_image_text_start, Rights::Read),
        (&raw const hv_image_text_start, &raw const hv_image_text_end, Rights::Execute),
        (&raw const hv_image_text_end, &raw const hv_image_data_start, Rights::Read),
        (&raw const hv_image_data_start, &raw const hv_image_end, Rights::Write),
    ];
    for (start, end, rights) in parts {
        for at in (maddr_of(start)..maddr_of(end)).step_by(PAGE as usize) {
            pt::map(IMAGE_BASE + at, at | rights.bits(), 1, &mut || early_page(free));
        }
    }
}

/// Maps all memory, in the largest pages that fit; the ends are rounded to large pages.
fn map_direct(ram: &Ranges, free: &mut Ranges) {
    for range in ram.as_slice() {
        let mut at = range.start / LARGE_PAGE * LARGE_PAGE;
        while at < range.end {
            let huge = cpu::features().huge_pages
                && at.is_multiple_of(HUGE_PAGE)
                && at >= range.start
                && at + HUGE_PAGE <= range.end;
            let (level, size) = if huge { (3, HUGE_PAGE) } else { (2, LARGE_PAGE) };
            let entry = at | Rights::Write.bits();
            pt::map(DIRECT_BASE + at, entry, level, &mut || early_page(free));
            at += size;
        }
    }
}

/// Gives the boot stack to the allocator, with what its alignment left unused below it. Nothing runs
/// on it any more, and other CPUs never did.
pub(super) fn free_boot_stack() {
    let start = maddr_of(&raw const hv_image_load_end).next_multiple_of(PAGE);
    let end = maddr_of(&raw const hv_boot_stack) + layout::STACK_SIZE;
    for va in (IMAGE_BASE + start..IMAGE_BASE + end).step_by(PAGE as usize) {
        pt::make(va, 1, &mut late_page).set(pt::index(va, 1), 0);
    }
    tlb::flush_local_all();
    frames::add_free(start, end);
}

/// Builds the window of CPU `cpu`: descriptor tables, entry stubs, task state, stack.
pub(super) fn build_window(cpu: u32) {
    let leaf = pt::make(percpu_page(cpu, 0), 1, &mut late_page);
    gdt::build(cpu, leaf, late_page(), late_page());
    leaf.set(window::STUBS, maddr_of(&raw const hv_syscall_stubs) | Rights::Execute.bits());
    let task = late_page();
    start::task_state(cpu).iter().enumerate().for_each(|(index, word)| task.set(index, *word));
    leaf.set(window::TSS, task.maddr() | Rights::Write.bits());
    let stack = window::STACK..window::STACK + window::STACK_PAGES;
    for index in stack.filter(|index| *index != window::STACK_GUARD) {
        leaf.set(index, late_page().maddr() | Rights::Write.bits());
    }
}

const _: () = assert!(percpu_page(MAX_CPUS as u32, 0) <= MMIO_BASE);
const _: () = assert!(IMAGE_BASE.is_multiple_of(HUGE_PAGE) && MMIO_BASE - IMAGE_BASE < HUGE_PAGE);
