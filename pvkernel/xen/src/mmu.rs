//! Page tables of the kernel.
//!
//! The hypervisor lets a domain read its page tables and refuses to let it write them: a frame
//! becomes a page table only when no writable mapping of it exists, and from then on every change
//! is a checked hypercall. So a new table is filled as ordinary memory, *sealed* (`sealing`: made
//! read-only wherever it is mapped), and then hooked into its parent. Many entries are written with
//! few calls (`updates`).

use hypercall_abi::mmu::{mmuext, MmuUpdate, MmuextOp, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::{DomId, Mfn};
use pvkernel_core::platform::{MapError, OutOfMemory};
use pvkernel_core::sync::Lock;

use core::sync::atomic::{AtomicU64, Ordering};

use crate::hypercall::mmu::{mmu_update, mmuext_self};
use crate::layout::{direct_va, Pfn, DIRECT_BASE, PAGE, VIRT_BASE};
use crate::{frames, p2m, updates};

pub use crate::sealing::{forget_initial, seal, set_direct, unseal};
pub use hypercall_abi::mmu::pte;
pub use pvkernel_core::tables::index;

/// A frame as page tables name it.
pub type Frame = Mfn;

/// Flags of a writable page of the kernel.
pub const KERNEL_RW: u64 = pte::PRESENT | pte::RW | pte::ACCESSED | pte::DIRTY;
/// Flags of a read-only page of the kernel.
pub const KERNEL_RO: u64 = pte::PRESENT | pte::ACCESSED;
/// Flags of an entry that refers to a lower table.
pub const TABLE: u64 = pte::PRESENT | pte::RW | pte::USER | pte::ACCESSED | pte::DIRTY;

/// Flushes per hypercall.
const FLUSH_TOGETHER: usize = 4;

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
    p2m::pfn(entry_frame(entry))
}

/// The entry for a frame of ours.
///
/// # Panics
/// If the frame was given away.
#[must_use]
#[inline]
pub fn frame_entry(pfn: Pfn, flags: u64) -> u64 {
    p2m::mfn(pfn).expect("frames in use have a machine frame").maddr() | flags
}

/// Machine address of an entry.
#[must_use]
pub const fn entry_maddr(table: Frame, index: usize) -> u64 {
    table.maddr() + 8 * index as u64
}

/// Where an entry of a table is, if the table is ours.
fn entry_at(table: Frame, index: usize) -> Option<*mut u64> {
    let base = TABLE_BASE.load(Ordering::Relaxed);
    let address = base + p2m::pfn(table)?.get() * PAGE + 8 * (index as u64 & 511);
    Some(core::ptr::with_exposed_provenance_mut(address as usize))
}

/// Reads an entry of a page table; 0 for a frame that is not ours.
#[must_use]
#[inline]
pub fn read_entry(table: Frame, index: usize) -> u64 {
    let Some(entry) = entry_at(table, index) else { return 0 };
    // SAFETY: page tables are frames of ours, and all of them are mapped readable at the base. The
    // hypervisor may change the entry meanwhile, hence volatile.
    unsafe { entry.read_volatile() }
}

/// Writes an entry of a page table.
///
/// # Safety
/// The frame is a page table, and the new mapping keeps what this kernel relies on.
///
/// # Panics
/// If the hypervisor refuses it.
#[inline]
pub unsafe fn write_entry(table: Frame, index: usize, entry: u64) {
    let update = MmuUpdate::new(MMU_NORMAL_PT_UPDATE, entry_maddr(table, index), entry);
    // SAFETY: passed on to the caller.
    unsafe { mmu_update(&[update], DomId::SELF) }.expect("a kernel's entry is acceptable");
}

/// The level-1 table for an address.
pub(crate) fn level1_of(va: u64) -> Option<Frame> {
    let mut table = root();
    for level in [4, 3, 2] {
        let entry = read_entry(table, index(va, level));
        if entry & pte::PRESENT == 0 {
            return None;
        }
        table = entry_frame(entry);
    }
    Some(table)
}

/// Machine address of the level-1 entry for an address, if there is a table for it.
#[must_use]
pub fn level1_entry_maddr(va: u64) -> Option<u64> {
    level1_of(va).map(|table| entry_maddr(table, index(va, 1)))
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
    // SAFETY: the frame was just allocated: nobody writes to it.
    unsafe { seal(pfn) };
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
/// `Refused` by the hypervisor, or where there is no table.
pub unsafe fn write_entries(
    start: u64,
    entries: &mut dyn Iterator<Item = u64>,
) -> Result<usize, (MapError, usize)> {
    // SAFETY: passed on to the caller.
    let result = unsafe { updates::write(start, entries, DomId::SELF) };
    result.map_err(|(_, written)| (MapError::Refused, written))
}

/// The same for memory of devices, which belongs to nobody: it is mapped in the name of `DOMID_IO`, which
/// the hypervisor permits to a domain with the right to the address.
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
    let result = unsafe { updates::write(start, entries, DomId::IO) };
    result.map_err(|(_, written)| (MapError::Refused, written))
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

/// Forgets all cached translations.
pub fn flush_all() {
    operate(&[MmuextOp { cmd: mmuext::TLB_FLUSH_LOCAL, ..Default::default() }]);
}

/// Forgets cached translations of single addresses.
pub fn flush_each(addresses: &[u64]) {
    for addresses in addresses.chunks(FLUSH_TOGETHER) {
        let mut ops = [MmuextOp::default(); FLUSH_TOGETHER];
        for (op, address) in ops.iter_mut().zip(addresses) {
            *op = MmuextOp::with_linear(mmuext::INVLPG_LOCAL, *address, 0);
        }
        operate(&ops[..addresses.len()]);
    }
}

fn operate(flushes: &[MmuextOp]) {
    // SAFETY: a flush changes no mapping.
    let result = unsafe { mmuext_self(flushes) };
    result.expect("a flush is always permitted");
}
