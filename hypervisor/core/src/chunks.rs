//! An array that grows by chunks of [`CHUNK`] elements.
//!
//! Used by the tables whose size a guest decides: grants, mappings. Growing moves no element
//! and never needs a big block of memory; nothing is given back before the array dies, so an index
//! that was valid once stays valid.

use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Elements in one chunk.
pub(crate) const CHUNK: u32 = 64;

#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Box<[T; CHUNK as usize]>>,
}

impl<T> Chunks<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// Number of elements, a multiple of [`CHUNK`].
    pub(crate) fn len(&self) -> u32 {
        self.chunks.len() as u32 * CHUNK
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get((index / CHUNK) as usize)?.get((index % CHUNK) as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks.get_mut((index / CHUNK) as usize)?.get_mut((index % CHUNK) as usize)
    }

    /// Adds a chunk, whose elements are made from their indices.
    ///
    /// # Errors
    /// Memory is exhausted; the array is as before.
    pub(crate) fn grow(&mut self, make: impl FnMut(u32) -> T) -> Result<(), TryReserveError> {
        self.chunks.try_reserve(1)?;
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK as usize)?;
        chunk.extend((self.len()..self.len() + CHUNK).map(make));
        // Exactly one chunk was made, so the conversion keeps it.
        self.chunks.extend(chunk.into_boxed_slice().try_into().ok());
        Ok(())
    }
}
