//! The mapper's side: which handle stands for which mapping.
//!
//! Called by the image under the mapper's maptrack lock. A handle is found before anything else
//! happens, so that no mapping can exist that could not be undone. Invariants: every slot is used
//! or in the free list; `live` counts the used ones; handles are below the limit.

use crate::ensure;
use hypercall_abi::grant::GrantHandle;

use super::map::{Mapping, UseKinds};
use super::GrantError;
use crate::chunks::{Chunks, CHUNK};

/// Handles that one frame of the `max_maptrack_frames` limit stands for.
const HANDLES_PER_FRAME: u32 = 256;

// Limits are multiples of a frame's handles, so a chunk is inside the limit or outside.
const _: () = assert!(HANDLES_PER_FRAME.is_multiple_of(CHUNK));

/// End of the free list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Slot {
    Free { next: u32 },
    Used(Mapping),
}

/// The mappings of one domain.
#[derive(Debug)]
pub struct Maptrack {
    slots: Chunks<Slot>,
    limit: u32,
    first_free: u32,
    live: u32,
}

/// A free handle for a mapping to come. Dropped, it stays free.
#[derive(Debug)]
pub struct FreeHandle<'a> {
    track: &'a mut Maptrack,
    index: u32,
    next: u32,
}

impl FreeHandle<'_> {
    /// Makes the handle stand for a mapping. This cannot fail.
    pub fn commit(self, mapping: Mapping) -> GrantHandle {
        self.track.put(self.index, Slot::Used(mapping));
        self.track.first_free = self.next;
        self.track.live += 1;
        GrantHandle::new(self.index)
    }
}

impl Maptrack {
    /// An empty table; `max_frames` is the limit of the interface, 0 for "no mappings".
    pub const fn new(max_frames: u32) -> Self {
        let limit = max_frames.saturating_mul(HANDLES_PER_FRAME);
        Self { slots: Chunks::new(), limit, first_free: NONE, live: 0 }
    }

    /// Number of handles that are not free; zero after everything was unmapped.
    pub const fn live(&self) -> u32 {
        self.live
    }

    /// Finds a free handle for a mapping to come.
    ///
    /// # Errors
    /// `NoHandles`.
    pub fn reserve(&mut self) -> Result<FreeHandle<'_>, GrantError> {
        if self.first_free == NONE {
            self.grow()?;
        }
        let index = self.first_free;
        match self.slots.get(index).copied() {
            Some(Slot::Free { next }) => Ok(FreeHandle { track: self, index, next }),
            _ => Err(GrantError::NoHandles),
        }
    }

    /// What a handle stands for.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn lookup(&self, handle: GrantHandle) -> Result<Mapping, GrantError> {
        match self.slots.get(handle.get()) {
            Some(Slot::Used(mapping)) => Ok(*mapping),
            _ => Err(GrantError::BadHandle),
        }
    }

    /// Removes kinds of a mapping; the handle is freed with the last one. Returns those that were
    /// mapped and are not any more: they are to be released at the granter.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn remove(&mut self, handle: GrantHandle, kinds: UseKinds) -> Result<UseKinds, GrantError> {
        let mut mapping = self.lookup(handle)?;
        let removed = mapping.kinds & kinds;
        mapping.kinds -= removed;
        if mapping.kinds.is_empty() {
            self.put(handle.get(), Slot::Free { next: self.first_free });
            self.first_free = handle.get();
            self.live -= 1;
        } else {
            self.put(handle.get(), Slot::Used(mapping));
        }
        Ok(removed)
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
        while self.live != 0 && *cursor < self.slots.len() {
            *budget = budget.checked_sub(1).ok_or(BudgetSpent)?;
            let handle = GrantHandle::new(*cursor);
            *cursor += 1;
            if let Ok(mapping) = self.lookup(handle) {
                let removed = self.remove(handle, mapping.kinds);
                debug_assert_eq!(removed, Ok(mapping.kinds));
                return Ok(Some(mapping));
            }
        }
        Ok(None)
    }

    fn put(&mut self, index: u32, new: Slot) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = new;
        }
    }

    /// Adds free slots to the free list, which is empty.
    fn grow(&mut self) -> Result<(), GrantError> {
        let first = self.slots.len();
        ensure(first < self.limit, GrantError::NoHandles)?;
        let last = first + CHUNK - 1;
        let make = |index| Slot::Free { next: if index == last { NONE } else { index + 1 } };
        self.slots.grow(make).map_err(|_| GrantError::NoHandles)?;
        self.first_free = first;
        Ok(())
    }
}

/// A step ended because its budget was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSpent;
