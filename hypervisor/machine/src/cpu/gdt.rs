//! Descriptor tables: each CPU's own, seen through by the guest that runs there.
//!
//! The table is 15 pages in the CPU's window. The first 14 show the frames of the running vCPU (or a
//! page of zeros), the last is the hypervisor's with the selectors of Xen's ABI. So the selectors of
//! a guest and ours work at the same time, and the register is loaded once at boot. The guest's LDT
//! has 16 pages of the window.
//!
//! Exported as `desc`. The image holds a descriptor-page reference on every frame it shows here, and
//! takes frames away (`set_guest_gdt(&[])`, `ldt_clear`) before it drops the reference.

use super::asm::{self, invlpg, TablePointer};
use crate::layout::{percpu_page, window, PAGE};
use crate::mem::frames;
use crate::mem::pt::{self, Rights, Table};
use crate::percpu;
use core::sync::atomic::Ordering;
use hv_core::bits;
use hypercall_abi::Mfn;

/// Code selector of the hypervisor.
pub(crate) const HYPERVISOR_CS: u16 = 0xe008;
const HYPERVISOR_SS: u16 = 0xe010;
const TSS_SELECTOR: u16 = 0xe040;
const LDT_SELECTOR: u16 = 0xe050;
/// Last byte of the table: that of the descriptor with the CPU's number.
const LIMIT: u16 = 0xe06f;

const CODE64_RING0: u64 = 0x00af_9b00_0000_ffff;
const DATA_RING0: u64 = 0x00cf_9300_0000_ffff;
const CODE32_RING3: u64 = 0x00cf_fb00_0000_ffff;
const DATA_RING3: u64 = 0x00cf_f300_0000_ffff;
const CODE64_RING3: u64 = 0x00af_fb00_0000_ffff;
/// Present, available 64-bit TSS.
const TYPE_TSS: u64 = 0x89;
/// Present LDT.
const TYPE_LDT: u64 = 0x82;
/// Present, ring-3, read-only data: its limit is the CPU's number.
const TYPE_CPU_NUMBER: u64 = 0xf1;
const TSS_BYTES: u64 = 104;

/// Writes a 16-byte system descriptor into the hypervisor's page of the table.
fn write_system(page: Table, selector: u16, base: u64, limit: u64, kind: u64) {
    let low = (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | kind << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24 & 0xff) << 56;
    page.set(word_of(selector), low);
    page.set(word_of(selector) + 1, base >> 32);
}

/// Place of a descriptor in the hypervisor's page of the table.
const fn word_of(selector: u16) -> usize {
    selector as usize % PAGE as usize / 8
}

/// The table that maps this CPU's window.
fn own_window() -> Table {
    pt::find(percpu_page(percpu::cpu_id().0, 0), 1).expect("every CPU has a window")
}

/// Makes the descriptor table of CPU `cpu`, whose window `leaf` maps, of two empty pages.
pub(crate) fn build(cpu: u32, leaf: Table, reserved: Table, zero: Table) {
    let zero = zero.maddr() | Rights::Read.bits();
    (0..window::GDT_GUEST_PAGES).for_each(|index| leaf.set(window::GDT + index, zero));
    leaf.set(window::GDT_RESERVED, reserved.maddr() | Rights::Write.bits());
    leaf.set(window::GDT_ZERO, zero);
    let flat = [
        (HYPERVISOR_CS, CODE64_RING0),
        (HYPERVISOR_SS, DATA_RING0),
        (0xe020, CODE32_RING3),
        (0xe028, DATA_RING3),
        (0xe030, CODE64_RING3),
        (0xe060, TYPE_CPU_NUMBER << 40 | u64::from(cpu)),
    ];
    flat.into_iter().for_each(|(selector, entry)| reserved.set(word_of(selector), entry));
    let tss = percpu_page(cpu, window::TSS);
    write_system(reserved, TSS_SELECTOR, tss, TSS_BYTES - 1, TYPE_TSS);
}

/// Loads the tables of this CPU, `cpu`, and its segment registers.
pub(crate) fn load(cpu: u32) {
    let table = TablePointer::new(percpu_page(cpu, window::GDT), LIMIT);
    // SAFETY: `build` has filled the table, which lies in the CPU's window for ever, with these
    // descriptors; that of the task names the CPU's own.
    unsafe { asm::load_segment_tables(&table, HYPERVISOR_CS, HYPERVISOR_SS, TSS_SELECTOR) };
    // SAFETY: no LDT.
    unsafe { asm::lldt(0) };
}

/// Entry that shows a guest's frame to the CPU, which may set accessed bits in it.
fn alias(mfn: Mfn) -> u64 {
    assert!(frames::is_ram(mfn), "descriptor frame {mfn:#x} is no RAM");
    mfn.maddr() | Rights::Write.bits()
}

/// Changes an entry of this CPU's window and forgets the old translation.
fn replace(leaf: Table, page: usize, entry: u64) {
    if leaf.get(page) != entry {
        leaf.set(page, entry);
        invlpg(percpu_page(percpu::cpu_id().0, page));
    }
}

/// Shows the frames of a vCPU's GDT; pages beyond them read as zeros. At most 14 are used.
///
/// # Panics
/// When a frame is no RAM.
#[inline]
pub fn set_guest_gdt(new: &[Mfn]) {
    let shown = percpu::info().gdt_pages.load(Ordering::Relaxed) as usize;
    if shown != 0 || !new.is_empty() {
        show_gdt(&new[..new.len().min(window::GDT_GUEST_PAGES)], shown);
    }
}

/// Changes what is shown of `shown` pages before.
#[inline(never)]
fn show_gdt(new: &[Mfn], shown: usize) {
    let leaf = own_window();
    percpu::info().gdt_pages.store(new.len() as u32, Ordering::Relaxed);
    for page in 0..new.len().max(shown) {
        let entry = new.get(page).map_or_else(|| leaf.get(window::GDT_ZERO), |mfn| alias(*mfn));
        replace(leaf, window::GDT + page, entry);
    }
}

/// Loads an LDT of `entries` descriptors whose pages are shown one by one with [`ldt_map_page`]; an
/// access to another page faults inside the window. 0 means no LDT.
#[inline]
pub fn ldt_set(entries: u32) {
    let bytes = entries.min(8192) * 8;
    if percpu::info().ldt_bytes.swap(bytes, Ordering::Relaxed) != bytes {
        load_ldt(bytes);
    }
}

#[inline(never)]
fn load_ldt(bytes: u32) {
    let mut selector = 0;
    if let (Some(last), Some(reserved)) =
        (bytes.checked_sub(1), own_window().next(window::GDT_RESERVED))
    {
        let base = percpu_page(percpu::cpu_id().0, window::LDT);
        write_system(reserved, LDT_SELECTOR, base, last.into(), TYPE_LDT);
        selector = LDT_SELECTOR;
    }
    // SAFETY: none, or the descriptor just written, of the LDT part of the CPU's window.
    unsafe { asm::lldt(selector.into()) };
}

/// Shows a frame as page `index` (below 16) of the LDT.
///
/// # Panics
/// When the frame is no RAM.
pub fn ldt_map_page(index: usize, mfn: Mfn) {
    let entry = alias(mfn);
    if index < window::LDT_PAGES {
        percpu::info().ldt_pages.fetch_or(1 << index, Ordering::Relaxed);
        replace(own_window(), window::LDT + index, entry);
    }
}

/// Takes all pages of the LDT away; its size stays.
#[inline]
pub fn ldt_clear() {
    if percpu::info().ldt_pages.load(Ordering::Relaxed) != 0 {
        hide_ldt();
    }
}

#[inline(never)]
fn hide_ldt() {
    let shown = percpu::info().ldt_pages.swap(0, Ordering::Relaxed);
    bits(shown.into()).for_each(|index| replace(own_window(), window::LDT + index as usize, 0));
}

/// Offset of an address within this CPU's LDT, if it lies there: a fault of the guest at such an
/// address means that a page of its LDT is to be shown.
pub fn ldt_offset(va: u64) -> Option<u64> {
    let offset = va.checked_sub(percpu_page(percpu::cpu_id().0, window::LDT))?;
    (offset < window::LDT_PAGES as u64 * PAGE).then_some(offset)
}
