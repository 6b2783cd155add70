//! The machine and the domains as the page core sees them (`PageHost`).
//!
//! A zero-sized value: all state is in the machine's tables and in the domains. Runs under the
//! page-table lock of the domain whose operation asks; takes the owner's page lock to release a
//! frame and nothing else.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::page::{FrameInfo, PageError, PageHost, Stop, ENTRIES};
use hv_machine::{cpu, directmap, frames, hvslots, tlb};
use hypercall_abi::{DomId, Mfn};

use crate::domain::{memory, table};
use crate::hypercall::mmu::BUDGET;
use crate::switch;

/// The host of all page operations.
#[derive(Clone, Copy)]
pub struct Host;

impl PageHost for Host {
    type Page = &'static [AtomicU64; ENTRIES];

    fn frames(&self) -> &[FrameInfo] {
        frames::table()
    }

    fn page(&self, table: Mfn) -> Self::Page {
        directmap::table(table)
    }

    fn load(&self, page: Self::Page, index: usize) -> u64 {
        page[index].load(Ordering::Acquire)
    }

    fn load_upper(&self, table: Mfn, index: usize) -> u64 {
        directmap::peek(table, index)
    }

    fn load_any_of_four(&self, page: Self::Page, step: usize) -> u64 {
        let entries = &page.as_chunks::<4>().0[step];
        entries.iter().fold(0, |bits, entry| bits | entry.load(Ordering::Acquire))
    }

    fn store(&self, page: Self::Page, index: usize, value: u64) {
        page[index].store(value, Ordering::Release);
    }

    fn exchange(&self, page: Self::Page, index: usize, old: u64, new: u64) -> Result<(), u64> {
        page[index].compare_exchange(old, new, Ordering::SeqCst, Ordering::Acquire).map(|_| ())
    }

    fn stamp_now(&self) -> u32 {
        tlb::stamp_now()
    }

    fn flush_before_retype(&self, _owner: DomId, stamp: u32) {
        flush_since(stamp);
    }

    fn write_back_frame(&self, _mfn: Mfn) {
        cpu::wbinvd();
    }

    fn hv_slot(&self, slot: usize, _table: Mfn) -> u64 {
        hvslots::entry(slot)
    }

    fn may_map_mmio(&self, dom: DomId, mfn: Mfn) -> bool {
        table::get(dom).is_some_and(|dom| dom.rights.lock().iomem.contains(mfn.get()))
    }

    fn has_device_rights(&self, dom: DomId) -> bool {
        table::get(dom).is_some_and(|dom| dom.has_devices.load(Ordering::Relaxed))
    }

    fn may_map_foreign(&self, privileged: DomId, owner: DomId) -> bool {
        owner.is_real() && table::get(privileged).is_some_and(|dom| dom.privileged)
    }

    fn frame_released(&self, mfn: Mfn, owner: DomId) {
        memory::frame_released(mfn, owner);
    }

    fn nx_supported(&self) -> bool {
        cpu::features().nx
    }
}

/// Flushes the CPUs that may have a translation from before `stamp`. Foreign and granted mappings may
/// have put it into any CPU that runs a guest, so not only the owner's CPUs count; the stamp spares
/// those that flushed since.
pub fn flush_since(stamp: u32) {
    let stale = tlb::filter(switch::guest_cpus(), stamp);
    if stale != 0 {
        tlb::flush_cpus(stale, tlb::Flush::All);
    }
}

/// Does a page-table operation to its end, for callers that cannot be called again. The CPU answers
/// to flushes meanwhile.
///
/// # Errors
/// The operation's own.
pub fn to_end<T>(mut operate: impl FnMut(&mut u32) -> Result<T, Stop>) -> Result<T, PageError> {
    loop {
        match operate(&mut { BUDGET }) {
            Ok(done) => return Ok(done),
            Err(Stop::Preempted) => tlb::service(),
            Err(Stop::Refused(error)) => return Err(error),
        }
    }
}
