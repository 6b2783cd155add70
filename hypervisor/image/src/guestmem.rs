//! Guest memory as hypercalls see it: copies in and out, with `EFAULT` for what is not there.
//!
//! Thin names over `hv_machine::guest`: every value is copied once, whole, and the copy is what is
//! checked and used.

use hv_machine::guest;
use hypercall_abi::addr::GuestVa;
use hypercall_abi::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

/// Copies bytes in.
///
/// # Errors
/// `EFAULT`.
pub fn read_bytes(va: u64, bytes: &mut [u8]) -> Result<(), Errno> {
    guest::copy_in_bytes(bytes, GuestVa::new(va)).map_err(|_| Errno::EFAULT)
}

/// Copies bytes out.
///
/// # Errors
/// `EFAULT`.
pub fn write_bytes(va: u64, bytes: &[u8]) -> Result<(), Errno> {
    guest::copy_out_bytes(GuestVa::new(va), bytes).map_err(|_| Errno::EFAULT)
}
