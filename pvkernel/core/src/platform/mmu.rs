//! The kernel's address space.

use super::OutOfMemory;

/// What may be done with a mapped page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
}

/// Why pages could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No memory for page tables, or no address range left.
    OutOfMemory,
    /// The frame or the access is not permitted.
    Refused,
}

impl From<OutOfMemory> for MapError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Frames and the places where they are mapped. Frames are pseudo-physical numbers.
pub trait Mmu: Sync {
    /// Takes a frame; its content is undefined.
    fn alloc_frame(&self) -> Option<usize>;

    /// Gives a frame back that is mapped nowhere any more.
    fn free_frame(&self, frame: usize);

    /// Frames that can be allocated; with those the backend keeps for later and gives up when asked.
    fn free_frames(&self) -> usize;

    /// Frames of the machine, used or not; the numbers of all are below this.
    fn total_frames(&self) -> usize;

    /// Frames of the kernel's heap.
    fn heap_frames(&self) -> usize;

    /// Maps frames at consecutive pages of a range that is chosen by the backend and returns its
    /// first address; all or nothing, in as few steps as the machine permits.
    ///
    /// # Errors
    /// `MapError`; nothing stays mapped.
    fn map(&self, frames: &[usize], access: Access) -> Result<usize, MapError>;

    /// Removes a range made by `map`; the frames stay allocated.
    fn unmap(&self, address: usize, pages: usize);

    /// The frame that is mapped at an address.
    fn translate(&self, address: usize) -> Option<(usize, Access)>;
}
