//! Frames that are contiguous for devices.
//!
//! The hypervisor mostly gives a domain large blocks, so consecutive frames of ours are consecutive in
//! the machine, too, within a block. Where they are not, they are exchanged for a set that is.

use alloc::vec::Vec;

use hypercall_abi::memory::{XenMemoryExchange, XenMemoryReservation};
use hypercall_abi::{DomId, Errno, GuestVa, Mfn, Pfn};

use super::direct_entry;
use crate::hypercall::memory;
use crate::layout::PAGE;
use crate::{frames, mmu, p2m};

/// Takes `pages` frames, a power of two, that are consecutive for devices; returns the first and its
/// machine address. Their content is whatever it was.
///
/// # Errors
/// `ENOMEM` without so many consecutive frames, or what the hypervisor answers to an exchange.
pub fn alloc(pages: usize) -> Result<(Pfn, u64), Errno> {
    let first = frames::alloc_aligned_run(pages).ok_or(Errno::ENOMEM)?;
    let result = match is_contiguous(first, pages) {
        true => p2m::mfn(first).ok_or(Errno::EINVAL),
        // SAFETY: the frames were just allocated: nobody uses them.
        false => unsafe { exchange(first, pages) },
    };
    match result {
        Ok(mfn) => Ok((first, mfn.maddr())),
        Err(errno) => {
            frames::free(first, pages);
            Err(errno)
        }
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

/// Replaces the machine frames behind frames of ours by consecutive ones; returns the first of them.
///
/// # Safety
/// Nobody uses the frames' memory.
unsafe fn exchange(first: Pfn, pages: usize) -> Result<Mfn, Errno> {
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
        unsafe { mmu::set_direct(pfn, direct_entry(mfn.get() * PAGE)) }?;
    }
    result.map(|()| new)
}
