//! The content of open frames: as atomic words, or by copies.
//!
//! Guests may have the same frames mapped and write to them at any time, so there is no slice of
//! plain bytes here. A reference lives as long as the caller likes; the image drops it before it
//! frees the frame (it holds a count on every frame it looks at). Should a frame have been freed and
//! taken by the heap all the same, the next call for it panics instead of touching Rust's memory. Only
//! `peek` looks at any frame: it reads a number, by assembly, and writes nothing.

use super::frames;
use crate::layout;
use core::arch::asm;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8};
use hypercall_abi::{Mfn, PAGE_SIZE};

#[inline]
fn address(mfn: Mfn) -> usize {
    if !frames::is_open(mfn) {
        not_open(mfn);
    }
    layout::direct(mfn.maddr()) as usize
}

#[cold]
#[inline(never)]
fn not_open(mfn: Mfn) -> ! {
    panic!("frame {mfn:#x} is not memory of a guest");
}

/// Defines functions that show a frame as an array.
macro_rules! frame_views {
    ($($(#[$doc:meta])* $name:ident = $word:ty;)+) => {$(
        $(#[$doc])*
        ///
        /// # Panics
        /// When the frame is not open: callers have checked that it is a guest's.
        #[inline]
        pub fn $name(mfn: Mfn) -> &'static [$word; PAGE_SIZE / size_of::<$word>()] {
            // SAFETY: an open frame is mapped, page-aligned, and accessed by atomics, by copies in
            // assembly and by guests only.
            unsafe { &*core::ptr::with_exposed_provenance(address(mfn)) }
        }
    )+};
}

frame_views! {
    /// The frame as 64-bit words, for example a page table.
    table = AtomicU64;
    /// The frame as 32-bit words.
    words32 = AtomicU32;
    /// The frame as 16-bit words.
    halfwords = AtomicU16;
    /// The frame as bytes.
    bytes8 = AtomicU8;
}

/// Reads a word of a frame, for example a table on the way to another. The frame need not be open: a
/// look at memory, whoever uses it, changes nothing, and the word is but a number.
///
/// # Panics
/// When no frame has this number, or the word is not in it.
pub fn peek(mfn: Mfn, index: usize) -> u64 {
    const LIMIT: u64 = (layout::DIRECT_END - layout::DIRECT_BASE) / layout::PAGE;
    if mfn.get() >= LIMIT || index >= PAGE_SIZE / 8 {
        not_open(mfn);
    }
    let word: u64;
    // SAFETY: only reads, and within the direct map; where that has a hole, the fault is a panic.
    unsafe {
        asm!("mov {word}, [{start} + {index} * 8]", word = lateout(reg) word,
            start = in(reg) layout::direct(mfn.maddr()), index = in(reg) index,
            options(nostack, readonly, preserves_flags));
    }
    word
}

/// Copies bytes between places that do not overlap or are both guest-writable.
///
/// # Safety
/// Both ranges must be mapped; the destination must not be memory Rust relies on.
#[inline]
unsafe fn raw_copy(dst: usize, src: usize, len: usize) {
    // SAFETY: as required of the caller.
    unsafe {
        asm!("rep movsq", "mov ecx, {tail:e}", "rep movsb", tail = in(reg) len & 7,
            inout("rcx") len / 8 => _, inout("rdi") dst => _, inout("rsi") src => _,
            options(nostack, preserves_flags));
    }
}

/// Fills a frame with zeros.
///
/// # Panics
/// When the frame is not open.
#[inline]
pub fn zero(mfn: Mfn) {
    let start = address(mfn);
    // SAFETY: the whole of one open frame.
    unsafe { raw_fill(start, PAGE_SIZE / 8, 0) };
}

/// Fills memory with a word.
///
/// # Safety
/// The range must be mapped and not be memory Rust relies on.
#[inline]
pub(crate) unsafe fn raw_fill(start: usize, words: usize, fill: u64) {
    // SAFETY: as required of the caller.
    unsafe {
        asm!("rep stosq", inout("rcx") words => _, inout("rdi") start => _, in("rax") fill,
            options(nostack, preserves_flags));
    }
}

/// Copies a whole frame.
///
/// # Panics
/// When a frame is not open.
#[inline]
pub fn copy(dst: Mfn, src: Mfn) {
    copy_range(dst, 0, src, 0, PAGE_SIZE);
}

/// Copies `len` bytes from offset `src_offset` of one frame to offset `dst_offset` of another.
///
/// # Panics
/// When a frame is not open or a range leaves its frame.
pub fn copy_range(dst: Mfn, dst_offset: usize, src: Mfn, src_offset: usize, len: usize) {
    let (to, from) = (part(dst, dst_offset, len), part(src, src_offset, len));
    // SAFETY: both ranges lie in open frames.
    unsafe { raw_copy(to, from, len) };
}

/// Writes bytes into a frame.
///
/// # Panics
/// When the frame is not open or the range leaves it.
pub fn write_bytes(mfn: Mfn, offset: usize, bytes: &[u8]) {
    let to = part(mfn, offset, bytes.len());
    // SAFETY: the destination lies in an open frame, the source is a slice.
    unsafe { raw_copy(to, bytes.as_ptr().expose_provenance(), bytes.len()) };
}

/// Reads bytes of a frame.
///
/// # Panics
/// When the frame is not open or the range leaves it.
pub fn read_bytes(mfn: Mfn, offset: usize, bytes: &mut [u8]) {
    let from = part(mfn, offset, bytes.len());
    // SAFETY: the source lies in an open frame, the destination is a slice lent to us.
    unsafe { raw_copy(bytes.as_mut_ptr().expose_provenance(), from, bytes.len()) };
}

/// Address of `len` bytes of a frame.
#[inline]
fn part(mfn: Mfn, offset: usize, len: usize) -> usize {
    assert!(offset <= PAGE_SIZE && len <= PAGE_SIZE - offset, "range leaves its frame");
    address(mfn) + offset
}
