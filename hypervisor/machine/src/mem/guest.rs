//! Copies from and to guest virtual addresses, through the page tables that are loaded.
//!
//! Called with addresses a guest has named. Every function checks that the range is the guest's,
//! and survives pages that are not mapped (exception table, `fixups`). User pages are reachable only
//! between `open_user_pages` and `close_user_pages`. Each byte is read once; what is returned is a
//! private copy.

use super::fixups::on_fault;
use core::arch::asm;
use core::mem::MaybeUninit;
use hypercall_abi::addr::guest_range;
use hypercall_abi::GuestVa;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The range is not the guest's, or not mapped with the needed rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Copies up to this size that consist of whole words and at most a half are made by moves: for
/// values, whose size the compiler knows, without a loop.
const MOST_BY_WORDS: usize = 72;

/// Defines functions for the two instructions that are removed where the CPU has no SMAP.
macro_rules! smap_switches {
    ($($name:ident = $instruction:literal;)+) => {$(
        #[inline(always)]
        fn $name() {
            // SAFETY: changes which pages this CPU may reach, not what it does.
            unsafe {
                asm!(concat!("771: ", $instruction), ".pushsection .hv_smap, \"a\"", ".quad 771b",
                    ".popsection", options(nostack));
            }
        }
    )+};
}

smap_switches! {
    open_user_pages = "stac";
    close_user_pages = "clac";
}

/// Does something for each word that fits into so many bytes, up to 88, with its offset as a constant.
macro_rules! each_word {
    ($len:expr, $at:ident, $body:block) => {
        each_word!(@ $len, $at, $body, 0 8 16 24 32 40 48 56 64 72 80)
    };
    (@ $len:expr, $at:ident, $body:block, $($offset:literal)+) => {$(
        if $offset + 8 <= $len {
            const $at: usize = $offset;
            $body
        }
    )+};
}

/// Defines how a word or a half is read and written, `AT` bytes behind an address.
macro_rules! moves {
    ($($load:ident, $store:ident, $word:ty, $register:literal;)+) => {$(
        /// Reads it; `failed` becomes 1 when it is not mapped.
        ///
        /// # Safety
        /// The address must be the guest's.
        #[inline(always)]
        unsafe fn $load<const AT: usize>(from: u64, failed: &mut u64) -> $word {
            let word;
            // SAFETY: only reads, where the caller says; a fault is survived.
            unsafe {
                asm!(concat!("2: mov {", $register, "}, [{} + {at}]"), "3:", on_fault!("2b"),
                    out(reg) word, in(reg) from, at = const AT, inout("r8") *failed,
                    options(nostack, readonly, preserves_flags));
            }
            word
        }

        /// Writes it; `failed` becomes 1 when it is not mapped for writing.
        ///
        /// # Safety
        /// The address must be the guest's.
        #[inline(always)]
        unsafe fn $store<const AT: usize>(to: u64, word: $word, failed: &mut u64) {
            // SAFETY: only writes, where the caller says, which is never memory of the hypervisor;
            // a fault is survived.
            unsafe {
                asm!(concat!("2: mov [{} + {at}], {", $register, "}"), "3:", on_fault!("2b"),
                    in(reg) to, in(reg) word, at = const AT, inout("r8") *failed,
                    options(nostack, preserves_flags));
            }
        }
    )+};
}

moves! {
    load, store, u64, ":r";
    load_half, store_half, u32, ":e";
}

/// Copies any number of bytes; `failed` becomes 1 when not all were copied.
///
/// # Safety
/// One side must be memory lent by the caller, the other addresses of the guest.
#[inline]
unsafe fn bulk(to: u64, from: u64, len: usize, failed: &mut u64) {
    // SAFETY: as required of the caller; a fault of either copy is survived.
    unsafe {
        asm!("2: rep movsq", "mov ecx, {tail:e}", "5: rep movsb", "3:",
            on_fault!("2b"), on_fault!("5b"), inout("r8") *failed, tail = in(reg) len & 7,
            inout("rcx") len / 8 => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
}

const fn by_words(len: usize) -> bool {
    len <= MOST_BY_WORDS && len.is_multiple_of(4)
}

/// Copies from the guest, after checking that the range is the guest's.
///
/// # Safety
/// `to` must be memory of `len` bytes lent by the caller.
#[inline(always)]
unsafe fn read(to: *mut u8, va: GuestVa, len: usize) -> Result<(), Fault> {
    if !guest_range(va, len as u64) {
        return Err(Fault);
    }
    let (from, mut failed) = (va.get(), 0);
    open_user_pages();
    if by_words(len) {
        let words = len & !7;
        each_word!(words, AT, {
            // SAFETY: within the range that was checked.
            let word = unsafe { load::<AT>(from, &mut failed) };
            // SAFETY: within the caller's memory.
            unsafe { to.wrapping_add(AT).cast::<u64>().write_unaligned(word) };
        });
        if words != len {
            // SAFETY: within the range that was checked.
            let half = unsafe { load_half::<0>(from + words as u64, &mut failed) };
            // SAFETY: within the caller's memory.
            unsafe { to.wrapping_add(words).cast::<u32>().write_unaligned(half) };
        }
    } else {
        // SAFETY: from the range that was checked to the caller's memory.
        unsafe { bulk(to.expose_provenance() as u64, from, len, &mut failed) };
    }
    close_user_pages();
    (failed == 0).then_some(()).ok_or(Fault)
}

/// Reads a value.
///
/// # Errors
/// [`Fault`].
#[inline(always)]
pub fn copy_in<T: FromBytes>(va: GuestVa) -> Result<T, Fault> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: `value` has that size.
    unsafe { read(value.as_mut_ptr().cast(), va, size_of::<T>()) }?;
    // SAFETY: all bytes have been written, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Reads as many values as there is room for.
///
/// # Errors
/// [`Fault`].
#[inline]
pub fn copy_in_slice<T: FromBytes>(
    room: &mut [MaybeUninit<T>],
    va: GuestVa,
) -> Result<&[T], Fault> {
    // SAFETY: a slice lent to us.
    unsafe { read(room.as_mut_ptr().cast(), va, size_of_val(room)) }?;
    // SAFETY: all bytes have been written, and any bytes are a `T`.
    Ok(unsafe { core::slice::from_raw_parts(room.as_ptr().cast(), room.len()) })
}

/// Reads bytes.
///
/// # Errors
/// [`Fault`]; a part may have been read.
#[inline]
pub fn copy_in_bytes(bytes: &mut [u8], va: GuestVa) -> Result<(), Fault> {
    // SAFETY: a slice lent to us.
    unsafe { read(bytes.as_mut_ptr(), va, bytes.len()) }
}

/// Writes a value.
///
/// # Errors
/// [`Fault`]; a part may have been written.
#[inline(always)]
pub fn copy_out<T: IntoBytes + Immutable + ?Sized>(va: GuestVa, value: &T) -> Result<(), Fault> {
    copy_out_bytes(va, value.as_bytes())
}

/// Writes bytes.
///
/// # Errors
/// [`Fault`]; a part may have been written.
#[inline(always)]
pub fn copy_out_bytes(va: GuestVa, bytes: &[u8]) -> Result<(), Fault> {
    if !guest_range(va, bytes.len() as u64) {
        return Err(Fault);
    }
    let (to, mut failed) = (va.get(), 0);
    open_user_pages();
    if by_words(bytes.len()) {
        let (words, rest) = bytes.as_chunks::<8>();
        each_word!(words.len() * 8, AT, {
            let word = u64::from_le_bytes(words[AT / 8]);
            // SAFETY: within the range that was checked.
            unsafe { store::<AT>(to, word, &mut failed) };
        });
        for half in rest.as_chunks::<4>().0 {
            let (to, half) = (to + words.len() as u64 * 8, u32::from_le_bytes(*half));
            // SAFETY: as above.
            unsafe { store_half::<0>(to, half, &mut failed) };
        }
    } else {
        // SAFETY: from a slice to the range that was checked.
        unsafe { bulk(to, bytes.as_ptr().expose_provenance() as u64, bytes.len(), &mut failed) };
    }
    close_user_pages();
    (failed == 0).then_some(()).ok_or(Fault)
}

/// Writes up to 11 words, each made when it is written.
///
/// # Errors
/// [`Fault`]; a part may have been written.
///
/// # Panics
/// When there are more.
#[inline(always)]
pub fn copy_out_words(va: GuestVa, count: usize, word: impl Fn(usize) -> u64) -> Result<(), Fault> {
    assert!(count <= 11, "too many words");
    if !guest_range(va, count as u64 * 8) {
        return Err(Fault);
    }
    let mut failed = 0;
    open_user_pages();
    each_word!(count * 8, AT, {
        // SAFETY: within the range that was checked.
        unsafe { store::<AT>(va.get(), word(AT / 8), &mut failed) };
    });
    close_user_pages();
    (failed == 0).then_some(()).ok_or(Fault)
}
