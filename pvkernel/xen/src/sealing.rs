//! What a frame must be before it is a page table: mapped nowhere so that it could be written.
//!
//! Aliases are what makes this delicate: a frame may be mapped by the builder's mapping and by the direct
//! map. `seal` takes care of both. `mmu` shows these functions as its own; the other backend has none of
//! them, since there a page table is memory like any other.

use hypercall_abi::mmu::uvmf;
use hypercall_abi::{DomId, Errno};

use crate::hypercall::mmu::update_va_mapping;
use crate::layout::{direct_va, initial_va, Pfn};
use crate::mmu::{flush, level1_of, lookup, KERNEL_RO, KERNEL_RW};
use crate::{p2m, updates};

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
    let result = unsafe { updates::write(initial_va(first), &mut zeros, DomId::SELF) };
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
