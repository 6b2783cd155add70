//! Copies from and to guest virtual addresses, through the page tables that are loaded.
//!
//! Called with addresses a guest has named. Every function checks that the range is the guest's,
//! and survives pages that are not mapped (exception table). User pages are reachable only between
//! `stac` and `clac`. Each byte is read once; what is returned is a private copy.

use core::arch::asm;
use core::mem::MaybeUninit;
use hypercall_abi::addr::guest_range;
use hypercall_abi::GuestVa;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The range is not the guest's, or not mapped with the needed rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// One copy in assembly: `$body` may fault at the labels 2, 5, 6 and 7.
macro_rules! guarded {
    ([$($line:literal),+], [$($label:literal),+], $($operands:tt)*) => {
        asm!(
            "771: stac",
            $($line,)+
            "3:",
            "772: clac",
            ".pushsection .hv_smap, \"a\"",
            ".quad 771b, 772b",
            ".popsection",
            ".pushsection .hv_fixup, \"ax\"",
            "4: mov {failed:e}, 1",
            "jmp 3b",
            ".popsection",
            ".pushsection .hv_extable, \"a\"",
            $(concat!(".quad ", $label, ", 4b"),)+
            ".popsection",
            $($operands)*
        )
    };
}

/// Copies whole words in registers: `1` to `4` of them.
macro_rules! words {
    ($load:ident, $store:ident, $n:literal, [$($get:literal),+], [$($put:literal),+],
     [$($label:literal),+], $($word:ident)+) => {
        #[inline(always)]
        fn $load(from: u64, to: &mut [u64; $n]) -> bool {
            let failed: u32;
            $(let $word: u64;)+
            // SAFETY: only reads, at addresses of the guest (callers have checked); a fault of any
            // of the loads continues at 4.
            unsafe {
                guarded!([$($get),+], [$($label),+],
                    failed = inout(reg) 0_u32 => failed, from = in(reg) from,
                    $($word = out(reg) $word,)+
                    options(nostack, readonly));
            }
            *to = [$($word),+];
            failed == 0
        }

        #[inline(always)]
        fn $store(to: u64, words: &[u64; $n]) -> bool {
            let failed: u32;
            let [$($word),+] = *words;
            // SAFETY: only writes to addresses of the guest (callers have checked), which are never
            // memory of the hypervisor; a fault of any of the stores continues at 4.
            unsafe {
                guarded!([$($put),+], [$($label),+],
                    failed = inout(reg) 0_u32 => failed, to = in(reg) to,
                    $($word = in(reg) $word,)+
                    options(nostack));
            }
            failed == 0
        }
    };
}

words!(load1, store1, 1, ["2: mov {a}, [{from}]"], ["2: mov [{to}], {a}"], ["2b"], a);
words!(load2, store2, 2,
    ["2: mov {a}, [{from}]", "5: mov {b}, [{from} + 8]"],
    ["2: mov [{to}], {a}", "5: mov [{to} + 8], {b}"], ["2b", "5b"], a b);
words!(load3, store3, 3,
    ["2: mov {a}, [{from}]", "5: mov {b}, [{from} + 8]", "6: mov {c}, [{from} + 16]"],
    ["2: mov [{to}], {a}", "5: mov [{to} + 8], {b}", "6: mov [{to} + 16], {c}"],
    ["2b", "5b", "6b"], a b c);
words!(load4, store4, 4,
    ["2: mov {a}, [{from}]", "5: mov {b}, [{from} + 8]", "6: mov {c}, [{from} + 16]",
     "7: mov {d}, [{from} + 24]"],
    ["2: mov [{to}], {a}", "5: mov [{to} + 8], {b}", "6: mov [{to} + 16], {c}",
     "7: mov [{to} + 24], {d}"],
    ["2b", "5b", "6b", "7b"], a b c d);

/// Copies any number of bytes; true when all were copied.
///
/// # Safety
/// One side must be memory lent by the caller, the other addresses of the guest.
#[inline]
unsafe fn bulk(to: u64, from: u64, len: usize) -> bool {
    let failed: u32;
    // SAFETY: as required of the caller; a fault of either copy continues at 4.
    unsafe {
        guarded!(["2: rep movsq", "mov ecx, {tail:e}", "5: rep movsb"], ["2b", "5b"],
            failed = inout(reg) 0_u32 => failed,
            tail = in(reg) len & 7,
            inout("rcx") len / 8 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack));
    }
    failed == 0
}

#[inline(always)]
fn check(va: GuestVa, len: usize) -> Result<(), Fault> {
    if guest_range(va, len as u64) {
        Ok(())
    } else {
        Err(Fault)
    }
}

#[inline(always)]
fn verdict(copied: bool) -> Result<(), Fault> {
    if copied {
        Ok(())
    } else {
        Err(Fault)
    }
}

/// Reads a value.
///
/// # Errors
/// [`Fault`].
#[inline(always)]
pub fn copy_in<T: FromBytes>(va: GuestVa) -> Result<T, Fault> {
    check(va, size_of::<T>())?;
    let mut value = MaybeUninit::<T>::uninit();
    let copied = match size_of::<T>() {
        8 => small(&mut value, |words| load1(va.get(), words)),
        16 => small(&mut value, |words| load2(va.get(), words)),
        24 => small(&mut value, |words| load3(va.get(), words)),
        32 => small(&mut value, |words| load4(va.get(), words)),
        size => {
            // SAFETY: copies into `value`, which has that size, from the guest.
            unsafe { bulk(value.as_mut_ptr().expose_provenance() as u64, va.get(), size) }
        }
    };
    verdict(copied)?;
    // SAFETY: all bytes have been written, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Fills `value` from `N` words, which are its size.
#[inline(always)]
fn small<T: FromBytes, const N: usize>(
    value: &mut MaybeUninit<T>,
    load: impl FnOnce(&mut [u64; N]) -> bool,
) -> bool {
    let mut words = [0; N];
    let copied = load(&mut words);
    if size_of::<T>() == size_of_val(&words) {
        // SAFETY: the sizes are equal, and a `T` may consist of any bytes.
        unsafe { value.as_mut_ptr().cast::<[u64; N]>().write_unaligned(words) };
    }
    copied
}

/// Writes a value.
///
/// # Errors
/// [`Fault`]; a part may have been written.
#[inline(always)]
pub fn copy_out<T: IntoBytes + Immutable + ?Sized>(va: GuestVa, value: &T) -> Result<(), Fault> {
    copy_out_bytes(va, value.as_bytes())
}

/// Reads bytes.
///
/// # Errors
/// [`Fault`]; a part may have been read.
#[inline]
pub fn copy_in_bytes(bytes: &mut [u8], va: GuestVa) -> Result<(), Fault> {
    check(va, bytes.len())?;
    let to = bytes.as_mut_ptr().expose_provenance() as u64;
    // SAFETY: copies from the guest into a slice lent to us.
    verdict(unsafe { bulk(to, va.get(), bytes.len()) })
}

/// Writes bytes.
///
/// # Errors
/// [`Fault`]; a part may have been written.
#[inline(always)]
pub fn copy_out_bytes(va: GuestVa, bytes: &[u8]) -> Result<(), Fault> {
    check(va, bytes.len())?;
    let to = va.get();
    verdict(match bytes.len() {
        8 => store1(to, &words_of(bytes)),
        16 => store2(to, &words_of(bytes)),
        24 => store3(to, &words_of(bytes)),
        32 => store4(to, &words_of(bytes)),
        len => copy_out_bulk(to, bytes, len),
    })
}

#[inline]
fn copy_out_bulk(to: u64, bytes: &[u8], len: usize) -> bool {
    let from = bytes.as_ptr().expose_provenance() as u64;
    // SAFETY: copies from a slice to addresses of the guest, checked by the caller.
    unsafe { bulk(to, from, len) }
}

/// The bytes as words; missing ones are 0.
#[inline(always)]
fn words_of<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut raw = [0; 8];
        raw.copy_from_slice(chunk);
        *word = u64::from_le_bytes(raw);
    }
    words
}

/// Writes `len` bytes of 0.
///
/// # Errors
/// [`Fault`]; a part may have been written.
pub fn zero(va: GuestVa, len: usize) -> Result<(), Fault> {
    check(va, len)?;
    let failed: u32;
    // SAFETY: only writes to addresses of the guest, checked above; a fault of either store
    // continues at 4.
    unsafe {
        guarded!(["2: rep stosq", "mov ecx, {tail:e}", "5: rep stosb"], ["2b", "5b"],
            failed = inout(reg) 0_u32 => failed,
            tail = in(reg) len & 7,
            inout("rcx") len / 8 => _,
            inout("rdi") va.get() => _,
            in("rax") 0,
            options(nostack));
    }
    verdict(failed == 0)
}
