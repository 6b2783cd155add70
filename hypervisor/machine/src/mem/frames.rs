//! The frame table, the frame allocator, and the machine-to-physical table.
//!
//! Called by the image for all guest memory, by the heap for its pages. A frame is either *open*,
//! then its content is reached through `directmap` by atomics and copies only, or it belongs to the
//! machine (image, tables, stacks, heap), then it is not reachable there. The bitmap `OPEN` says
//! which; it is what makes the direct map's safe functions sound.

use crate::layout;
use crate::sync::Mutex;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use hv_core::buddy::Buddy;
use hv_core::page::FrameInfo;
use hypercall_abi::Mfn;

static TABLE: AtomicPtr<FrameInfo> = AtomicPtr::new(core::ptr::null_mut());
/// Entries of the frame table.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Bit per frame: open.
static OPEN: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
static BUDDY: Mutex<Option<Buddy<'static>>> = Mutex::new(None);
/// Frames of RAM, whoever uses them.
static RAM_PAGES: AtomicU64 = AtomicU64::new(0);

/// The frame table, indexed by frame number, holes included.
#[inline]
#[must_use]
pub fn table() -> &'static [FrameInfo] {
    let count = COUNT.load(Ordering::Relaxed);
    let table = TABLE.load(Ordering::Relaxed);
    if count == 0 {
        return &[];
    }
    // SAFETY: `install` stored a table of that many zeroed entries, which are valid, for ever.
    unsafe { core::slice::from_raw_parts(table, count) }
}

/// One more than the highest frame number of RAM.
#[inline]
#[must_use]
pub fn max_mfn() -> u64 {
    COUNT.load(Ordering::Relaxed) as u64
}

/// Whether there is memory behind the number.
#[inline]
#[must_use]
pub fn is_ram(mfn: Mfn) -> bool {
    table().get(mfn.get() as usize).is_some_and(|frame| !frame.is_hole())
}

/// Frames of RAM in this machine, whoever uses them.
#[must_use]
pub fn total_ram_pages() -> u64 {
    RAM_PAGES.load(Ordering::Relaxed)
}

/// Entry of the machine-to-physical table of a frame without a pseudo-physical number.
pub const M2P_INVALID: u64 = u64::MAX;

/// Takes `2^order` frames, aligned to their number, with unknown content.
#[must_use]
pub fn alloc(order: u32) -> Option<Mfn> {
    BUDDY.lock().as_mut()?.alloc(u8::try_from(order).ok()?, None)
}

/// Like [`alloc`], with all machine addresses below `2^bits`.
#[must_use]
pub fn alloc_below(order: u32, bits: u32) -> Option<Mfn> {
    let limit = 1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1) >> 12;
    BUDDY.lock().as_mut()?.alloc(u8::try_from(order).ok()?, Some(Mfn::new(limit)))
}

/// Gives back what [`alloc`] returned.
///
/// # Panics
/// When the frames are free already: the hypervisor has lost track of memory.
pub fn free(mfn: Mfn, order: u32) {
    let freed = BUDDY.lock().as_mut().map(|buddy| buddy.free(mfn, order as u8));
    match freed {
        Some(Ok(())) => {}
        _ => panic!("frame {mfn:#x} freed twice"),
    }
}

/// Gives frames to the allocator that were not allocated from it: those of boot modules, when they
/// are no longer needed.
///
/// # Panics
/// When a frame is free already.
pub fn free_range(start: Mfn, count: u64) {
    for index in 0..count {
        if let Some(mfn) = start.checked_add(index) {
            free(mfn, 0);
        }
    }
}

/// Frames that are free.
#[must_use]
pub fn free_count() -> u64 {
    BUDDY.lock().as_ref().map_or(0, Buddy::free_frames)
}

/// Whether a frame's content may be reached through the direct map.
#[inline]
pub(crate) fn is_open(mfn: Mfn) -> bool {
    let index = mfn.get() as usize;
    index < COUNT.load(Ordering::Relaxed)
        && open_word(index).load(Ordering::Relaxed) >> (index % 64) & 1 != 0
}

#[inline]
fn open_word(index: usize) -> &'static AtomicU64 {
    let words = OPEN.load(Ordering::Relaxed);
    // SAFETY: callers have checked `index` against the count, for which `install` sized the bitmap.
    unsafe { &*words.wrapping_add(index / 64) }
}

/// Takes frames out of reach of the direct map, or puts them back.
pub(crate) fn set_open(mfn: Mfn, order: u32, open: bool) {
    let first = mfn.get() as usize;
    let count = COUNT.load(Ordering::Relaxed);
    for index in (first..first + (1 << order)).take_while(|index| *index < count) {
        let bit = 1 << (index % 64);
        if open {
            open_word(index).fetch_or(bit, Ordering::Relaxed);
        } else {
            open_word(index).fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// Records the tables the boot code has made; all are zeroed.
///
/// # Safety
/// `table` must point to `count` zeroed entries and `open` to as many zeroed bits, both mapped and
/// used by nobody else for ever.
pub(crate) unsafe fn install(table: *mut FrameInfo, open: *mut AtomicU64, count: usize) {
    TABLE.store(table, Ordering::Relaxed);
    OPEN.store(open, Ordering::Relaxed);
    COUNT.store(count, Ordering::SeqCst);
    *BUDDY.lock() = Some(Buddy::new(self::table()));
}

/// Gives free RAM, by machine addresses, to the allocator.
pub(crate) fn add_free(start: u64, end: u64) {
    let (first, last) = (Mfn::from_maddr(start), Mfn::from_maddr(end));
    open_range(start, end);
    if let Some(buddy) = BUDDY.lock().as_mut() {
        let added = buddy.add_range(first, last);
        assert!(added.is_ok(), "memory map names a frame twice");
    }
}

/// Opens RAM that is not free but holds data for the image: boot modules.
pub(crate) fn open_range(start: u64, end: u64) {
    let (mut index, last) = ((start >> 12) as usize, (end >> 12) as usize);
    while index < last.min(COUNT.load(Ordering::Relaxed)) {
        if index % 64 == 0 && index + 64 <= last {
            open_word(index).store(u64::MAX, Ordering::Relaxed);
            index += 64;
        } else {
            open_word(index).fetch_or(1 << (index % 64), Ordering::Relaxed);
            index += 1;
        }
    }
}

pub(crate) fn set_total_ram(pages: u64) {
    RAM_PAGES.store(pages, Ordering::Relaxed);
}

/// Machine addresses of the 2 MiB pieces of the machine-to-physical table; 0 where there is no RAM.
static M2P: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
/// Entries in one piece.
const M2P_PER_PIECE: u64 = layout::LARGE_PAGE / 8;

/// Records the pieces of the machine-to-physical table.
///
/// # Safety
/// `pieces` must point to an address or 0 for each 2 MiB of the table up to `max_mfn`, and each
/// address to 2 MiB of RAM in the direct map that nobody else writes, for ever.
pub(crate) unsafe fn install_m2p(pieces: *mut AtomicU64) {
    M2P.store(pieces, Ordering::SeqCst);
}

/// How many pieces of 2 MiB the machine-to-physical table has, those without RAM included.
#[must_use]
pub fn m2p_pieces() -> u64 {
    max_mfn().div_ceil(M2P_PER_PIECE)
}

/// First frame of a piece of the machine-to-physical table; `None` where there is no RAM.
#[must_use]
pub fn m2p_piece(index: u64) -> Option<Mfn> {
    let pieces = M2P.load(Ordering::Relaxed);
    if index >= m2p_pieces() || pieces.is_null() {
        return None;
    }
    // SAFETY: `install_m2p` has a word for every piece.
    let base = unsafe { &*pieces.wrapping_add(index as usize) }.load(Ordering::Relaxed);
    (base != 0).then(|| Mfn::from_maddr(base))
}

fn m2p_word(mfn: Mfn) -> Option<&'static AtomicU64> {
    let piece = m2p_piece(mfn.get() / M2P_PER_PIECE)?;
    let address = layout::direct(piece.maddr()) + mfn.get() % M2P_PER_PIECE * 8;
    // SAFETY: within the piece, which is ours for ever and accessed by atomics only.
    Some(unsafe { &*core::ptr::with_exposed_provenance(address as usize) })
}

/// Sets an entry of the machine-to-physical table; numbers without RAM are ignored.
#[inline]
pub fn m2p_set(mfn: Mfn, value: u64) {
    if let Some(word) = m2p_word(mfn) {
        word.store(value, Ordering::Relaxed);
    }
}

/// An entry of the machine-to-physical table, which guests may have set; all ones without RAM.
#[inline]
#[must_use]
pub fn m2p_get(mfn: Mfn) -> u64 {
    m2p_word(mfn).map_or(u64::MAX, |word| word.load(Ordering::Relaxed))
}
