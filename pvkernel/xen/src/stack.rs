//! Stacks of threads, in the window, with an unmapped page below each, so that an overflow is a fault
//! and not a corruption.
//!
//! Mapping a stack takes a hypercall for its pages, and unmapping it another. Processes come and go, so
//! a few of their stacks stay mapped for the next one. `spare_frames` says how many frames that are, and
//! `give_up_spares` frees them.

use alloc::vec::Vec;

use pvkernel_core::platform::{OutOfMemory, Stack as Size};
use pvkernel_core::sync::Lock;

use crate::frames;
use crate::layout::{Pfn, PAGE};
use crate::window::Range;

/// Stacks that are kept at most.
const SPARES: usize = 16;

/// Small stacks nobody uses.
static SPARE: Lock<Vec<Mapped>> = Lock::new(Vec::new());

const fn pages(size: Size) -> usize {
    match size {
        Size::Large => 16,
        Size::Small => 8,
    }
}

/// A range with frames; they go back when it is dropped.
struct Mapped {
    range: Range,
    first: Pfn,
    pages: usize,
}

impl Mapped {
    fn new(pages: usize) -> Result<Self, OutOfMemory> {
        let mut range = Range::new(pages + 1)?;
        let first = frames::alloc_run(pages).ok_or(OutOfMemory)?;
        if range.map_frames(1, first, pages).is_err() {
            frames::free(first, pages);
            return Err(OutOfMemory);
        }
        Ok(Self { range, first, pages })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.range.unmap();
        frames::free(self.first, self.pages);
    }
}

/// A stack of a thread.
pub(crate) struct Stack {
    /// Present until it is dropped.
    memory: Option<Mapped>,
}

impl Stack {
    /// A stack of this size; what lies in it is whatever it was.
    pub(crate) fn new(size: Size) -> Result<Self, OutOfMemory> {
        let kept = match size {
            Size::Small => SPARE.lock().pop(),
            Size::Large => None,
        };
        let memory = match kept {
            Some(memory) => memory,
            None => Mapped::new(pages(size))?,
        };
        Ok(Self { memory: Some(memory) })
    }

    /// The first address behind it.
    pub(crate) fn top(&self) -> usize {
        let memory = self.memory.as_ref().expect("present until it is dropped");
        (memory.range.start() + (memory.pages as u64 + 1) * PAGE) as usize
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let mut spare = SPARE.lock();
        if memory.pages == pages(Size::Small) && spare.len() < SPARES {
            // One reservation for good: what the heap holds does not depend on how many are kept.
            let room = SPARES.saturating_sub(spare.len());
            spare.reserve_exact(room);
            return spare.push(memory);
        }
        drop(spare);
        drop(memory);
    }
}

/// A frame; if there is none, one of a stack that is kept.
pub(crate) fn alloc_frame() -> Option<Pfn> {
    loop {
        match frames::alloc() {
            None if give_up_spare() => {}
            frame => return frame,
        }
    }
}

/// Frames of stacks that are kept.
pub(crate) fn spare_frames() -> usize {
    SPARE.lock().len() * pages(Size::Small)
}

/// Frees a stack that is kept; false without one.
pub(crate) fn give_up_spare() -> bool {
    let stack = SPARE.lock().pop();
    stack.is_some()
}
