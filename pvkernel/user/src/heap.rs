//! The heap of a program: a buddy allocator that asks the kernel for more when it is full.
//!
//! Memory that was freed is used again, and given back when the program ends. A program has one thread,
//! so there is no lock.

#[cfg(target_os = "none")]
mod bare {
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::UnsafeCell;
    use core::ptr::{self, NonNull};

    use buddy_system_allocator::Heap;

    use crate::sys;

    /// What is asked for at least: small programs stay small, and large ones do not ask often.
    const MIN_GROWTH: u64 = 16 << 10;

    struct UserHeap(UnsafeCell<Heap<40>>);

    // SAFETY: a program has one thread, and nothing interrupts it to run code of the same program.
    unsafe impl Sync for UserHeap {}

    #[global_allocator]
    static HEAP: UserHeap = UserHeap(UnsafeCell::new(Heap::new()));

    /// Takes memory from the kernel in which an aligned block of such a size fits.
    fn grow(heap: &mut Heap<40>, layout: Layout) -> Option<()> {
        let block = layout.size().max(layout.align()).checked_next_power_of_two()? as u64;
        let end = sys::grow(0).ok()?;
        let padding = end.next_multiple_of(block) - end;
        let bytes = (padding + block).max(MIN_GROWTH).next_multiple_of(pvkernel_abi::PAGE_SIZE);
        let start = sys::grow(bytes).ok()?;
        // SAFETY: the kernel gave this range just now, to nobody else.
        unsafe { heap.add_to_heap(start as usize, (start + bytes) as usize) };
        Some(())
    }

    // SAFETY: blocks come from the buddy allocator, which keeps them apart.
    unsafe impl GlobalAlloc for UserHeap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: one thread, and no call in here comes back to the heap.
            let heap = unsafe { &mut *self.0.get() };
            if let Ok(block) = heap.alloc(layout) {
                return block.as_ptr();
            }
            if grow(heap, layout).is_none() {
                return ptr::null_mut();
            }
            heap.alloc(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: as above.
            let heap = unsafe { &mut *self.0.get() };
            if let Some(block) = NonNull::new(block) {
                // SAFETY: the caller says that it came from `alloc` with this layout.
                unsafe { heap.dealloc(block, layout) };
            }
        }
    }
}
