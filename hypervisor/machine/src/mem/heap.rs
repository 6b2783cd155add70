//! The heap: Rust's global allocator.
//!
//! Small objects come from slab pages, one size class each; large ones are blocks of the frame
//! allocator. A slab page that becomes empty is given back at once, so that after a domain's death
//! the count of free frames is what it was. Frames of the heap are closed for the direct map's
//! public functions while the heap has them.
//!
//! One lock guards everything; it is taken before the frame allocator's, and neither is held while
//! anything else is called.

use super::frames;
use crate::layout;
use crate::pure::slab::{self, Source, CLASSES, HEADER_SIZE};
use crate::sync::Mutex;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{null_mut, NonNull};
use hv_core::page::PageList;
use hypercall_abi::Mfn;

/// What the heap holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live objects.
    pub objects: u64,
    /// Bytes asked for by their owners.
    pub bytes: u64,
    /// Slab pages.
    pub slab_pages: u64,
    /// Pages of large objects.
    pub large_pages: u64,
}

/// Start of a slab page; objects follow at [`HEADER_SIZE`].
struct Slab {
    free: Option<NonNull<FreeObject>>,
    used: usize,
    class: usize,
}

/// A free object of a slab: the list of free objects goes through them.
struct FreeObject {
    next: Option<NonNull<FreeObject>>,
}

const _: () = assert!(size_of::<Slab>() <= HEADER_SIZE);

/// Slabs with room, by class, and the counters. The lists go through the frame table.
struct Heap {
    partial: [PageList; CLASSES.len()],
    stats: Stats,
}

static HEAP: Mutex<Heap> = Mutex::new(Heap {
    partial: [PageList::new(); CLASSES.len()],
    stats: Stats { objects: 0, bytes: 0, slab_pages: 0, large_pages: 0 },
});

/// What the heap holds now.
pub fn stats() -> Stats {
    HEAP.lock().stats
}

struct ZendoHeap;

#[global_allocator]
static GLOBAL: ZendoHeap = ZendoHeap;

// SAFETY: blocks are disjoint (each comes from a frame block or is an object of a slab, handed out
// once until freed), large enough and aligned (`slab::source`, tested there), and stay until freed.
unsafe impl GlobalAlloc for ZendoHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = HEAP.lock();
        let block = match slab::source(layout.size(), layout.align()) {
            Source::Class(class) => heap.take_object(class),
            Source::Pages(order) => heap.take_pages(order),
        };
        if block.is_some() {
            heap.stats.objects += 1;
            heap.stats.bytes += layout.size() as u64;
        }
        block.unwrap_or(null_mut())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let mut heap = HEAP.lock();
        heap.stats.objects -= 1;
        heap.stats.bytes -= layout.size() as u64;
        match slab::source(layout.size(), layout.align()) {
            // SAFETY: the caller gives back an object of that layout, hence of that class.
            Source::Class(_) => unsafe { heap.put_object(block) },
            Source::Pages(order) => {
                heap.stats.large_pages -= 1 << order;
                put_frames(frame_of(block), order);
            }
        }
    }
}

/// Takes frames from the allocator and closes them.
fn take_frames(order: u32) -> Option<Mfn> {
    let mfn = frames::alloc(order)?;
    frames::set_open(mfn.get(), mfn.get() + (1 << order), false);
    Some(mfn)
}

/// Opens frames and gives them back.
fn put_frames(mfn: Mfn, order: u32) {
    frames::set_open(mfn.get(), mfn.get() + (1 << order), true);
    frames::free(mfn, order);
}

/// The frame a block lies in.
fn frame_of(block: *mut u8) -> Mfn {
    Mfn::from_maddr(block.addr() as u64 - layout::DIRECT_BASE)
}

/// Address of a frame of the heap.
fn address_of(mfn: Mfn) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(layout::direct(mfn.maddr()) as usize)
}

impl Heap {
    fn take_pages(&mut self, order: u32) -> Option<*mut u8> {
        let mfn = take_frames(order)?;
        self.stats.large_pages += 1 << order;
        Some(address_of(mfn))
    }

    fn take_object(&mut self, class: usize) -> Option<*mut u8> {
        let mfn = self.partial[class].head().or_else(|| self.add_slab(class))?;
        // SAFETY: a page on the list is a slab, reached under the lock only.
        let slab = unsafe { &mut *address_of(mfn).cast::<Slab>() };
        let object = slab.free?;
        // SAFETY: a free object holds its link and nothing else.
        slab.free = unsafe { object.as_ref() }.next;
        slab.used += 1;
        if slab.free.is_none() {
            self.partial[class].remove(frames::table(), mfn);
        }
        Some(object.as_ptr().cast())
    }

    /// # Safety
    /// `block` must be a live object of a slab, given up by its owner.
    unsafe fn put_object(&mut self, block: *mut u8) {
        let mfn = frame_of(block);
        // SAFETY: the object's page starts with the header of its slab, reached under the lock only.
        let slab = unsafe { &mut *address_of(mfn).cast::<Slab>() };
        let list = &mut self.partial[slab.class];
        if slab.free.is_none() {
            list.push_back(frames::table(), mfn);
        }
        let object = block.cast::<FreeObject>();
        // SAFETY: the object is ours again, is large enough for a link and aligned to 16.
        unsafe { object.write(FreeObject { next: slab.free }) };
        slab.free = NonNull::new(object);
        slab.used -= 1;
        if slab.used == 0 {
            list.remove(frames::table(), mfn);
            self.stats.slab_pages -= 1;
            put_frames(mfn, 0);
        }
    }

    /// Makes a slab of a page and puts it on the list of its class.
    fn add_slab(&mut self, class: usize) -> Option<Mfn> {
        let mfn = take_frames(0)?;
        let page = address_of(mfn);
        let mut free = None;
        for index in (0..slab::capacity(class)).rev() {
            let object = page.wrapping_add(HEADER_SIZE + index * CLASSES[class]);
            let object = object.cast::<FreeObject>();
            // SAFETY: `capacity` keeps the object within the page, which is ours; it is aligned.
            unsafe { object.write(FreeObject { next: free }) };
            free = NonNull::new(object);
        }
        // SAFETY: the page is ours and its start aligned.
        unsafe { page.cast::<Slab>().write(Slab { free, used: 0, class }) };
        self.stats.slab_pages += 1;
        self.partial[class].push_back(frames::table(), mfn);
        Some(mfn)
    }
}
