//! Page tables of the kernel.
//!
//! A page table is memory like any other: it is read and written where the direct map shows it, and
//! the processor looks at it by itself. What was changed may still be cached, so whoever changes or
//! removes an entry says so with `flush`.

use pvkernel_core::platform::{MapError, OutOfMemory};
use pvkernel_core::sync::Lock;

use core::sync::atomic::{AtomicU64, Ordering};

use crate::layout::{direct_va, Pfn, DIRECT_BASE, PAGE, VIRT_BASE};
use crate::{cpu, frames};

pub use crate::pte;
pub use pvkernel_core::tables::index;

/// A frame as page tables name it.
pub type Frame = Pfn;

/// Flags of a writable page of the kernel.
pub const KERNEL_RW: u64 = pte::PRESENT | pte::RW | pte::ACCESSED | pte::DIRTY | pte::NX;
/// Flags of a read-only page of the kernel.
pub const KERNEL_RO: u64 = pte::PRESENT | pte::ACCESSED | pte::NX;
/// Flags of an entry that refers to a lower table.
pub const TABLE: u64 = pte::PRESENT | pte::RW | pte::USER | pte::ACCESSED | pte::DIRTY;

/// Where page tables are: in the mapping of the boot at first, then in the direct map.
static TABLE_BASE: AtomicU64 = AtomicU64::new(VIRT_BASE);
/// The root table.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// Held while tables are added.
static GROWING: Lock<()> = Lock::new(());

/// Tells where the root table is.
pub(crate) fn init(root: Frame) {
    ROOT.store(root.get(), Ordering::Relaxed);
}

/// Switches to the direct map for tables; it must be in use.
pub(crate) fn direct_map_ready() {
    TABLE_BASE.store(DIRECT_BASE, Ordering::Relaxed);
}

/// The root table of the kernel.
#[must_use]
pub fn root() -> Frame {
    Frame::new(ROOT.load(Ordering::Relaxed))
}

/// The frame an entry refers to.
#[must_use]
pub const fn entry_frame(entry: u64) -> Frame {
    Frame::new((entry & pte::FRAME_MASK) / PAGE)
}

/// The frame of ours an entry refers to, if it is one.
#[must_use]
pub fn entry_pfn(entry: u64) -> Option<Pfn> {
    Some(entry_frame(entry))
}

/// The entry for a frame of ours.
#[must_use]
#[inline]
pub fn frame_entry(pfn: Pfn, flags: u64) -> u64 {
    pfn.paddr() | flags
}

/// Where an entry of a table is.
fn entry_at(table: Frame, index: usize) -> *mut u64 {
    let base = TABLE_BASE.load(Ordering::Relaxed);
    let address = base + table.get() * PAGE + 8 * (index as u64 & 511);
    core::ptr::with_exposed_provenance_mut(address as usize)
}

/// Reads an entry of a page table.
#[must_use]
#[inline]
pub fn read_entry(table: Frame, index: usize) -> u64 {
    let entry = entry_at(table, index);
    // SAFETY: page tables are memory, all of which is mapped at the base. The processor may mark the
    // entry as used meanwhile, hence volatile.
    unsafe { entry.read_volatile() }
}

/// Writes an entry of a page table.
///
/// # Safety
/// The frame is a page table, and the new mapping keeps what this kernel relies on.
#[inline]
pub unsafe fn write_entry(table: Frame, index: usize, entry: u64) {
    // SAFETY: as in `read_entry`; what the entry means is the caller's promise.
    unsafe { entry_at(table, index).write_volatile(pte::known(entry)) };
}

/// The level-1 table for an address.
pub(crate) fn level1_of(va: u64) -> Option<Frame> {
    let mut table = root();
    for level in [4, 3, 2] {
        let entry = read_entry(table, index(va, level));
        if entry & pte::PRESENT == 0 || entry & pte::LARGE != 0 {
            return None;
        }
        table = entry_frame(entry);
    }
    Some(table)
}

/// The level-1 entry that maps an address, if one is present.
#[must_use]
pub fn lookup(va: u64) -> Option<u64> {
    let entry = read_entry(level1_of(va)?, index(va, 1));
    (entry & pte::PRESENT != 0).then_some(entry)
}

/// Makes sure that there are tables for a range of addresses.
///
/// # Errors
/// Without memory for them.
pub fn ensure_tables(start: u64, pages: usize) -> Result<(), OutOfMemory> {
    let _guard = GROWING.lock();
    let end = start + pages as u64 * PAGE;
    let mut va = start & !(512 * PAGE - 1);
    while va < end {
        let mut table = root();
        for level in [4, 3, 2] {
            table = next_table(table, index(va, level))?;
        }
        va += 512 * PAGE;
    }
    Ok(())
}

/// The table an entry refers to, made if there is none.
fn next_table(table: Frame, index: usize) -> Result<Frame, OutOfMemory> {
    let entry = read_entry(table, index);
    if entry & pte::PRESENT != 0 {
        return Ok(entry_frame(entry));
    }
    let pfn = frames::alloc().ok_or(OutOfMemory)?;
    zero_frame(pfn);
    let entry = frame_entry(pfn, TABLE);
    // SAFETY: the entry was not present, so no memory in use changes.
    unsafe { write_entry(table, index, entry) };
    Ok(entry_frame(entry))
}

/// Fills a frame with zeros.
///
/// Must only be called for a frame that its caller allocated.
pub fn zero_frame(pfn: Pfn) {
    let page = core::ptr::with_exposed_provenance_mut::<u8>(direct_va(pfn) as usize);
    // SAFETY: the frame is mapped writable in the direct map and belongs to the caller.
    unsafe { page.write_bytes(0, PAGE as usize) };
}

/// Writes entries for consecutive pages whose tables exist. Returns how many were written; with an error,
/// how many were written before it.
///
/// # Safety
/// The new mappings keep what this program relies on.
///
/// # Errors
/// `Refused` where there is no table.
pub unsafe fn write_entries(
    start: u64,
    entries: &mut dyn Iterator<Item = u64>,
) -> Result<usize, (MapError, usize)> {
    let mut written = 0;
    for entry in entries {
        let va = start + written as u64 * PAGE;
        let table = level1_of(va).ok_or((MapError::Refused, written))?;
        // SAFETY: a page table; passed on to the caller.
        unsafe { write_entry(table, index(va, 1), entry) };
        written += 1;
    }
    Ok(written)
}

/// The same for memory of devices.
///
/// # Safety
/// As for `write_entries`.
///
/// # Errors
/// As `write_entries`.
pub unsafe fn write_device_entries(
    start: u64,
    entries: &mut dyn Iterator<Item = u64>,
) -> Result<usize, (MapError, usize)> {
    // SAFETY: passed on to the caller.
    unsafe { write_entries(start, entries) }
}

/// Pages above which everything is flushed instead of each page.
const FLUSH_ALL_ABOVE: usize = 8;

/// Forgets cached translations of a range.
pub fn flush(start: u64, pages: usize) {
    if pages > FLUSH_ALL_ABOVE {
        return flush_all();
    }
    let addresses: [u64; FLUSH_ALL_ABOVE] = core::array::from_fn(|page| start + page as u64 * PAGE);
    flush_each(&addresses[..pages]);
}

/// Forgets all cached translations: no entry is global.
pub fn flush_all() {
    // SAFETY: the root does not change.
    unsafe { cpu::write_cr3(cpu::read_cr3()) };
}

/// Forgets cached translations of single addresses.
pub fn flush_each(addresses: &[u64]) {
    addresses.iter().for_each(|address| cpu::invlpg(*address));
}
