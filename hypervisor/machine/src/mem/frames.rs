//! The frame table, the frame allocator, and the machine-to-physical table.
//!
//! Called by the image for all guest memory, by the heap for its pages. A frame is either *open*,
//! then its content is reached through `directmap` by atomics and copies only, or it belongs to the
//! machine (image, tables, stacks, heap), then it is not reachable there. A table says which; it is
//! what makes the direct map's safe functions sound.

use super::pt;
use crate::layout::{LARGE_PAGE, M2P_BASE, M2P_WRITE_BASE, PAGE};
use crate::sync::Mutex;
use core::cell::UnsafeCell;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::buddy::Buddy;
use hv_core::page::FrameInfo;
use hypercall_abi::Mfn;

/// A table that the boot code makes, for ever; empty until then. Page-table operations look here
/// several times for each entry, so a look is one at ordinary memory.
struct Table<T: 'static>(UnsafeCell<&'static [T]>);

// SAFETY: the cell is written once, by the boot code, before another CPU runs.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T: Sync> Table<T> {
    const fn new() -> Self {
        Self(UnsafeCell::new(&[]))
    }

    /// Once only: a table never changes its place.
    ///
    /// # Safety
    /// No other CPU runs yet.
    unsafe fn install(&self, table: &'static [T]) {
        assert!(self.get().is_empty(), "a table of all frames was made twice");
        // SAFETY: as required of the caller; no reference to the cell outlives `get`.
        unsafe { *self.0.get() = table };
    }

    #[inline]
    fn get(&self) -> &'static [T] {
        // SAFETY: written by nobody now, see `install`.
        unsafe { *self.0.get() }
    }
}

/// The frame table.
static FRAMES: Table<FrameInfo> = Table::new();
/// Bit per frame: open.
static OPEN: Table<AtomicU64> = Table::new();
/// Frames of RAM, whoever uses them.
static RAM_PAGES: AtomicU64 = AtomicU64::new(0);
static BUDDY: Mutex<Option<Buddy<'static>>> = Mutex::new(None);

/// The frame table, indexed by frame number, holes included.
#[inline]
pub fn table() -> &'static [FrameInfo] {
    FRAMES.get()
}

/// One more than the highest frame number of RAM.
#[inline]
pub fn max_mfn() -> u64 {
    table().len() as u64
}

/// Whether there is memory behind the number.
#[inline]
pub fn is_ram(mfn: Mfn) -> bool {
    table().get(mfn.get() as usize).is_some_and(|frame| !frame.is_hole())
}

/// Frames of RAM in this machine, whoever uses them.
pub fn total_ram_pages() -> u64 {
    RAM_PAGES.load(Ordering::Relaxed)
}

/// Entry of the machine-to-physical table of a frame without a pseudo-physical number.
pub const M2P_INVALID: u64 = u64::MAX;

/// Takes `2^order` frames, aligned to their number, with unknown content.
#[must_use]
pub fn alloc(order: u32) -> Option<Mfn> {
    alloc_below(order, 0)
}

/// Like [`alloc`], with all machine addresses below `2^bits`; 0 bits for anywhere.
#[must_use]
pub fn alloc_below(order: u32, bits: u32) -> Option<Mfn> {
    let last = |bits| Mfn::from_maddr(1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1));
    let limit = (bits != 0).then(|| last(bits));
    BUDDY.lock().as_mut()?.alloc(u8::try_from(order).ok()?, limit)
}

/// Gives back what [`alloc`] returned.
///
/// # Panics
/// When the frames are free already: the hypervisor has lost track of memory.
pub fn free(mfn: Mfn, order: u32) {
    let freed = BUDDY.lock().as_mut().map(|buddy| buddy.free(mfn, order as u8));
    assert!(matches!(freed, Some(Ok(()))), "frame {mfn:#x} freed twice");
}

/// Gives dead frames to the allocator, which need not have been allocated together, or from it: those
/// of a domain, or of boot modules.
///
/// # Panics
/// When a frame is free already.
pub fn free_range(numbers: Range<u64>) {
    let (start, end) = (Mfn::new(numbers.start), Mfn::new(numbers.end));
    let freed = BUDDY.lock().as_mut().map(|buddy| buddy.add_range(start, end));
    assert!(matches!(freed, Some(Ok(()))), "frames {start:#x} to {end:#x} freed twice");
}

/// Frames that are free.
pub fn free_count() -> u64 {
    BUDDY.lock().as_ref().map_or(0, Buddy::free_frames)
}

/// Whether a frame's content may be reached through the direct map.
#[inline]
pub(crate) fn is_open(mfn: Mfn) -> bool {
    let word = OPEN.get().get(mfn.get() as usize / 64);
    word.is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (mfn.get() % 64) != 0)
}

/// Takes the frames from `first` to before `end` out of reach of the direct map, or puts them into it.
pub(crate) fn set_open(first: u64, end: u64, open: bool) {
    let words = OPEN.get();
    let touched = (first / 64) as usize..words.len().min(end.div_ceil(64) as usize);
    for index in touched {
        let (word, start) = (&words[index], index as u64 * 64);
        let (from, to) = (first.max(start), end.min(start + 64));
        let mask = (u64::MAX >> (64 - (to - from))) << (from - start);
        if open {
            word.fetch_or(mask, Ordering::Relaxed);
        } else {
            word.fetch_and(!mask, Ordering::Relaxed);
        }
    }
}

/// Records the tables the boot code has made; no frame is free or open.
///
/// # Safety
/// No other CPU runs yet.
pub(crate) unsafe fn install(frames: &'static [FrameInfo], open: &'static [AtomicU64], ram: u64) {
    // SAFETY: as required of the caller.
    unsafe { FRAMES.install(frames) };
    // SAFETY: as above.
    unsafe { OPEN.install(open) };
    RAM_PAGES.store(ram, Ordering::Relaxed);
    *BUDDY.lock() = Some(Buddy::new(frames));
}

/// Gives free RAM, by machine addresses, to the allocator.
pub(crate) fn add_free(start: u64, end: u64) {
    let numbers = start / PAGE..end / PAGE;
    set_open(numbers.start, numbers.end, true);
    free_range(numbers);
}

/// Entries in one piece of the machine-to-physical table.
const M2P_PER_PIECE: u64 = LARGE_PAGE / 8;

/// How many pieces of 2 MiB the machine-to-physical table has, those without RAM included.
pub fn m2p_pieces() -> u64 {
    max_mfn().div_ceil(M2P_PER_PIECE)
}

/// First frame of a piece of the machine-to-physical table; `None` where there is no RAM.
pub fn m2p_piece(index: u64) -> Option<Mfn> {
    let start = M2P_BASE + index * LARGE_PAGE;
    let entry = pt::find(start, 2)?.get(pt::index(start, 2));
    let is_small = entry & pt::bits::LARGE == 0;
    let piece = pt::find(start, 1).filter(|_| index < m2p_pieces())?;
    Some(Mfn::from_maddr(if is_small { piece.next(0)?.maddr() } else { piece.maddr() }))
}

/// Sets an entry of the machine-to-physical table; numbers without RAM are ignored.
#[inline]
pub fn m2p_set(mfn: Mfn, value: u64) {
    if is_ram(mfn) {
        let word = (M2P_WRITE_BASE + mfn.get() * 8) as usize;
        // SAFETY: where there is RAM the table is mapped; it is ours for ever and accessed by
        // atomics only (guests read it).
        let word: &AtomicU64 = unsafe { &*core::ptr::with_exposed_provenance(word) };
        word.store(value, Ordering::Relaxed);
    }
}
