//! Registers of devices, mapped into the window.
//!
//! Device memory is nobody's frame: it is mapped in the name of `DOMID_IO`, which the hypervisor
//! permits to a domain with the right to the address. The mapping is uncached and stays for ever, since
//! devices are not taken away.

use core::ptr::NonNull;

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Errno};

use crate::layout::PAGE;
use crate::mmu;
use crate::window::Range;

/// Maps `len` bytes of device memory at a machine address, which need not be aligned.
///
/// # Errors
/// `ENOMEM` without addresses or page tables, otherwise what the hypervisor answers.
pub fn map(maddr: u64, len: usize) -> Result<NonNull<u8>, Errno> {
    let offset = maddr % PAGE;
    let end = maddr.checked_add(len as u64).ok_or(Errno::EINVAL)?;
    let first = maddr - offset;
    let pages = (end - first).div_ceil(PAGE) as usize;
    let mut range = Range::new(pages).map_err(|_| Errno::ENOMEM)?;
    let flags = mmu::KERNEL_RW | pte::PCD | pte::PWT;
    range.map(0, (0..pages as u64).map(|page| (first + page * PAGE) | flags), DomId::IO)?;
    let address = (range.start() + offset) as usize;
    core::mem::forget(range);
    NonNull::new(core::ptr::with_exposed_provenance_mut(address)).ok_or(Errno::EFAULT)
}
