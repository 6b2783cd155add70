//! Memory that somebody else writes at the same time: the shared page, rings, foreign frames.
//!
//! Never a reference or a slice into such memory: every access is one volatile or atomic operation
//! on a copy. Bounds are checked here, so the rest of the kernel is safe code.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering};

/// From this many bytes on a string instruction is faster than single accesses.
const STRING_FROM: usize = 64;

/// Copies by string instructions: words, then the bytes that remain.
///
/// For memory that others write at the same time: to the compiler the block may do anything to the
/// destination, and each word is one access, as a loop of volatile accesses would be.
///
/// # Safety
/// `len` bytes at `from` can be read and at `to` written, and no Rust reference to either exists except
/// the caller's own to the side that is not shared.
unsafe fn copy_string(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the ranges are valid by the caller's promise; the direction flag is clear as the ABI
    // demands; only the named registers and the destination change.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            "mov rcx, {tail}",
            "rep movsb",
            tail = in(reg) len % 8,
            inout("rcx") len / 8 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// A range of memory shared with another party.
#[derive(Clone, Copy, Debug)]
pub struct SharedMemory {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: all access is by volatile or atomic operations, which are valid from any thread; the
// memory stays mapped for the lifetime of the value by the contract of `new`.
unsafe impl Send for SharedMemory {}
// SAFETY: as for `Send`; there is no access that is not atomic or volatile.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// The `len` bytes from `base`.
    ///
    /// # Safety
    /// 1. The range is mapped, readable, and (if a writing method is used) writable, as long as
    ///    the value and its copies are used.
    /// 2. `base` is 8-byte aligned.
    /// 3. No Rust reference to the range exists meanwhile.
    #[must_use]
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    /// Bytes in the range.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address of the first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// A checked pointer to an aligned object of `T`'s size.
    ///
    /// # Panics
    /// If the object is not inside of the range or not aligned.
    pub(crate) fn at<T>(&self, offset: usize) -> NonNull<T> {
        let end = offset.checked_add(size_of::<T>());
        assert!(end.is_some_and(|end| end <= self.len), "access behind shared memory");
        assert!(offset.is_multiple_of(align_of::<T>()), "unaligned access to shared memory");
        // SAFETY: the offset lies within the range by the check above.
        unsafe { self.base.byte_add(offset) }.cast()
    }

    /// An atomic byte.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    #[must_use]
    pub fn u8_at(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: `at` checked bounds and alignment; validity and absence of other references are
        // promised to `new`; atomics may be shared with other writers.
        unsafe { self.at::<AtomicU8>(offset).as_ref() }
    }

    /// An atomic word of 16 bits.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    #[must_use]
    pub fn u16_at(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as for `u8_at`.
        unsafe { self.at::<AtomicU16>(offset).as_ref() }
    }

    /// An atomic word of 32 bits.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    #[must_use]
    pub fn u32_at(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as for `u8_at`.
        unsafe { self.at::<AtomicU32>(offset).as_ref() }
    }

    /// An atomic word of 64 bits.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    #[must_use]
    pub fn u64_at(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as for `u8_at`.
        unsafe { self.at::<AtomicU64>(offset).as_ref() }
    }

    /// Copies of consecutive words of 64 bits, each of one moment.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    #[must_use]
    pub fn load_words<const N: usize>(&self, offset: usize) -> [u64; N] {
        // SAFETY: as for `u8_at`.
        let words = unsafe { self.at::<[AtomicU64; N]>(offset).as_ref() };
        words.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    /// Words for a copy; none at an offset where there are none to copy.
    fn words(&self, offset: usize, count: usize) -> &[AtomicU64] {
        if count == 0 {
            return &[];
        }
        self.check(offset, count * size_of::<u64>());
        // SAFETY: the first and, by the check above, the last word lie within the range; validity and
        // the absence of other references are promised to `new`; atomics may be shared.
        unsafe { core::slice::from_raw_parts(self.at::<AtomicU64>(offset).as_ptr(), count) }
    }

    /// Copies bytes out.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        self.check(offset, to.len());
        if to.len() >= STRING_FROM {
            let from = self.at::<u8>(offset).as_ptr();
            // SAFETY: the range was checked and may be read by the promise to `new`; `to` is ours.
            return unsafe { copy_string(to.as_mut_ptr(), from, to.len()) };
        }
        let words = if offset.is_multiple_of(8) { to.len() / 8 * 8 } else { 0 };
        let (head, tail) = to.split_at_mut(words);
        for (word, chunk) in self.words(offset, words / 8).iter().zip(head.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        for (at, byte) in tail.iter_mut().enumerate() {
            *byte = self.u8_at(offset + words + at).load(Ordering::Relaxed);
        }
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    pub fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        if from.len() >= STRING_FROM {
            let to = self.at::<u8>(offset).as_ptr();
            // SAFETY: the range was checked and may be written by the promise to `new`; `from` is ours.
            return unsafe { copy_string(to, from.as_ptr(), from.len()) };
        }
        let words = if offset.is_multiple_of(8) { from.len() / 8 * 8 } else { 0 };
        let (head, tail) = from.split_at(words);
        for (word, chunk) in self.words(offset, words / 8).iter().zip(head.chunks_exact(8)) {
            word.store(u64::from_le_bytes(chunk.try_into().unwrap_or_default()), Ordering::Relaxed);
        }
        for (at, byte) in tail.iter().enumerate() {
            self.u8_at(offset + words + at).store(*byte, Ordering::Relaxed);
        }
    }

    /// Copies bytes from another range, which may be shared with somebody else; where the two overlap,
    /// what arrives is unspecified.
    ///
    /// # Panics
    /// As all accessors, outside of either range.
    pub fn copy_from(&self, offset: usize, from: &Self, start: usize, len: usize) {
        self.check(offset, len);
        from.check(start, len);
        if len == 0 {
            return;
        }
        let to = self.at::<u8>(offset).as_ptr();
        let from = from.at::<u8>(start).as_ptr();
        // SAFETY: both ranges were checked and are valid by the promise to `new`.
        unsafe { copy_string(to, from, len) };
    }

    /// Writes zeros.
    ///
    /// # Panics
    /// As all accessors, outside of the range.
    pub fn zero(&self, offset: usize, len: usize) {
        self.check(offset, len);
        let zeros = [0; 512];
        let mut at = 0;
        while at < len {
            let step = (len - at).min(zeros.len());
            self.write(offset + at, &zeros[..step]);
            at += step;
        }
    }

    pub(crate) fn check(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "access behind shared memory");
    }
}

#[cfg(test)]
mod tests {
    use super::SharedMemory;
    use core::ptr::NonNull;

    extern crate std;
    use std::{vec, vec::Vec};

    /// Words whose bytes are all different from their neighbours.
    fn shared(words: &mut [u64]) -> SharedMemory {
        let len = 8 * words.len();
        let base = NonNull::new(words.as_mut_ptr()).expect("slices have addresses").cast();
        // SAFETY: the slice is aligned and not touched before the test has dropped the memory.
        unsafe { SharedMemory::new(base, len) }
    }

    #[test]
    fn copies_of_every_length_and_offset_move_exactly_their_bytes() {
        let mut words = vec![0; 40];
        let mut others = vec![0; 40];
        for offset in 0..20 {
            for len in (0..150).step_by(7).chain([63, 64, 65]) {
                let memory = shared(&mut words);
                let other = shared(&mut others);
                let pattern: Vec<u8> =
                    (0..len).map(|at| (at * 37 + offset + 1) as u8 | 1).collect();
                memory.zero(0, memory.len());
                other.zero(0, other.len());
                memory.write(offset, &pattern);
                other.copy_from(offset + 3, &memory, offset, len);
                for (range, start) in [(memory, offset), (other, offset + 3)] {
                    let mut all = vec![0xff; range.len()];
                    range.read(0, &mut all);
                    let mut expected = vec![0; range.len()];
                    expected[start..start + len].copy_from_slice(&pattern);
                    assert_eq!(all, expected, "{len} bytes at {start}");
                    let mut back = vec![0; len];
                    range.read(start, &mut back);
                    assert_eq!(back, pattern);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "behind shared memory")]
    fn a_copy_behind_the_end_is_refused() {
        let mut words = vec![0; 16];
        shared(&mut words).read(100, &mut [0; 64]);
    }
}
