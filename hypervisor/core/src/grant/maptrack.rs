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
struct Slot {
    /// Without kinds when the handle is free.
    mapping: Mapping,
    /// While it is free, the next handle that is.
    next: u32,
}

/// The mappings of one domain.
#[derive(Debug)]
pub struct Maptrack {
    slots: Chunks<Slot>,
    limit: u32,
    list: List,
}

/// Which handles are free, and how many are not.
#[derive(Debug)]
struct List {
    first_free: u32,
    live: u32,
}

/// A handle that was found: a free one for a mapping to come, which stays free when this is dropped,
/// or one that stands for a mapping.
#[derive(Debug)]
pub struct Found<'a> {
    slot: &'a mut Slot,
    list: &'a mut List,
    index: u32,
}

impl Found<'_> {
    /// Makes the free handle stand for a mapping. This cannot fail.
    pub fn commit(self, mapping: Mapping) -> GrantHandle {
        let first = core::mem::replace(&mut self.list.first_free, self.slot.next);
        self.list.live += 1;
        self.slot.mapping = mapping;
        GrantHandle::new(first)
    }

    /// What the handle stands for.
    #[must_use]
    pub const fn mapping(&self) -> &Mapping {
        &self.slot.mapping
    }

    /// Removes kinds of the mapping; the handle is freed with the last one. Returns the mapping with
    /// those that were mapped and are not any more: they are to be released at the granter.
    pub fn remove(self, kinds: UseKinds) -> Mapping {
        let mapping = &mut self.slot.mapping;
        let removed = Mapping { kinds: mapping.kinds & kinds, ..*mapping };
        mapping.kinds -= kinds;
        if mapping.kinds.is_empty() {
            self.slot.next = self.list.first_free;
            self.list.first_free = self.index;
            self.list.live -= 1;
        }
        removed
    }
}

impl Maptrack {
    /// An empty table; `max_frames` is the limit of the interface, 0 for "no mappings".
    pub const fn new(max_frames: u32) -> Self {
        let limit = max_frames.saturating_mul(HANDLES_PER_FRAME);
        Self { slots: Chunks::new(), limit, list: List { first_free: NONE, live: 0 } }
    }

    /// Number of handles that are not free; zero after everything was unmapped.
    pub const fn live(&self) -> u32 {
        self.list.live
    }

    /// Finds a free handle for a mapping to come.
    ///
    /// # Errors
    /// `NoHandles`.
    pub fn reserve(&mut self) -> Result<Found<'_>, GrantError> {
        if self.list.first_free == NONE {
            self.grow()?;
        }
        self.find(self.list.first_free).ok_or(GrantError::NoHandles)
    }

    /// A handle that stands for a mapping.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn lookup(&mut self, handle: GrantHandle) -> Result<Found<'_>, GrantError> {
        let found = self.find(handle.get()).filter(|found| !found.mapping().kinds.is_empty());
        found.ok_or(GrantError::BadHandle)
    }

    fn find(&mut self, index: u32) -> Option<Found<'_>> {
        Some(Found { slot: self.slots.get_mut(index)?, list: &mut self.list, index })
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
        while self.list.live != 0 && *cursor < self.slots.len() {
            *budget = budget.checked_sub(1).ok_or(BudgetSpent)?;
            let handle = GrantHandle::new(*cursor);
            *cursor += 1;
            if let Ok(found) = self.lookup(handle) {
                return Ok(Some(found.remove(UseKinds::all())));
            }
        }
        Ok(None)
    }

    /// Adds free slots to the free list, which is empty.
    #[cold]
    fn grow(&mut self) -> Result<(), GrantError> {
        let first = self.slots.len();
        ensure(first < self.limit, GrantError::NoHandles)?;
        let last = first + CHUNK - 1;
        let next = |index| if index == last { NONE } else { index + 1 };
        let make = |index| Slot { mapping: Mapping::default(), next: next(index) };
        self.slots.grow(make).map_err(|_| GrantError::NoHandles)?;
        self.list.first_free = first;
        Ok(())
    }
}

/// A step ended because its budget was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSpent;
