//! Other machine frames behind the same frames of ours.
//!
//! The hypervisor mostly gives a domain large blocks, so consecutive frames of ours are consecutive in
//! the machine, too, within a block. Where they are not, they are exchanged for a set that is. The other
//! backend needs none of this.

use alloc::vec::Vec;

use hypercall_abi::memory::{XenMemoryExchange, XenMemoryReservation};
use hypercall_abi::{DomId, Errno, GuestVa, Mfn, Pfn};

use crate::hypercall::memory;
use crate::{mmu, p2m};

/// Makes frames, a power of two of them, consecutive for devices.
///
/// # Safety
/// Nobody uses the frames' memory.
///
/// # Errors
/// What the hypervisor answers to an exchange; the frames are what they were then.
pub(super) unsafe fn make_contiguous(first: Pfn, pages: usize) -> Result<(), Errno> {
    match is_contiguous(first, pages) {
        true => Ok(()),
        // SAFETY: passed on to the caller.
        false => unsafe { exchange(first, pages) },
    }
}

fn run(first: Pfn, pages: usize) -> impl Iterator<Item = Pfn> + Clone {
    (first.get()..first.get() + pages as u64).map(Pfn::new)
}

fn is_contiguous(first: Pfn, pages: usize) -> bool {
    let Some(start) = p2m::mfn(first) else { return false };
    let mut expected = start.get()..;
    run(first, pages).all(|pfn| p2m::mfn(pfn).map(Mfn::get) == expected.next())
}

/// Replaces the machine frames behind frames of ours by consecutive ones.
///
/// # Safety
/// Nobody uses the frames' memory.
unsafe fn exchange(first: Pfn, pages: usize) -> Result<(), Errno> {
    let old: Vec<Mfn> = run(first, pages).filter_map(p2m::mfn).collect();
    if old.len() != pages {
        return Err(Errno::EINVAL);
    }
    for pfn in run(first, pages) {
        // SAFETY: nobody uses the memory.
        unsafe { mmu::forget_initial(pfn) };
        // SAFETY: nobody uses the memory.
        unsafe { mmu::set_direct(pfn, 0) }?;
    }
    let mut new = Mfn::new(first.get());
    let list = |list: *const Mfn, count: usize, order: u32| XenMemoryReservation {
        extent_start: GuestVa::new(list as u64),
        nr_extents: count as u64,
        extent_order: order,
        domid: DomId::SELF,
        ..Default::default()
    };
    let mut arg = XenMemoryExchange {
        r#in: list(old.as_ptr(), pages, 0),
        out: list(&raw mut new, 1, pages.trailing_zeros()),
        nr_exchanged: 0,
    };
    // SAFETY: both lists are valid, and the frames handed in are mapped nowhere.
    let result = unsafe { memory::exchange(&mut arg) };
    let frames = match result {
        Ok(()) => (new.get()..new.get() + pages as u64).map(Mfn::new).collect(),
        // It is done as a whole or not at all: there is one extent to get.
        Err(_) => old,
    };
    for (pfn, mfn) in run(first, pages).zip(frames) {
        // SAFETY: the hypervisor gave the frame for this one, or never took it.
        unsafe { p2m::set(pfn, Some(mfn)) };
        // SAFETY: nobody uses the memory.
        unsafe { mmu::set_direct(pfn, mfn.maddr() | mmu::KERNEL_RW) }?;
    }
    result
}
