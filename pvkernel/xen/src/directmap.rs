//! Builds the direct map at boot: every frame of the domain at `DIRECT_BASE`.
//!
//! The tables themselves lie in the first frames behind the boot stack, whether those are mapped or
//! not: each is filled through one scratch page whose mapping is moved from table to table. They
//! are read-only in the new map from the start, so the whole tree can be hooked into the root with
//! a single update.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use hypercall_abi::mmu::{uvmf, MmuUpdate, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::{DomId, Mfn, Pfn};

use crate::hypercall::mmu::{mmu_update, update_va_mapping};
use crate::layout::{DIRECT_BASE, PAGE};
use crate::mmu::{self, KERNEL_RO, KERNEL_RW, TABLE};
use crate::p2m;

const ENTRIES: usize = 512;

/// A page whose mapping is moved around.
#[repr(C, align(4096))]
struct Scratch(core::cell::UnsafeCell<[u64; ENTRIES]>);

// SAFETY: used at boot only, by one thread.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(core::cell::UnsafeCell::new([0; ENTRIES]));

/// The frames that the direct map's tables occupy, and what lies before them.
pub(crate) struct Plan {
    nr_pages: usize,
    boot_tables: core::ops::Range<usize>,
    first: usize,
    level1: usize,
    level2: usize,
}

impl Plan {
    /// A plan for `nr_pages` frames with tables from frame `first` on.
    pub(crate) const fn new(
        nr_pages: usize,
        boot_tables: core::ops::Range<usize>,
        first: usize,
    ) -> Self {
        let level1 = nr_pages.div_ceil(ENTRIES);
        Self { nr_pages, boot_tables, first, level1, level2: level1.div_ceil(ENTRIES) }
    }

    /// First frame behind the tables.
    pub(crate) const fn end(&self) -> usize {
        self.first + 1 + self.level2 + self.level1
    }

    fn is_table(&self, frame: usize) -> bool {
        self.boot_tables.contains(&frame) || (self.first..self.end()).contains(&frame)
    }

    fn leaf(&self, frame: usize) -> u64 {
        if frame >= self.nr_pages {
            return 0;
        }
        let flags = if self.is_table(frame) { KERNEL_RO } else { KERNEL_RW };
        frame_mfn(frame).maddr() | flags
    }

    /// Entry `index` of table `table`, counted from the plan's first frame.
    fn entry(&self, table: usize, index: usize) -> u64 {
        let level1_first = 1 + self.level2;
        let (child, limit) = match table {
            0 => (1 + index, level1_first),
            t if t < level1_first => {
                (level1_first + (t - 1) * ENTRIES + index, level1_first + self.level1)
            }
            t => return self.leaf((t - level1_first) * ENTRIES + index),
        };
        if child < limit {
            frame_mfn(self.first + child).maddr() | TABLE
        } else {
            0
        }
    }
}

fn frame_mfn(frame: usize) -> Mfn {
    p2m::mfn(Pfn::new(frame as u64)).expect("the builder lists every frame")
}

/// First of the tables that map frames; they are consecutive.
static LEVEL1_FIRST: AtomicUsize = AtomicUsize::new(0);

/// Machine address of the entry that maps a frame in the direct map.
pub(crate) fn entry_of(pfn: Pfn) -> u64 {
    let frame = pfn.get() as usize;
    let table = LEVEL1_FIRST.load(Ordering::Relaxed) + frame / ENTRIES;
    mmu::entry_maddr(frame_mfn(table), frame % ENTRIES)
}

/// Makes the direct map.
///
/// # Safety
/// Frames `plan.first..plan.end()` are unused, and this runs once, at boot.
pub(crate) unsafe fn build(plan: &Plan) {
    assert!(plan.level2 < ENTRIES, "more memory than the direct map has room for");
    assert!(plan.end() < plan.nr_pages, "too little memory for page tables");
    let scratch = SCRATCH.0.get();
    let scratch_va = scratch as u64;
    let own_entry = mmu::lookup(scratch_va).expect("the image is mapped");
    for table in 0..plan.end() - plan.first {
        let frame = plan.first + table;
        // SAFETY: the frame is unused.
        unsafe { mmu::forget_initial(Pfn::new(frame as u64)) };
        move_scratch(scratch_va, frame_mfn(frame).maddr() | KERNEL_RW);
        let entries = NonNull::new(scratch.cast::<u64>()).expect("statics have addresses");
        for index in 0..ENTRIES {
            // SAFETY: the index is within the page.
            let to = unsafe { entries.add(index) };
            // SAFETY: the page is mapped writable and only reached here.
            unsafe { to.write_volatile(plan.entry(table, index)) };
        }
    }
    move_scratch(scratch_va, own_entry);
    let slot = mmu::entry_maddr(mmu::root(), mmu::index(DIRECT_BASE, 4));
    let update = MmuUpdate::new(MMU_NORMAL_PT_UPDATE, slot, frame_mfn(plan.first).maddr() | TABLE);
    // SAFETY: the slot was empty, so no memory in use changes.
    unsafe { mmu_update(&[update], DomId::SELF) }.expect("the direct map is acceptable");
    LEVEL1_FIRST.store(plan.first + 1 + plan.level2, Ordering::Relaxed);
    mmu::direct_map_ready();
}

fn move_scratch(va: u64, entry: u64) {
    // SAFETY: the scratch page holds nothing that anybody relies on between two moves.
    unsafe { update_va_mapping(va, entry, uvmf::INVLPG | uvmf::LOCAL) }
        .expect("a frame of ours can be mapped");
}

const _: () = assert!(PAGE as usize == ENTRIES * 8);
