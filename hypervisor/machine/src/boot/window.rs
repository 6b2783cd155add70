//! Builds a CPU's window: stack, entry stubs, task state, descriptor tables.
//!
//! Called by the boot processor for itself and for each CPU it is about to start.

use super::memmap::Ranges;
use crate::cpu::{gdt, start};
use crate::entry::stubs;
use crate::layout::percpu_page;
use crate::layout::{window, HUGE_PAGE, PAGE, PERCPU_BASE, STACK_SIZE};
use crate::mem::pt::{self, Rights, Table};
use crate::percpu::CpuId;

extern "C" {
    static hv_boot_stack: u8;
}

/// Where the frames of a stack come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    /// Those of the stack in the image, for the boot processor.
    Boot,
    /// New ones.
    New,
}

/// A page of free memory that the boot tables map, as an empty table.
pub(super) fn early_page(free: &mut Ranges) -> Table {
    let Some(maddr) = free.take_low(PAGE, HUGE_PAGE) else {
        panic!("too little memory below 1 GiB for page tables");
    };
    // SAFETY: free RAM below 1 GiB, mapped by the boot tables and by the direct map, taken for ever.
    unsafe { Table::new(maddr) }
}

/// Builds the window of CPU `cpu` from pages that `page` makes.
pub(super) fn build(cpu: u32, stack: Stack, root: Table, page: &mut dyn FnMut() -> Table) {
    let base = percpu_page(cpu, 0);
    let mut leaf = root;
    for level in (2..=4).rev() {
        leaf = leaf.child(pt::index(base, level), page);
    }
    let zero = page();
    gdt::build(CpuId(cpu), leaf, page(), zero);
    let stub_page = page();
    fill(stub_page, &stubs::code(cpu));
    leaf.set(window::STUBS, stub_page.maddr() | Rights::Execute.bits());
    let tss_page = page();
    let words = start::task_state(cpu);
    for (index, pair) in words.chunks_exact(2).enumerate() {
        tss_page.set(index, u64::from(pair[0]) | u64::from(pair[1]) << 32);
    }
    leaf.set(window::TSS, tss_page.maddr() | Rights::Write.bits());
    for index in window::STACK..window::STACK + window::STACK_PAGES {
        if index != window::STACK_GUARD {
            let maddr = match stack {
                Stack::Boot => boot_stack() + (index - window::STACK) as u64 * PAGE,
                Stack::New => page().maddr(),
            };
            leaf.set(index, maddr | Rights::Write.bits());
        }
    }
}

fn boot_stack() -> u64 {
    super::memory::maddr_of(&raw const hv_boot_stack)
}

/// Writes bytes to the start of a page.
fn fill(page: Table, bytes: &[u8]) {
    for (index, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0xcc; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        page.set(index, u64::from_le_bytes(word));
    }
}

const _: () = assert!(PERCPU_BASE % HUGE_PAGE == 0 && STACK_SIZE == 8 * PAGE);
