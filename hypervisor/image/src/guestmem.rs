//! Guest memory as hypercalls see it: copies in and out, with `EFAULT` for what is not there.
//!
//! Thin names over `hv_machine::guest`: every value is copied once, whole, and the copy is what is
//! checked and used.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use hv_core::page::{self, PageTables};
use hv_machine::{directmap, guest};
use hypercall_abi::{Errno, GuestVa};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::current::Here;
use crate::host::Host;

/// Copies a structure in.
///
/// # Errors
/// `EFAULT`.
#[inline]
pub fn read<T: FromBytes>(va: u64) -> Result<T, Errno> {
    guest::copy_in::<T>(GuestVa::new(va)).map_err(|_| Errno::EFAULT)
}

/// Copies a structure out.
///
/// # Errors
/// `EFAULT`.
#[inline]
pub fn write<T: IntoBytes + Immutable>(va: u64, value: &T) -> Result<(), Errno> {
    guest::copy_out(GuestVa::new(va), value).map_err(|_| Errno::EFAULT)
}

/// Address of element `index` of an array in guest memory.
///
/// # Errors
/// `EFAULT` when it lies beyond the address space.
#[inline]
pub fn element<T>(base: u64, index: u64) -> Result<u64, Errno> {
    GuestVa::new(base)
        .element(index, core::mem::size_of::<T>() as u64)
        .map(GuestVa::get)
        .ok_or(Errno::EFAULT)
}

/// Copies element `index` of an array in.
///
/// # Errors
/// `EFAULT`.
#[inline]
pub fn read_at<T: FromBytes>(base: u64, index: u64) -> Result<T, Errno> {
    read(element::<T>(base, index)?)
}

/// Copies element `index` of an array out.
///
/// # Errors
/// `EFAULT`.
#[inline]
pub fn write_at<T: IntoBytes + Immutable>(base: u64, index: u64, value: &T) -> Result<(), Errno> {
    write(element::<T>(base, index)?, value)
}

/// Lets `change` work on a copy of a structure, and copies that back if it succeeds.
///
/// # Errors
/// `EFAULT`, and what `change` says.
#[inline]
pub fn update<T: FromBytes + IntoBytes + Immutable>(
    va: u64,
    change: impl FnOnce(&mut T) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut value = read(va)?;
    change(&mut value)?;
    write(va, &value)
}

/// Copies an array in; the caller has bounded its length.
///
/// # Errors
/// `EFAULT`, `ENOMEM`.
pub fn read_array<T: FromBytes>(base: u64, count: u32) -> Result<Vec<T>, Errno> {
    let mut array = Vec::new();
    array.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..u64::from(count) {
        array.push(read_at(base, index)?);
    }
    Ok(array)
}

/// Copies values out as the elements of an array; answers how many.
///
/// # Errors
/// `EFAULT`; the elements before the bad one have been written.
pub fn write_array<T: IntoBytes + Immutable>(
    base: u64,
    values: impl IntoIterator<Item = T>,
) -> Result<u32, Errno> {
    let mut count = 0;
    for value in values {
        write_at(base, u64::from(count), &value)?;
        count += 1;
    }
    Ok(count)
}

/// Copies bytes in.
///
/// # Errors
/// `EFAULT`.
pub fn read_bytes(va: u64, bytes: &mut [u8]) -> Result<(), Errno> {
    guest::copy_in_bytes(bytes, GuestVa::new(va)).map_err(|_| Errno::EFAULT)
}

/// Copies a number of so many bytes in, at most eight.
///
/// # Errors
/// `EFAULT`.
pub fn read_number(va: u64, bytes: usize) -> Result<u64, Errno> {
    let mut raw = [0; 8];
    read_bytes(va, &mut raw[..bytes.min(8)])?;
    Ok(u64::from_le_bytes(raw))
}

/// Reads a byte through the kernel's page tables, whatever mode the guest is in. `None` when nothing
/// is mapped there.
pub fn read_kernel_byte(here: &Here, va: u64) -> Option<u8> {
    let dom = here.dom();
    let root = here.vcpu().state.lock().root?;
    let _mmu = dom.mmu.lock();
    let va = GuestVa::new(va);
    let found = PageTables::new(&Host, dom.id, dom.id).translate(root, va)?;
    // The page-table lock keeps the mapping, and the mapping keeps the frame; device memory has none.
    page::page_type_info(&Host, found.mfn)?;
    Some(directmap::bytes8(found.mfn)[va.page_offset()].load(Ordering::Relaxed))
}

/// Copies bytes out.
///
/// # Errors
/// `EFAULT`.
pub fn write_bytes(va: u64, bytes: &[u8]) -> Result<(), Errno> {
    guest::copy_out_bytes(GuestVa::new(va), bytes).map_err(|_| Errno::EFAULT)
}
