//! Descriptor tables: each CPU's own, seen through by the guest that runs there.
//!
//! The table is 15 pages in the CPU's window. The first 14 show the frames of the running vCPU (or a
//! page of zeros), the last is the hypervisor's with the selectors of Xen's ABI. So the selectors of
//! a guest and ours work at the same time, and the register is loaded once at boot. The guest's LDT
//! has 16 pages of the window.
//!
//! Exported as `desc`. The image holds a descriptor-page reference on every frame it shows here, and
//! takes frames away (`set_guest_gdt(&[])`, `ldt_clear`) before it drops the reference.

use super::asm;
use crate::layout::{percpu_page, window, PAGE};
use crate::mem::frames;
use crate::mem::pt::{Rights, Table};
use crate::percpu::{self, CpuId, MAX_CPUS};
use crate::sync::Once;
use core::sync::atomic::Ordering;
use hypercall_abi::Mfn;

/// Code selector of the hypervisor.
pub(crate) const HYPERVISOR_CS: u16 = 0xe008;
const HYPERVISOR_SS: u16 = 0xe010;
const TSS_SELECTOR: u16 = 0xe040;
const LDT_SELECTOR: u16 = 0xe050;
/// First byte of the hypervisor's page of the table.
const RESERVED_START: usize = 0xe000;
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

/// The tables that map the CPUs' windows.
static WINDOWS: [Once<Table>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
/// The hypervisor's page of each CPU's table; it is written like a table, by words.
static RESERVED: [Once<Table>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
/// Frame with zeros, shown in place of pages the guest has not set.
static ZERO: Once<Table> = Once::new();

/// A 16-byte system descriptor.
const fn system_descriptor(base: u64, limit: u64, kind: u64) -> [u64; 2] {
    let low = (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | kind << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

fn window_of(cpu: CpuId) -> Table {
    match WINDOWS[cpu.0 as usize % MAX_CPUS].get() {
        Some(table) => *table,
        None => panic!("CPU {} has no window", cpu.0),
    }
}

fn reserved_word(cpu: CpuId, selector: u16) -> (Table, usize) {
    match RESERVED[cpu.0 as usize % MAX_CPUS].get() {
        Some(table) => (*table, (selector as usize - RESERVED_START) / 8),
        None => panic!("CPU {} has no descriptor table", cpu.0),
    }
}

fn write_system(cpu: CpuId, selector: u16, descriptor: [u64; 2]) {
    let (table, index) = reserved_word(cpu, selector);
    table.set(index, descriptor[0]);
    table.set(index + 1, descriptor[1]);
}

/// Entry that shows a guest's frame to the CPU, which may set accessed bits in it.
fn alias(mfn: Mfn) -> u64 {
    mfn.maddr() | Rights::Write.bits()
}

fn zero_alias() -> u64 {
    ZERO.get().map_or(0, |zero| zero.maddr() | Rights::Read.bits())
}

/// Makes the table of CPU `cpu`: `window` maps its window, `reserved` is its own page, `zero` a page
/// of zeros.
pub(crate) fn build(cpu: CpuId, window_table: Table, reserved: Table, zero: Table) {
    let zero = *ZERO.call_once(|| zero);
    WINDOWS[cpu.0 as usize % MAX_CPUS].call_once(|| window_table);
    RESERVED[cpu.0 as usize % MAX_CPUS].call_once(|| reserved);
    for page in 0..window::GDT_GUEST_PAGES {
        window_table.set(window::GDT + page, zero.maddr() | Rights::Read.bits());
    }
    window_table
        .set(window::GDT + window::GDT_GUEST_PAGES, reserved.maddr() | Rights::Write.bits());
    let flat = [
        (0xe008, CODE64_RING0),
        (0xe010, DATA_RING0),
        (0xe020, CODE32_RING3),
        (0xe028, DATA_RING3),
        (0xe030, CODE64_RING3),
        (0xe060, TYPE_CPU_NUMBER << 40 | u64::from(cpu.0)),
    ];
    for (selector, descriptor) in flat {
        let (table, index) = reserved_word(cpu, selector);
        table.set(index, descriptor);
    }
    let tss = percpu_page(cpu.0, window::TSS);
    write_system(cpu, TSS_SELECTOR, system_descriptor(tss, TSS_BYTES - 1, TYPE_TSS));
}

/// Loads this CPU's tables and segment registers.
pub(crate) fn load() {
    let cpu = percpu::cpu_id();
    // SAFETY: `build` has filled the table, which lies in the CPU's window for ever.
    unsafe { asm::lgdt(percpu_page(cpu.0, window::GDT), LIMIT) };
    // SAFETY: both selectors are flat ring-0 descriptors of that table.
    unsafe { asm::load_cs_ss(HYPERVISOR_CS, HYPERVISOR_SS) };
    // SAFETY: the descriptor names the CPU's own task state, filled before.
    unsafe { asm::ltr(TSS_SELECTOR) };
    // SAFETY: no LDT.
    unsafe { asm::lldt(0) };
}

/// Shows the frames of a vCPU's GDT; pages beyond them read as zeros. At most 14 are used.
///
/// # Panics
/// When a frame is no RAM.
pub fn set_guest_gdt(new: &[Mfn]) {
    let new = &new[..new.len().min(window::GDT_GUEST_PAGES)];
    let cpu = percpu::cpu_id();
    let table = window_of(cpu);
    let shown = percpu::info().gdt_pages.swap(new.len() as u32, Ordering::Relaxed) as usize;
    for page in 0..new.len().max(shown) {
        let entry = match new.get(page) {
            Some(&mfn) => {
                assert!(frames::is_ram(mfn), "descriptor frame {mfn:#x} is no RAM");
                alias(mfn)
            }
            None => zero_alias(),
        };
        replace(table, cpu, window::GDT + page, entry);
    }
}

/// Changes an entry of this CPU's window and forgets the old translation.
fn replace(table: Table, cpu: CpuId, page: usize, entry: u64) {
    if table.get(page) != entry {
        table.set(page, entry);
        asm::invlpg(percpu_page(cpu.0, page));
    }
}

/// Loads an LDT of `entries` descriptors whose pages are shown one by one with [`ldt_map_page`]; an
/// access to another page faults inside the window. 0 means no LDT.
pub fn ldt_set(entries: u32) {
    let bytes = entries.min(8192) * 8;
    let cpu = percpu::cpu_id();
    if percpu::info().ldt_bytes.swap(bytes, Ordering::Relaxed) == bytes {
        return;
    }
    if bytes == 0 {
        // SAFETY: no LDT.
        unsafe { asm::lldt(0) };
        return;
    }
    let base = percpu_page(cpu.0, window::LDT);
    let descriptor = system_descriptor(base, u64::from(bytes) - 1, TYPE_LDT);
    write_system(cpu, LDT_SELECTOR, descriptor);
    // SAFETY: the descriptor names the LDT part of the CPU's window.
    unsafe { asm::lldt(LDT_SELECTOR) };
}

/// Shows a frame as page `index` (below 16) of the LDT.
///
/// # Panics
/// When the frame is no RAM.
pub fn ldt_map_page(index: usize, mfn: Mfn) {
    assert!(frames::is_ram(mfn), "descriptor frame {mfn:#x} is no RAM");
    if index < window::LDT_PAGES {
        let cpu = percpu::cpu_id();
        percpu::info().ldt_pages.fetch_or(1 << index, Ordering::Relaxed);
        replace(window_of(cpu), cpu, window::LDT + index, alias(mfn));
    }
}

/// Takes all pages of the LDT away; its size stays.
pub fn ldt_clear() {
    let mut shown = percpu::info().ldt_pages.swap(0, Ordering::Relaxed);
    let cpu = percpu::cpu_id();
    while shown != 0 {
        let index = shown.trailing_zeros() as usize;
        shown &= shown - 1;
        replace(window_of(cpu), cpu, window::LDT + index, 0);
    }
}

/// Offset of an address within this CPU's LDT, if it lies there: a fault of the guest at such an
/// address means that a page of its LDT is to be shown.
#[must_use]
pub fn ldt_offset(va: u64) -> Option<u64> {
    let start = percpu_page(percpu::cpu_id().0, window::LDT);
    let offset = va.checked_sub(start)?;
    (offset < window::LDT_PAGES as u64 * PAGE).then_some(offset)
}

/// Whether an address lies in the guest part of this CPU's GDT.
#[must_use]
pub fn gdt_offset(va: u64) -> Option<u64> {
    let start = percpu_page(percpu::cpu_id().0, window::GDT);
    let offset = va.checked_sub(start)?;
    (offset < window::GDT_GUEST_PAGES as u64 * PAGE).then_some(offset)
}
