//! The mapper's side: which handle stands for which mapping.
//!
//! Called by the image under the mapper's maptrack lock. A handle is reserved before anything else
//! happens, so that no mapping can exist that could not be undone. Invariants: every slot is in the
//! free list, reserved or used; `live` counts the latter two; handles are below the limit.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hypercall_abi::grant::GrantHandle;

use super::map::{MapKinds, Mapping};
use super::GrantError;

/// Handles that one frame of the `max_maptrack_frames` limit stands for.
pub const HANDLES_PER_FRAME: u32 = 256;

const CHUNK: usize = 64;

/// End of the free list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Slot {
    Free { next: u32 },
    Reserved,
    Used(Mapping),
}

/// What is left of a mapping after some of its kinds were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Kinds that were mapped and are not any more: to be released at the granter.
    pub kinds: MapKinds,
    /// Whether the handle is free again.
    pub is_gone: bool,
}

/// The mappings of one domain.
#[derive(Debug)]
pub struct Maptrack {
    #[expect(clippy::vec_box, reason = "growing must neither move entries nor need one big block")]
    chunks: Vec<Box<[Slot; CHUNK]>>,
    limit: u32,
    first_free: u32,
    live: u32,
}

impl Maptrack {
    /// An empty table; `max_frames` is the limit of the interface, 0 for "no mappings".
    #[must_use]
    pub const fn new(max_frames: u32) -> Self {
        let limit = max_frames.saturating_mul(HANDLES_PER_FRAME);
        Self { chunks: Vec::new(), limit, first_free: NONE, live: 0 }
    }

    /// Number of handles that are not free; zero after everything was unmapped.
    #[must_use]
    pub const fn live(&self) -> u32 {
        self.live
    }

    /// Takes a free handle for a mapping to come.
    ///
    /// # Errors
    /// `NoHandles`.
    pub fn reserve(&mut self) -> Result<GrantHandle, GrantError> {
        if self.first_free == NONE {
            self.grow()?;
        }
        let index = self.first_free;
        let Some(Slot::Free { next }) = self.slot(index).copied() else {
            return Err(GrantError::NoHandles);
        };
        self.first_free = next;
        self.put(index, Slot::Reserved);
        self.live += 1;
        Ok(GrantHandle::new(index))
    }

    /// Fills a reserved handle.
    pub fn commit(&mut self, handle: GrantHandle, mapping: Mapping) {
        debug_assert!(matches!(self.slot(handle.get()), Some(Slot::Reserved)));
        self.put(handle.get(), Slot::Used(mapping));
    }

    /// Gives a reserved handle back.
    pub fn cancel(&mut self, handle: GrantHandle) {
        if let Some(Slot::Reserved) = self.slot(handle.get()) {
            self.free(handle.get());
        }
    }

    /// What a handle stands for.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn lookup(&self, handle: GrantHandle) -> Result<Mapping, GrantError> {
        match self.slot(handle.get()) {
            Some(Slot::Used(mapping)) => Ok(*mapping),
            _ => Err(GrantError::BadHandle),
        }
    }

    /// Removes kinds of a mapping; the handle is freed with the last one.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn remove(&mut self, handle: GrantHandle, kinds: MapKinds) -> Result<Removed, GrantError> {
        let mut mapping = self.lookup(handle)?;
        let removed = mapping.kinds & kinds;
        mapping.kinds -= removed;
        let is_gone = mapping.kinds.is_empty();
        if is_gone {
            self.free(handle.get());
        } else {
            self.put(handle.get(), Slot::Used(mapping));
        }
        Ok(Removed { kinds: removed, is_gone })
    }

    /// Takes some mapping out, whole: the step of the mapper's teardown. At most `budget` slots are
    /// looked at, from `cursor` on, which moves; `Ok(None)` means that all were looked at.
    ///
    /// # Errors
    /// `BudgetSpent` if the budget ended first.
    pub fn drain_step(
        &mut self,
        cursor: &mut u32,
        budget: &mut u32,
    ) -> Result<Option<Mapping>, BudgetSpent> {
        while self.live != 0 && *cursor < self.len() {
            *budget = budget.checked_sub(1).ok_or(BudgetSpent)?;
            let index = *cursor;
            *cursor += 1;
            match self.slot(index).copied() {
                Some(Slot::Used(mapping)) => {
                    self.free(index);
                    return Ok(Some(mapping));
                }
                Some(Slot::Reserved) => self.free(index),
                _ => {}
            }
        }
        Ok(None)
    }

    fn len(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        let chunk = self.chunks.get(index as usize / CHUNK)?;
        Some(&chunk[index as usize % CHUNK])
    }

    fn put(&mut self, index: u32, slot: Slot) {
        if let Some(chunk) = self.chunks.get_mut(index as usize / CHUNK) {
            chunk[index as usize % CHUNK] = slot;
        }
    }

    fn free(&mut self, index: u32) {
        self.put(index, Slot::Free { next: self.first_free });
        self.first_free = index;
        self.live -= 1;
    }

    fn grow(&mut self) -> Result<(), GrantError> {
        let first = self.len();
        // Limits are multiples of a frame's handles, so a chunk is inside the limit or outside.
        if first >= self.limit {
            return Err(GrantError::NoHandles);
        }
        self.chunks.try_reserve(1).map_err(|_| GrantError::NoHandles)?;
        let mut slots = Vec::new();
        slots.try_reserve_exact(CHUNK).map_err(|_| GrantError::NoHandles)?;
        let last = first + CHUNK as u32 - 1;
        slots.extend((first..last).map(|index| Slot::Free { next: index + 1 }));
        slots.push(Slot::Free { next: NONE });
        let chunk = slots.into_boxed_slice().try_into().map_err(|_| GrantError::NoHandles)?;
        self.chunks.push(chunk);
        self.first_free = first;
        Ok(())
    }
}

/// A step ended because its budget was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSpent;

const _: () = assert!(HANDLES_PER_FRAME as usize % CHUNK == 0);
