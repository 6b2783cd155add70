//! The kernel heap: a buddy allocator on frames of the direct map.
//!
//! It begins empty and takes frames when a request does not fit; it never gives them back, so the
//! number of bytes in use, not the number of frames, is what leak checks compare.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use buddy_system_allocator::Heap;
use pvkernel_core::heap::growth_frames;
use pvkernel_core::sync::Lock;

use crate::{frames, layout};

/// Blocks of up to 2^31 bytes.
const ORDERS: usize = 32;

struct KernelHeap {
    heap: Lock<Heap<ORDERS>>,
}

#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: KernelHeap = KernelHeap { heap: Lock::new(Heap::new()) };

/// Bytes handed out, as requested by their owners.
pub(crate) fn used_bytes() -> usize {
    HEAP.heap.lock().stats_alloc_user()
}

/// Bytes the heap has taken from the frame allocator.
pub(crate) fn total_bytes() -> usize {
    HEAP.heap.lock().stats_total_bytes()
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

// SAFETY: blocks come from a buddy allocator under a lock, sized and aligned as requested; memory
// added to it is owned by it. Neither function unwinds.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.heap.lock();
        loop {
            if let Ok(block) = heap.alloc(layout) {
                return block.as_ptr();
            }
            if !grow(&mut heap, layout) {
                return core::ptr::null_mut();
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller of `dealloc` promises that the block came from `alloc` with this
            // layout.
            unsafe { self.heap.lock().dealloc(block, layout) };
        }
    }
}
