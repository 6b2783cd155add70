//! The granter's side: the frames of the shared table and the entries in use.
//!
//! Called by the image under the granter's grant lock. The order inside [`GrantTable::acquire`] is
//! what makes it safe against a granter that writes at the same time: everything that can fail is
//! checked before the in-use bits are set, and after that nothing fails.
//!
//! Invariants: there is an [`Active`] for every entry of every shared frame; `pinned` counts those
//! with a use. A domain cannot make the records grow beyond what its shared frames allow.

use crate::ensure;
use alloc::vec::Vec;

use hypercall_abi::grant::{gtf, V1_ENTRIES_PER_PAGE};
use hypercall_abi::{DomId, Errno, GrantRef, Mfn};

use super::entry::{mark_in_use, EntryPlace, SharedEntries};
use super::map::{Access, UseKinds};
use super::GrantError;
use crate::chunks::Chunks;

/// The hypervisor's own record of an entry in use.
#[derive(Clone, Copy, Debug, Default)]
struct Active {
    /// The frame that was granted when the first use began.
    frame: u32,
    /// The only domain that uses the entry.
    mapper: DomId,
    /// Uses; each kind of a mapping counts as one. In the lower half those that only read, in the
    /// upper half those that may write.
    uses: u32,
}

/// The uses that may write begin at this bit.
const WRITERS: u32 = 16;
/// Most uses of an access.
const MOST: u32 = 0xffff;

/// The grant table of one domain.
#[derive(Debug)]
pub struct GrantTable {
    frames: Vec<Mfn>,
    max_frames: u32,
    active: Chunks<Active>,
    pinned: u32,
}

/// Checks the argument of `GNTTABOP_set_version`: only version 1 is offered.
///
/// # Errors
/// `ENOSYS` for version 2, `EINVAL` for those that do not exist.
pub fn check_version(version: u32) -> Result<(), Errno> {
    match version {
        1 => Ok(()),
        2 => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

impl GrantTable {
    /// A table of one zeroed frame that may grow to `max_frames`.
    ///
    /// # Errors
    /// `TableLimit` if not even one is allowed, `NoMemory`.
    pub fn new(first: Mfn, max_frames: u32) -> Result<Self, GrantError> {
        let mut table = Self { frames: Vec::new(), max_frames, active: Chunks::new(), pinned: 0 };
        table.add_frame(first)?;
        Ok(table)
    }

    /// Frames of the shared table at present.
    pub fn frames(&self) -> &[Mfn] {
        &self.frames
    }

    /// Most frames the table may have.
    pub const fn max_frames(&self) -> u32 {
        self.max_frames
    }

    /// Number of entries in use; while it is not zero a dead domain's grants live on.
    pub const fn pinned(&self) -> u32 {
        self.pinned
    }

    /// Where an entry lies.
    ///
    /// # Errors
    /// `BadRef` if the table does not have it.
    #[inline]
    pub fn locate(&self, gref: GrantRef) -> Result<EntryPlace, GrantError> {
        let frame = self.frames.get((gref.get() / V1_ENTRIES_PER_PAGE) as usize);
        let frame = *frame.ok_or(GrantError::BadRef)?;
        Ok(EntryPlace { frame, index: (gref.get() % V1_ENTRIES_PER_PAGE) as usize })
    }

    /// How many frames must be added before the table has `wanted` ones.
    ///
    /// # Errors
    /// `TableLimit`.
    pub fn frames_missing(&self, wanted: u32) -> Result<u32, GrantError> {
        ensure(wanted <= self.max_frames, GrantError::TableLimit)?;
        Ok(wanted.saturating_sub(self.frames.len() as u32))
    }

    /// Adds a zeroed frame to the table.
    ///
    /// # Errors
    /// `TableLimit`, `NoMemory`; the frame is then still the caller's.
    pub fn add_frame(&mut self, frame: Mfn) -> Result<(), GrantError> {
        let frames = self.frames.len() as u32;
        ensure(frames < self.max_frames, GrantError::TableLimit)?;
        self.frames.try_reserve(1).map_err(|_| GrantError::NoMemory)?;
        while self.active.len() < (frames + 1) * V1_ENTRIES_PER_PAGE {
            self.active.grow(|_| Active::default()).map_err(|_| GrantError::NoMemory)?;
        }
        self.frames.push(frame);
        Ok(())
    }

    /// Takes the shared frames away because the domain dies: no entry can be acquired any more,
    /// entries in use are released without touching shared memory.
    #[must_use]
    pub fn retire(&mut self) -> Vec<Mfn> {
        self.max_frames = 0;
        core::mem::take(&mut self.frames)
    }

    /// Begins uses of an entry by `mapper`, one of each kind, and returns the frame it stands for.
    /// Whether the granter owns that frame is for the caller to check, while the use holds it.
    ///
    /// # Errors
    /// `BadRef`, `InUseByOther`, `TooManyUses`, `NotPermitted`, `Unstable`; nothing has changed
    /// then.
    #[inline(always)]
    pub fn acquire<E: SharedEntries>(
        &mut self,
        entries: &E,
        gref: GrantRef,
        mapper: DomId,
        access: Access,
        kinds: UseKinds,
    ) -> Result<Mfn, GrantError> {
        let at = self.locate(gref)?;
        let active = self.active.get_mut(gref.get()).ok_or(GrantError::BadRef)?;
        let is_pinned = active.uses != 0;
        ensure(!is_pinned || active.mapper == mapper, GrantError::InUseByOther)?;
        let (shift, count) = (access as u32 * WRITERS, u32::from(kinds.count()));
        ensure((active.uses >> shift & MOST) + count <= MOST, GrantError::TooManyUses)?;
        // The shared word is asked again only when the use adds a right that no use has yet.
        let is_first_writer = access == Access::ReadWrite && active.uses >> WRITERS == 0;
        if !is_pinned || is_first_writer {
            let frame = mark_in_use(entries, at, mapper, access, kinds)?;
            if !is_pinned {
                (active.frame, active.mapper) = (frame, mapper);
                self.pinned += 1;
            }
        }
        active.uses += count << shift;
        Ok(Mfn::new(u64::from(active.frame)))
    }

    /// Ends uses that [`Self::acquire`] began with the same access, for the given kinds. The page
    /// references of the uses were dropped and flushed before: from here on the granter may reuse
    /// the frame. Uses that never began change nothing.
    #[inline(always)]
    pub fn release<E: SharedEntries>(
        &mut self,
        entries: &E,
        gref: GrantRef,
        access: Access,
        kinds: UseKinds,
    ) {
        let Some(active) = self.active.get_mut(gref.get()) else { return };
        let (shift, count) = (access as u32 * WRITERS, u32::from(kinds.count()));
        let is_in_use = count != 0 && active.uses >> shift & MOST >= count;
        debug_assert!(is_in_use, "release of a use that never began");
        if !is_in_use {
            return;
        }
        active.uses -= count << shift;
        let mut ended = 0;
        if access == Access::ReadWrite && active.uses >> WRITERS == 0 {
            ended |= gtf::WRITING;
        }
        if active.uses == 0 {
            ended |= gtf::READING;
            self.pinned -= 1;
        }
        if ended != 0 {
            if let Ok(at) = self.locate(gref) {
                entries.clear_flags(entries.find(at), ended);
            }
        }
    }

    /// `GNTTABOP_swap_grant_ref`: exchanges two idle entries.
    ///
    /// # Errors
    /// `BadRef`, or `Busy` if one is in use.
    pub fn swap<E: SharedEntries>(
        &mut self,
        entries: &E,
        a: GrantRef,
        b: GrantRef,
    ) -> Result<(), GrantError> {
        let places = [self.locate(a)?, self.locate(b)?];
        if a == b {
            return Ok(());
        }
        let is_busy =
            |gref: &GrantRef| self.active.get(gref.get()).is_some_and(|active| active.uses != 0);
        ensure(![a, b].iter().any(is_busy), GrantError::Busy)?;
        let [entry_a, entry_b] = places.map(|at| entries.find(at));
        let (a, b) = (entries.load(entry_a), entries.load(entry_b));
        entries.store(entry_a, b);
        entries.store(entry_b, a);
        Ok(())
    }
}
