//! The machine and the domains as the page core sees them (`PageHost`).
//!
//! A zero-sized value: all state is in the machine's tables and in the domains. Runs under the
//! page-table lock of the domain whose operation asks; takes the owner's page lock to release a
//! frame and nothing else.

use core::sync::atomic::Ordering;
use hv_core::page::{FrameInfo, PageHost};
use hv_machine::{cpu, directmap, frames, hvslots, tlb};
use hypercall_abi::addr::Mfn;
use hypercall_abi::ids::DomId;

use crate::domain::{memory, table};
use crate::switch;

/// The host of all page operations.
#[derive(Clone, Copy)]
pub struct Host;

impl PageHost for Host {
    #[inline]
    fn frames(&self) -> &[FrameInfo] {
        frames::table()
    }

    #[inline]
    fn read_entry(&self, table: Mfn, index: usize) -> u64 {
        directmap::table(table)[index].load(Ordering::Acquire)
    }

    #[inline]
    fn write_entry(&self, table: Mfn, index: usize, value: u64) {
        directmap::table(table)[index].store(value, Ordering::Release);
    }

    #[inline]
    fn cmpxchg_entry(&self, table: Mfn, index: usize, old: u64, new: u64) -> Result<(), u64> {
        directmap::table(table)[index]
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::Acquire)
            .map(|_| ())
    }

    #[inline]
    fn stamp_now(&self) -> u32 {
        tlb::stamp_now()
    }

    fn flush_before_retype(&self, _owner: DomId, stamp: u32) {
        // Foreign and granted mappings may have put a translation into any CPU that runs a guest,
        // so not only the owner's CPUs count; the stamp spares those that flushed since.
        let stale = tlb::filter(switch::guest_cpus(), stamp);
        if stale != 0 {
            tlb::flush_cpus(stale, tlb::Flush::All);
        }
    }

    fn write_back_frame(&self, _mfn: Mfn) {
        cpu::wbinvd();
    }

    #[inline]
    fn hv_slot(&self, slot: usize, _table: Mfn) -> u64 {
        hvslots::entry(slot)
    }

    fn may_map_mmio(&self, dom: DomId, mfn: Mfn) -> bool {
        table::get(dom).is_some_and(|dom| dom.rights.lock().iomem.contains(mfn.get()))
    }

    fn is_mmio_read_only(&self, _mfn: Mfn) -> bool {
        false
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
