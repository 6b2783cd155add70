//! Page tables of programs.
//!
//! A space is a root table. Its upper half is a copy of the kernel's, whose tables it shares, so the
//! kernel is the same in all; its lower half is the program's own. Entries are written directly; what
//! the processor may have cached of the active space is forgotten before `change` returns. Spaces that
//! are not active have nothing cached, because no entry is global and loading a root forgets all.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pvkernel_core::platform::{Change, OutOfMemory, SpaceId, UserAccess};

use crate::layout::{Pfn, PAGE};
use crate::mmu::{self, pte};
use crate::{cpu, frames};

/// First slot of the kernel's half.
const KERNEL_SLOTS: usize = 256;
const ENTRIES: usize = 512;
/// Bytes that one table of level 1 maps.
const LEVEL1: u64 = ENTRIES as u64 * PAGE;
/// Changes above which everything is forgotten instead of each page.
const FLUSH_ALL_ABOVE: usize = 16;

/// Frames that are tables of spaces.
static TABLES: AtomicUsize = AtomicUsize::new(0);
/// Number of the root that is loaded.
static ACTIVE: AtomicU64 = AtomicU64::new(0);

const fn root_of(space: SpaceId) -> Pfn {
    Pfn::new(space.0 as u64)
}

/// Takes a frame for a table.
fn take_table() -> Option<Pfn> {
    let pfn = frames::alloc()?;
    TABLES.fetch_add(1, Ordering::Relaxed);
    Some(pfn)
}

fn free_table(table: Pfn) {
    frames::free(table, 1);
    TABLES.fetch_sub(1, Ordering::Relaxed);
}

/// Frames that are tables of spaces.
pub(super) fn table_frames() -> usize {
    TABLES.load(Ordering::Relaxed)
}

/// Makes an empty space.
pub(super) fn new_space() -> Result<SpaceId, OutOfMemory> {
    let root = take_table().ok_or(OutOfMemory)?;
    mmu::clear_table(root);
    for index in KERNEL_SLOTS..ENTRIES {
        let entry = mmu::read_entry(mmu::root(), index);
        // SAFETY: a new root that nobody uses; the kernel's slots never change after boot.
        unsafe { mmu::write_entry(root, index, entry) };
    }
    Ok(SpaceId(root.get() as usize))
}

/// Frees a space and its tables.
pub(super) fn free_space(space: SpaceId) {
    let root = root_of(space);
    if ACTIVE.load(Ordering::Relaxed) == root.get() {
        activate_root(mmu::root());
    }
    free_below(root, 4, KERNEL_SLOTS);
    free_table(root);
}

/// Frees the tables that the first entries of a table refer to.
fn free_below(table: Pfn, level: u32, entries: usize) {
    for index in 0..entries {
        let entry = mmu::read_entry(table, index);
        if entry & pte::PRESENT != 0 {
            let lower = mmu::entry_pfn(entry);
            if level > 2 {
                free_below(lower, level - 1, ENTRIES);
            }
            free_table(lower);
        }
    }
}

/// The table of a level for an address, made if `grow` says so.
fn table_of(root: Pfn, va: u64, level: u32, grow: bool) -> Result<Option<Pfn>, OutOfMemory> {
    let mut table = root;
    for level in (level + 1..=4).rev() {
        let index = mmu::index(va, level);
        if !grow && mmu::read_entry(table, index) & pte::PRESENT == 0 {
            return Ok(None);
        }
        table = mmu::next_table(table, index, &mut take_table)?;
    }
    Ok(Some(table))
}

/// The entry for a page of a program.
fn entry_of(page: Option<(usize, UserAccess)>) -> u64 {
    let Some((frame, access)) = page else { return 0 };
    let write = if access.write { pte::RW | pte::DIRTY } else { 0 };
    let execute = if access.execute { 0 } else { pte::NX };
    Pfn::new(frame as u64).paddr() | pte::PRESENT | pte::USER | pte::ACCESSED | write | execute
}

/// Makes changes. Neighbours mostly have their entries in the same table, which is looked up once.
pub(super) fn change(space: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory> {
    let root = root_of(space);
    let is_active = ACTIVE.load(Ordering::Relaxed) == root.get();
    let (mut cached, mut of) = (None, u64::MAX);
    let mut stale = 0;
    let mut result = Ok(());
    for change in changes {
        assert!(mmu::index(change.address, 4) < KERNEL_SLOTS, "a page in the kernel's half");
        if change.address / LEVEL1 != of || (cached.is_none() && change.page.is_some()) {
            match table_of(root, change.address, 1, change.page.is_some()) {
                Ok(table) => (cached, of) = (table, change.address / LEVEL1),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let Some(table) = cached else { continue };
        let index = mmu::index(change.address, 1);
        let old = mmu::read_entry(table, index);
        // SAFETY: the lower half is the program's; the caller says what is there.
        unsafe { mmu::write_entry(table, index, entry_of(change.page)) };
        // Nothing is cached of an entry that was not present.
        if is_active && old & pte::PRESENT != 0 {
            stale += 1;
            if stale <= FLUSH_ALL_ABOVE {
                cpu::invlpg(change.address);
            }
        }
    }
    if stale > FLUSH_ALL_ABOVE {
        load(root);
    }
    result
}

/// Keeps a program from writing to what one table of level 1 maps, or lets it again: for a write, the
/// processor wants the permission of each level.
pub(super) fn set_block_writable(space: SpaceId, address: u64, writable: bool) {
    let root = root_of(space);
    let Ok(Some(level2)) = table_of(root, address, 2, false) else { return };
    let index = mmu::index(address, 2);
    let old = mmu::read_entry(level2, index);
    let new = if writable { old | pte::RW } else { old & !pte::RW };
    if old & pte::PRESENT == 0 || new == old {
        return;
    }
    // SAFETY: the lower half is the program's; the entry changes access only.
    unsafe { mmu::write_entry(level2, index, new) };
    if ACTIVE.load(Ordering::Relaxed) == root.get() {
        load(root);
    }
}

/// Loads a root table.
fn load(root: Pfn) {
    // SAFETY: the upper half is the kernel's in all roots, so what the kernel uses stays where it is.
    unsafe { cpu::write_cr3(root.paddr()) };
}

/// Makes a space the active one.
pub(super) fn activate(space: SpaceId) {
    activate_root(root_of(space));
}

fn activate_root(root: Pfn) {
    if ACTIVE.swap(root.get(), Ordering::Relaxed) != root.get() {
        load(root);
    }
}
