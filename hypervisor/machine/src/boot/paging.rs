//! Builds the hypervisor's address space and switches to it.
//!
//! Called once. All tables made here are for ever; the sixteen root entries become part of every
//! guest's root (`mem::hvslots`).

use super::memmap::Ranges;
use super::memory::maddr_of;
use super::window::early_page;
use crate::cpu::{self, asm};
use crate::layout::{
    DIRECT_BASE, HUGE_PAGE, IMAGE_BASE, LARGE_PAGE, M2P_BASE, MMIO_BASE, PAGE, PERCPU_BASE,
};
use crate::mem::pt::{self, bits, Rights, Table};
use crate::mem::{hvslots, mmio};

extern "C" {
    static hv_image_start: u8;
    static hv_image_text_start: u8;
    static hv_image_text_end: u8;
    static hv_image_data_start: u8;
    static hv_image_end: u8;
}

/// Builds the tables from `free` memory and loads them.
pub(super) fn build(ram: &Ranges, free: &mut Ranges) -> Table {
    let root = early_page(free);
    map_image(root, free);
    map_direct(root, ram, free);
    reserve_areas(root, free);
    // SAFETY: the new tables map the code that runs and, at the same address, the stack it uses.
    unsafe { asm::write_cr3(root.maddr()) };
    pt::use_direct_map();
    hvslots::set_root(root);
    root
}

/// Maps the image page by page, each part with its rights.
fn map_image(root: Table, free: &mut Ranges) {
    let parts = [
        (&raw const hv_image_start, &raw const hv_image_text_start, Rights::Read),
        (&raw const hv_image_text_start, &raw const hv_image_text_end, Rights::Execute),
        (&raw const hv_image_text_end, &raw const hv_image_data_start, Rights::Read),
        (&raw const hv_image_data_start, &raw const hv_image_end, Rights::Write),
    ];
    for (start, end, rights) in parts {
        let mut at = maddr_of(start);
        while at < maddr_of(end) {
            pt::map(root, IMAGE_BASE + at, at | rights.bits(), 1, &mut || early_page(free));
            at += PAGE;
        }
    }
}

/// Maps all memory, in the largest pages that fit; the ends are rounded to large pages.
fn map_direct(root: Table, ram: &Ranges, free: &mut Ranges) {
    for range in ram.as_slice() {
        let mut at = range.start / LARGE_PAGE * LARGE_PAGE;
        while at < range.end {
            let huge = cpu::features().huge_pages
                && at % HUGE_PAGE == 0
                && at >= range.start
                && at + HUGE_PAGE <= range.end;
            let (level, size) = if huge { (3, HUGE_PAGE) } else { (2, LARGE_PAGE) };
            let entry = at | Rights::Write.bits();
            pt::map(root, DIRECT_BASE + at, entry, level, &mut || early_page(free));
            at += size;
        }
    }
}

/// Makes the upper tables of areas that are filled later, so that the root entries are final.
fn reserve_areas(root: Table, free: &mut Ranges) {
    let mut page = || early_page(free);
    let slot = root.child(pt::index(IMAGE_BASE, 4), &mut page);
    slot.child(pt::index(PERCPU_BASE, 3), &mut page);
    let leaf =
        slot.child(pt::index(MMIO_BASE, 3), &mut page).child(pt::index(MMIO_BASE, 2), &mut page);
    mmio::init(leaf);
    root.child(pt::index(M2P_BASE, 4), &mut page);
}

/// Maps one piece of the machine-to-physical table, readable for guests.
pub(super) fn map_m2p(root: Table, piece: u64, maddr: u64, page: &mut dyn FnMut() -> Table) {
    let entry = maddr | Rights::Read.bits() | bits::USER;
    pt::map(root, M2P_BASE + piece * LARGE_PAGE, entry, 2, page);
}
