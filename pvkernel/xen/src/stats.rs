//! Numbers for leak checks.

/// Bytes of the heap in use.
#[must_use]
pub fn heap_used_bytes() -> usize {
    crate::heap::used_bytes()
}

/// Bytes the heap has taken from the frame allocator.
#[must_use]
pub fn heap_total_bytes() -> usize {
    crate::heap::total_bytes()
}

/// Frames that can be allocated.
#[must_use]
pub fn free_frames() -> usize {
    crate::frames::free_count()
}

/// Pages of the address window in use.
#[must_use]
pub fn window_pages() -> usize {
    crate::window::used_pages()
}

/// Ports of events with a handler.
#[must_use]
pub fn bound_ports() -> usize {
    crate::event::bound_ports()
}

/// Threads that have not ended.
#[must_use]
pub fn threads() -> usize {
    crate::thread::count()
}
