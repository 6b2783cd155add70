//! Registers of devices, mapped into the window.
//!
//! Device memory is nobody's frame. The mapping is uncached and stays for ever, since devices are not
//! taken away.

use core::ptr::NonNull;

use pvkernel_core::platform::MapError;

use crate::layout::PAGE;
use crate::mmu::{self, pte};
use crate::window::Range;

/// Maps `len` bytes of device memory at an address of the machine, which need not be aligned.
///
/// # Errors
/// `OutOfMemory` without addresses or page tables, `Refused` by the machine.
pub fn map(start: u64, len: usize) -> Result<NonNull<u8>, MapError> {
    let offset = start % PAGE;
    let end = start.checked_add(len as u64).ok_or(MapError::Refused)?;
    let first = start - offset;
    let pages = (end - first).div_ceil(PAGE) as usize;
    let mut range = Range::new(pages)?;
    let flags = mmu::KERNEL_RW | pte::PCD | pte::PWT;
    let entries = (0..pages as u64).map(|page| (first + page * PAGE) | flags);
    range.map_by(0, entries, |start, entries| {
        // SAFETY: the range is ours and nothing is mapped in it, so no memory in use changes.
        unsafe { mmu::write_device_entries(start, entries) }
    })?;
    let address = (range.start() + offset) as usize;
    core::mem::forget(range);
    NonNull::new(core::ptr::with_exposed_provenance_mut(address)).ok_or(MapError::Refused)
}
