//! Builds the direct map at boot: every frame of the domain at `DIRECT_BASE`.
//!
//! The tables themselves lie in the first frames behind the boot stack, whether those are mapped or
//! not: each is filled through one scratch page whose mapping is moved from table to table. They
//! are read-only in the new map from the start, so the whole tree can be hooked into the root with
//! a single update.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use hypercall_abi::mmu::uvmf;
use pvkernel_core::direct::{Entry, Plan, ENTRIES};

use crate::hypercall::mmu::update_va_mapping;
use crate::layout::{Pfn, DIRECT_BASE, PAGE};
use crate::mmu::{self, KERNEL_RO, KERNEL_RW, TABLE};
use crate::p2m;

/// A page whose mapping is moved around.
#[repr(C, align(4096))]
struct Scratch(core::cell::UnsafeCell<[u64; ENTRIES]>);

// SAFETY: used at boot only, by one thread.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(core::cell::UnsafeCell::new([0; ENTRIES]));

/// First of the tables that map frames; they are consecutive.
static LEVEL1_FIRST: AtomicUsize = AtomicUsize::new(0);

/// Machine address of the entry that maps a frame in the direct map.
pub(crate) fn entry_of(pfn: Pfn) -> u64 {
    let frame = pfn.get() as usize;
    let table = LEVEL1_FIRST.load(Ordering::Relaxed) + frame / ENTRIES;
    let table = p2m::mfn(Pfn::new(table as u64)).expect("tables have a machine frame");
    mmu::entry_maddr(table, frame % ENTRIES)
}

/// An entry as the processor reads it.
fn bits(entry: Entry) -> u64 {
    let (frame, flags) = match entry {
        Entry::Empty => return 0,
        Entry::Table(frame) => (frame, TABLE),
        Entry::Memory(frame) => (frame, KERNEL_RW),
        Entry::ReadOnly(frame) => (frame, KERNEL_RO),
    };
    mmu::frame_entry(Pfn::new(frame as u64), flags)
}

/// Makes the direct map.
///
/// # Safety
/// The frames of the plan's tables are unused, and this runs once, at boot.
pub(crate) unsafe fn build(plan: &Plan) {
    assert!(
        plan.fits(),
        "more memory than the direct map has room for, or too little for its tables"
    );
    let scratch = SCRATCH.0.get();
    let scratch_va = scratch as u64;
    let own_entry = mmu::lookup(scratch_va).expect("the image is mapped");
    for table in plan.tables() {
        // SAFETY: the frame is unused.
        unsafe { mmu::forget_initial(Pfn::new(table as u64)) };
        move_scratch(scratch_va, bits(Entry::Memory(table)));
        let entries = NonNull::new(scratch.cast::<u64>()).expect("statics have addresses");
        for index in 0..ENTRIES {
            // SAFETY: the index is within the page.
            let to = unsafe { entries.add(index) };
            // SAFETY: the page is mapped writable and only reached here.
            unsafe { to.write_volatile(bits(plan.entry(table, index))) };
        }
    }
    move_scratch(scratch_va, own_entry);
    let top = bits(Entry::Table(plan.tables().start));
    // SAFETY: the slot was empty, so no memory in use changes.
    unsafe { mmu::write_entry(mmu::root(), mmu::index(DIRECT_BASE, 4), top) };
    LEVEL1_FIRST.store(plan.level1(), Ordering::Relaxed);
}

fn move_scratch(va: u64, entry: u64) {
    // SAFETY: the scratch page holds nothing that anybody relies on between two moves.
    unsafe { update_va_mapping(va, entry, uvmf::INVLPG | uvmf::LOCAL) }
        .expect("a frame of ours can be mapped");
}

const _: () = assert!(PAGE as usize == ENTRIES * 8);
