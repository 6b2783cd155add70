//! Registers of devices, mapped into the window.
//!
//! Device memory is nobody's frame. The mapping is uncached and stays for ever, since devices are not
//! taken away.

use core::ptr::NonNull;

use pvkernel_core::platform::OutOfMemory;

use crate::layout::PAGE;
use crate::mmu::{self, pte};
use crate::window::Range;

/// Maps `len` bytes of device memory at a physical address, which need not be aligned.
///
/// # Errors
/// Without addresses or page tables.
pub fn map(paddr: u64, len: usize) -> Result<NonNull<u8>, OutOfMemory> {
    let offset = paddr % PAGE;
    let end = paddr.checked_add(len as u64).ok_or(OutOfMemory)?;
    let first = paddr - offset;
    let pages = (end - first).div_ceil(PAGE) as usize;
    let mut range = Range::new(pages)?;
    let flags = mmu::KERNEL_RW | pte::PCD | pte::PWT;
    range.map(0, (0..pages as u64).map(|page| (first + page * PAGE) | flags))?;
    let address = (range.start() + offset) as usize;
    core::mem::forget(range);
    NonNull::new(core::ptr::with_exposed_provenance_mut(address)).ok_or(OutOfMemory)
}
