//! The kernel heap: a buddy allocator on frames of the direct map, and blocks kept in front of it.
//!
//! It begins empty and takes frames when a request does not fit; it never gives them back, so the
//! number of bytes in use, not the number of frames, is what leak checks compare. Small blocks that are
//! freed are kept for the next who asks; before the heap grows, all of them go back.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use buddy_system_allocator::Heap;
use pvkernel_core::heap::{growth_frames, Class, Kept};
use pvkernel_core::sync::Lock;

use crate::{frames, layout};

/// Blocks of up to 2^31 bytes.
const ORDERS: usize = 32;

struct State {
    heap: Heap<ORDERS>,
    kept: Kept,
    used: usize,
}

struct KernelHeap {
    state: Lock<State>,
}

#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: KernelHeap =
    KernelHeap { state: Lock::new(State { heap: Heap::new(), kept: Kept::new(), used: 0 }) };

/// Bytes handed out, as requested by their owners.
pub(crate) fn used_bytes() -> usize {
    HEAP.state.lock().used
}

/// Bytes the heap has taken from the frame allocator.
pub(crate) fn total_bytes() -> usize {
    HEAP.state.lock().heap.stats_total_bytes()
}

fn grow(heap: &mut Heap<ORDERS>, layout: Layout) -> bool {
    let request = layout.size().max(layout.align());
    let Some(count) = growth_frames(request, frames::free_count()) else { return false };
    // Aligned, because a buddy allocator can make a block of a size only at a multiple of it.
    let Some(first) = frames::alloc_aligned_run(count) else { return false };
    let start = layout::direct_va(first) as usize;
    // SAFETY: the frames were just allocated, are mapped writable in the direct map, and are never
    // given back, so the heap owns the range for ever.
    unsafe { heap.add_to_heap(start, start + count * layout::PAGE as usize) };
    true
}

/// What the buddy allocator is asked for: blocks that are kept serve any request of their class, so they
/// are taken and given back as wholes.
fn whole(layout: Layout, class: Option<Class>) -> Layout {
    let block = class.and_then(|class| Layout::from_size_align(class.bytes(), class.bytes()).ok());
    block.unwrap_or(layout)
}

impl State {
    fn alloc(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let class = Class::of(layout);
        if let Some(address) = class.and_then(|class| self.kept.take(class)) {
            return NonNull::new(core::ptr::with_exposed_provenance_mut(address));
        }
        let layout = whole(layout, class);
        loop {
            if let Ok(block) = self.heap.alloc(layout) {
                return Some(block);
            }
            if !self.give_back() && !grow(&mut self.heap, layout) {
                return None;
            }
        }
    }

    /// Gives all blocks that are kept to the buddy allocator; false when there are none.
    fn give_back(&mut self) -> bool {
        let mut has_given = false;
        while let Some((class, address)) = self.kept.take_any() {
            let block = NonNull::new(core::ptr::with_exposed_provenance_mut(address));
            let layout = Layout::from_size_align(class.bytes(), class.bytes());
            if let (Some(block), Ok(layout)) = (block, layout) {
                // SAFETY: the block came from the heap with this layout, and nobody uses it.
                unsafe { self.heap.dealloc(block, layout) };
            }
            has_given = true;
        }
        has_given
    }

    /// # Safety
    /// The block came from `alloc` with this layout and is not used any more.
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        let class = Class::of(layout);
        if class.is_some_and(|class| self.kept.put(class, block.as_ptr().expose_provenance())) {
            return;
        }
        // SAFETY: by the caller's promise; the heap was asked for the same layout.
        unsafe { self.heap.dealloc(block, whole(layout, class)) };
    }
}

// SAFETY: blocks come from a buddy allocator under a lock, sized and aligned as requested; memory
// added to it is owned by it. A block is kept or handed out, never both. Neither function unwinds.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut state = self.state.lock();
        let Some(block) = state.alloc(layout) else { return core::ptr::null_mut() };
        state.used += layout.size();
        block.as_ptr()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        let mut state = self.state.lock();
        state.used -= layout.size();
        // SAFETY: the caller of `dealloc` promises that the block came from `alloc` with this layout.
        unsafe { state.dealloc(block, layout) };
    }
}
