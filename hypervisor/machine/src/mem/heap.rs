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
use super::slab::{self, Source, CLASSES, HEADER_SIZE};
use crate::layout;
use crate::sync::Mutex;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{null_mut, NonNull};
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

/// Header at the start of a slab page.
struct Slab {
    next: Option<NonNull<Slab>>,
    prev: Option<NonNull<Slab>>,
    free: Option<NonNull<FreeObject>>,
    used: usize,
    class: usize,
}

/// A free object of a slab: the list of free objects goes through them.
struct FreeObject {
    next: Option<NonNull<FreeObject>>,
}

const _: () = assert!(size_of::<Slab>() <= HEADER_SIZE);

/// Slabs with room, by class, and the counters.
struct Heap {
    partial: [Option<NonNull<Slab>>; CLASSES.len()],
    stats: Stats,
}

// SAFETY: the pointers lead to pages of the heap, which are mapped alike on all CPUs and reached
// only under the lock around `Heap`.
unsafe impl Send for Heap {}

static HEAP: Mutex<Heap> = Mutex::new(Heap {
    partial: [const { None }; CLASSES.len()],
    stats: Stats { objects: 0, bytes: 0, slab_pages: 0, large_pages: 0 },
});

/// What the heap holds now.
#[must_use]
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
        if !block.is_null() {
            heap.stats.objects += 1;
            heap.stats.bytes += layout.size() as u64;
        }
        block
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
                put_frames(block, order);
            }
        }
    }
}

/// Takes frames from the allocator and closes them.
fn take_frames(order: u32) -> *mut u8 {
    let Some(mfn) = frames::alloc(order) else { return null_mut() };
    frames::set_open(mfn, order, false);
    core::ptr::with_exposed_provenance_mut(layout::direct(mfn.maddr()) as usize)
}

/// Opens frames and gives them back.
fn put_frames(block: *mut u8, order: u32) {
    let mfn = Mfn::from_maddr(block.addr() as u64 - layout::DIRECT_BASE);
    frames::set_open(mfn, order, true);
    frames::free(mfn, order);
}

impl Heap {
    fn take_pages(&mut self, order: u32) -> *mut u8 {
        let block = take_frames(order);
        if !block.is_null() {
            self.stats.large_pages += 1 << order;
        }
        block
    }

    fn take_object(&mut self, class: usize) -> *mut u8 {
        let Some(slab) = self.partial[class].or_else(|| self.add_slab(class)) else {
            return null_mut();
        };
        // SAFETY: a slab on the list is a mapped page of the heap, reached under the lock only.
        let header = unsafe { &mut *slab.as_ptr() };
        let Some(object) = header.free else { return null_mut() };
        // SAFETY: a free object holds its link and nothing else.
        header.free = unsafe { object.as_ref() }.next;
        header.used += 1;
        if header.free.is_none() {
            self.unlink(slab);
        }
        object.as_ptr().cast()
    }

    /// # Safety
    /// `block` must be a live object of a slab, given up by its owner.
    unsafe fn put_object(&mut self, block: *mut u8) {
        let object = block.cast::<FreeObject>();
        let slab_address =
            block.map_addr(|address| address & !(slab::SLAB_SIZE - 1)).cast::<Slab>();
        // SAFETY: the object's page starts with the header of its slab.
        let header = unsafe { &mut *slab_address };
        let was_full = header.free.is_none();
        // SAFETY: the object is ours again, is large enough for a link and aligned to 16.
        unsafe { object.write(FreeObject { next: header.free }) };
        header.free = NonNull::new(object);
        header.used -= 1;
        let (used, class) = (header.used, header.class);
        let Some(slab) = NonNull::new(slab_address) else { return };
        if used == 0 {
            if !was_full {
                self.unlink(slab);
            }
            self.stats.slab_pages -= 1;
            put_frames(slab_address.cast(), 0);
        } else if was_full {
            self.link(slab, class);
        }
    }

    /// Makes a slab of a page and puts it on the list of its class.
    fn add_slab(&mut self, class: usize) -> Option<NonNull<Slab>> {
        let page = take_frames(0);
        let slab = NonNull::new(page.cast::<Slab>())?;
        self.stats.slab_pages += 1;
        let mut free = None;
        for index in (0..slab::capacity(class)).rev() {
            // SAFETY: `capacity` keeps the object within the page.
            let object = unsafe { page.add(HEADER_SIZE + index * CLASSES[class]) };
            let object = object.cast::<FreeObject>();
            // SAFETY: the page is ours and the object aligned to 16.
            unsafe { object.write(FreeObject { next: free }) };
            free = NonNull::new(object);
        }
        // SAFETY: the page is ours and its start aligned.
        unsafe { slab.write(Slab { next: None, prev: None, free, used: 0, class }) };
        self.link(slab, class);
        Some(slab)
    }

    fn link(&mut self, mut slab: NonNull<Slab>, class: usize) {
        let head = self.partial[class];
        // SAFETY: slabs are reached under the lock only, and no other reference is alive here.
        let header = unsafe { slab.as_mut() };
        header.next = head;
        header.prev = None;
        if let Some(mut head) = head {
            // SAFETY: see above; the head is another slab.
            unsafe { head.as_mut() }.prev = Some(slab);
        }
        self.partial[class] = Some(slab);
    }

    fn unlink(&mut self, slab: NonNull<Slab>) {
        // SAFETY: slabs are reached under the lock only, and no other reference is used meanwhile.
        let header = unsafe { slab.as_ref() };
        let (next, prev, class) = (header.next, header.prev, header.class);
        if let Some(mut next) = next {
            // SAFETY: see above; a neighbour is another slab.
            unsafe { next.as_mut() }.prev = prev;
        }
        match prev {
            // SAFETY: see above.
            Some(mut prev) => unsafe { prev.as_mut() }.next = next,
            None => self.partial[class] = next,
        }
    }
}
