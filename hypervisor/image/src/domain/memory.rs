//! Frames of a domain: giving, taking back, counting.
//!
//! Every frame given out is clean: it is scrubbed when its last owner lets go of it. A frame is
//! charged from the moment it is given until its last reference is gone.

use hv_core::page::{self, FrameInfo};
use hv_machine::{directmap, frames, tlb};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;

use super::{table, Domain};
use crate::host::Host;
use crate::{exit, switch};

/// Largest power of two of frames the allocator hands out at once.
pub const MAX_ORDER: u32 = 18;

/// Gives a domain a block of `1 << order` frames below `bits` address bits (0 for anywhere).
///
/// # Errors
/// `ENOMEM` when the domain may not have that many or the machine has none left.
pub fn give_block(dom: &Domain, order: u32, bits: u32) -> Result<Mfn, Errno> {
    let count = 1u64 << order;
    charge(dom, count)?;
    let block = if bits == 0 || bits >= 64 {
        frames::alloc(order)
    } else {
        frames::alloc_below(order, bits)
    };
    let Some(first) = block else {
        uncharge(dom, count);
        return Err(Errno::ENOMEM);
    };
    let mmu = dom.mmu.lock();
    for index in 0..count {
        adopt(dom, Mfn::new(first.get() + index));
    }
    drop(mmu);
    Ok(first)
}

/// Makes a free frame the domain's. The frame came from the allocator and is charged already; the
/// caller holds the domain's page-table lock, under which no frame changes hands.
pub fn adopt(dom: &Domain, mfn: Mfn) {
    flush_stale(mfn);
    let given = page::assign(&Host, mfn, dom.id);
    assert!(given.is_ok(), "the allocator handed out a frame in use: {mfn:#x}");
    dom.pages.lock().list.push_back(frames::table(), mfn);
}

/// Makes sure no CPU has a translation left from the frame's last life.
pub fn flush_stale(mfn: Mfn) {
    let Some(frame) = frames::table().get(mfn.get() as usize) else { return };
    let stamp = FrameInfo::stamp(frame);
    if stamp == 0 {
        return;
    }
    let stale = tlb::filter(switch::guest_cpus(), stamp);
    if stale != 0 {
        tlb::flush_cpus(stale, tlb::Flush::All);
    }
}

/// Charges a domain, within its limit.
///
/// # Errors
/// `ENOMEM` over the limit or for a domain that is dying.
pub fn charge(dom: &Domain, count: u64) -> Result<(), Errno> {
    let mut pages = dom.pages.lock();
    let wanted = pages.tot.checked_add(count).ok_or(Errno::ENOMEM)?;
    if wanted > pages.max || dom.is_dying() {
        return Err(Errno::ENOMEM);
    }
    pages.tot = wanted;
    Ok(())
}

/// Takes a charge back.
pub fn uncharge(dom: &Domain, count: u64) {
    let mut pages = dom.pages.lock();
    pages.tot = pages.tot.saturating_sub(count);
}

/// The last reference of a frame is gone: takes it from its owner and gives it to the allocator.
pub fn frame_released(mfn: Mfn, owner: DomId) {
    let Some(dom) = table::get(owner) else {
        panic!("frame {mfn:#x} of unknown domain {owner} was released");
    };
    let mut pages = dom.pages.lock();
    if super::special::forget(&mut pages, mfn) {
        // Hypervisor content is not on the list of frames and not charged.
    } else {
        pages.list.remove(frames::table(), mfn);
        pages.tot = pages.tot.saturating_sub(1);
    }
    let empty = pages.tot == 0 && pages.special.is_empty();
    drop(pages);
    recycle(mfn);
    if empty && dom.is_dying() {
        hv_machine::cpuinfo::raise_work(exit::work::REAP);
    }
}

/// Scrubs a dead frame and gives it to the allocator.
pub fn recycle(mfn: Mfn) {
    frames::m2p_set(mfn, frames::M2P_INVALID);
    directmap::zero(mfn);
    frames::free(mfn, 0);
}
