//! Page tables of the kernel.
//!
//! The hypervisor lets a domain read its page tables and refuses to let it write them: a frame
//! becomes a page table only when no writable mapping of it exists, and from then on every change
//! is a checked hypercall. So a new table is filled as ordinary memory, *sealed* (made read-only
//! wherever it is mapped), and then hooked into its parent.
//!
//! Aliases are what makes this delicate: a frame may be mapped by the builder's mapping and by the
//! direct map. `seal` takes care of both.

use hypercall_abi::mmu::{mmuext, uvmf, MmuUpdate, MmuextOp, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::{DomId, Errno, Mfn, Pfn};
use pvkernel_core::platform::OutOfMemory;
use pvkernel_core::sync::Lock;

use core::sync::atomic::{AtomicU64, Ordering};

use crate::hypercall::mmu::{mmu_update, mmuext_self, update_va_mapping};
use crate::layout::{direct_va, initial_va, DIRECT_BASE, PAGE, VIRT_BASE};
use crate::{frames, p2m};

pub use hypercall_abi::mmu::pte;
pub use pvkernel_core::tables::index;

/// Flags of a writable page of the kernel.
pub const KERNEL_RW: u64 = pte::PRESENT | pte::RW | pte::ACCESSED | pte::DIRTY;
/// Flags of a read-only page of the kernel.
pub const KERNEL_RO: u64 = pte::PRESENT | pte::ACCESSED;
/// Flags of an entry that refers to a lower table.
pub const TABLE: u64 = KERNEL_RW | pte::USER;

/// Updates per hypercall.
const BATCH: usize = 128;
/// Flushes per hypercall.
const FLUSH_TOGETHER: usize = 4;

/// Where page tables can be read: the builder's mapping at first, then the direct map.
static TABLE_BASE: AtomicU64 = AtomicU64::new(VIRT_BASE);
/// The root table.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// Held while tables are added.
static GROWING: Lock<()> = Lock::new(());

/// Tells where the root table is.
pub(crate) fn init(root: Mfn) {
    ROOT.store(root.get(), Ordering::Relaxed);
}

/// Switches to the direct map for reading tables; it must be complete.
pub(crate) fn direct_map_ready() {
    TABLE_BASE.store(DIRECT_BASE, Ordering::Relaxed);
}

/// The root table of the kernel.
#[must_use]
pub fn root() -> Mfn {
    Mfn::new(ROOT.load(Ordering::Relaxed))
}

/// The frame an entry refers to.
#[must_use]
pub const fn entry_mfn(entry: u64) -> Mfn {
    Mfn::from_maddr(entry & pte::FRAME_MASK)
}

/// Machine address of an entry.
#[must_use]
pub const fn entry_maddr(table: Mfn, index: usize) -> u64 {
    table.maddr() + 8 * index as u64
}

/// Reads an entry of one of this domain's page tables; 0 for a frame that is not ours.
#[must_use]
pub fn read_entry(table: Mfn, index: usize) -> u64 {
    let Some(pfn) = p2m::pfn(table) else { return 0 };
    let base = TABLE_BASE.load(Ordering::Relaxed);
    let address = base + pfn.get() * PAGE + 8 * (index as u64 & 511);
    // SAFETY: page tables are frames of ours, and all of them are mapped readable at `base`. The
    // hypervisor may change the entry meanwhile, hence volatile.
    unsafe { core::ptr::with_exposed_provenance::<u64>(address as usize).read_volatile() }
}

/// The level-1 table for an address.
fn level1_of(va: u64) -> Option<Mfn> {
    let mut table = root();
    for level in [4, 3, 2] {
        let entry = read_entry(table, index(va, level));
        if entry & pte::PRESENT == 0 {
            return None;
        }
        table = entry_mfn(entry);
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

fn next_table(table: Mfn, index: usize) -> Result<Mfn, OutOfMemory> {
    let entry = read_entry(table, index);
    if entry & pte::PRESENT != 0 {
        return Ok(entry_mfn(entry));
    }
    let pfn = frames::alloc().ok_or(OutOfMemory)?;
    zero_frame(pfn);
    // SAFETY: the frame was just allocated: nobody writes to it.
    unsafe { seal(pfn) };
    let mfn = p2m::mfn(pfn).expect("allocated frames have a machine frame");
    let update =
        MmuUpdate::new(MMU_NORMAL_PT_UPDATE, entry_maddr(table, index), mfn.maddr() | TABLE);
    // SAFETY: the entry was not present, so no memory in use changes.
    unsafe { mmu_update(&[update], DomId::SELF) }.expect("an empty table can be hooked in");
    Ok(mfn)
}

/// Fills a frame with zeros.
///
/// Must only be called for a frame that its caller allocated.
pub fn zero_frame(pfn: Pfn) {
    let page = core::ptr::with_exposed_provenance_mut::<u8>(direct_va(pfn) as usize);
    // SAFETY: the frame is mapped writable in the direct map and belongs to the caller.
    unsafe { page.write_bytes(0, PAGE as usize) };
}

/// Makes a frame read-only wherever it is mapped, so that it can become a page table.
///
/// # Safety
/// Nobody writes to the frame any more, and nobody uses its address in the builder's mapping.
pub unsafe fn seal(pfn: Pfn) {
    // SAFETY: the caller gave up the frame's address there.
    unsafe { forget_initial(pfn) };
    let Some(mfn) = p2m::mfn(pfn) else { return };
    // SAFETY: the entry changes access only; nobody writes to the frame.
    let result = unsafe {
        update_va_mapping(direct_va(pfn), mfn.maddr() | KERNEL_RO, uvmf::INVLPG | uvmf::LOCAL)
    };
    result.expect("a frame of ours can be mapped read-only");
}

/// Makes a sealed frame writable again; fails while it is a page table.
///
/// # Errors
/// `EBUSY` while the frame is a page table or holds descriptors.
pub fn unseal(pfn: Pfn) -> Result<(), Errno> {
    let mfn = p2m::mfn(pfn).ok_or(Errno::EINVAL)?;
    // SAFETY: the entry changes access only.
    unsafe {
        update_va_mapping(direct_va(pfn), mfn.maddr() | KERNEL_RW, uvmf::INVLPG | uvmf::LOCAL)
    }
}

/// Removes a frame from the builder's mapping, if it is there.
///
/// # Safety
/// Nobody uses the frame's address in that mapping.
pub unsafe fn forget_initial(pfn: Pfn) {
    let va = initial_va(pfn);
    if lookup(va).is_some() {
        // SAFETY: nobody uses the address.
        let result = unsafe { update_va_mapping(va, 0, uvmf::INVLPG | uvmf::LOCAL) };
        result.expect("an entry of the builder's mapping can be cleared");
    }
}

/// Removes the frames from `first` on from the builder's mapping.
///
/// # Safety
/// Nobody uses their addresses in that mapping.
pub(crate) unsafe fn forget_initial_from(first: Pfn) {
    // To the end of the last table: some frames may have been removed before.
    let mut pages = 0;
    while level1_of(initial_va(Pfn::new(first.get() + pages))).is_some() {
        pages += 1;
    }
    let mut zeros = core::iter::repeat_n(0, pages as usize);
    // SAFETY: passed on to the caller.
    let result = unsafe { write_entries(initial_va(first), &mut zeros, DomId::SELF) };
    assert!(result.is_ok(), "entries of the builder's mapping can be cleared");
    flush(initial_va(first), pages as usize);
}

/// Replaces the direct map's entry of a frame; 0 unmaps it.
///
/// # Safety
/// Nobody uses the frame's memory, or the entry keeps what users rely on.
///
/// # Errors
/// The hypervisor's refusal.
pub unsafe fn set_direct(pfn: Pfn, entry: u64) -> Result<(), Errno> {
    // SAFETY: passed on to the caller.
    unsafe { update_va_mapping(direct_va(pfn), entry, uvmf::INVLPG | uvmf::LOCAL) }
}

/// Writes entries for consecutive pages whose tables exist. `dom` owns the frames. Returns how
/// many were written; with an error, how many were written before it.
///
/// # Safety
/// The new mappings keep what this program relies on.
///
/// # Errors
/// The hypervisor's refusal; `EINVAL` where there is no table.
pub unsafe fn write_entries(
    start: u64,
    entries: &mut dyn Iterator<Item = u64>,
    dom: DomId,
) -> Result<usize, (Errno, usize)> {
    let mut batch = [MmuUpdate::default(); BATCH];
    let mut written = 0;
    let mut table = Mfn::INVALID;
    loop {
        let mut len = 0;
        while len < BATCH {
            let va = start + (written + len) as u64 * PAGE;
            if table == Mfn::INVALID || index(va, 1) == 0 {
                table = Mfn::INVALID;
                let Some(found) = level1_of(va) else { break };
                table = found;
            }
            let Some(entry) = entries.next() else { break };
            batch[len] =
                MmuUpdate::new(MMU_NORMAL_PT_UPDATE, entry_maddr(table, index(va, 1)), entry);
            len += 1;
        }
        if len > 0 {
            // SAFETY: passed on to the caller.
            let result = unsafe { mmu_update(&batch[..len], dom) };
            result.map_err(|(errno, count)| (errno, written + count))?;
            written += len;
        }
        if len < BATCH {
            let unmapped = table == Mfn::INVALID && entries.next().is_some();
            return if unmapped { Err((Errno::EINVAL, written)) } else { Ok(written) };
        }
    }
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
