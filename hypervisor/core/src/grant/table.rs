//! The granter's side: the frames of the shared table and the entries in use.
//!
//! Called by the image under the granter's grant lock. The order inside [`GrantTable::acquire`] is
//! what makes it safe against a granter that writes at the same time: everything that can fail is
//! checked before the in-use bits are set, and after that nothing fails.

use alloc::vec::Vec;

use hypercall_abi::grant::{gtf, V1_ENTRIES_PER_PAGE};
use hypercall_abi::{DomId, GrantRef, Mfn};

use super::entry::{mark_in_use, EntryPlace, SharedEntries};
use super::map::{Access, MapKinds, Usage};
use super::pins::ActiveEntries;
use super::{GrantError, VersionError};

/// The grant table of one domain.
#[derive(Debug)]
pub struct GrantTable {
    frames: Vec<Mfn>,
    max_frames: u32,
    active: ActiveEntries,
    pinned: u32,
}

/// What a release led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The entry is still in use.
    InUse,
    /// This was the last use.
    Idle,
}

/// Checks the argument of `GNTTABOP_set_version`: only version 1 is offered.
///
/// # Errors
/// `NotOffered` for version 2, `Unknown` for all others.
pub fn check_version(version: u32) -> Result<(), VersionError> {
    match version {
        1 => Ok(()),
        2 => Err(VersionError::NotOffered),
        _ => Err(VersionError::Unknown),
    }
}

impl GrantTable {
    /// A table of one zeroed frame that may grow to `max_frames`.
    ///
    /// # Errors
    /// `TableLimit` if not even one is allowed, `NoMemory`.
    pub fn new(first: Mfn, max_frames: u32) -> Result<Self, GrantError> {
        let mut table =
            Self { frames: Vec::new(), max_frames, active: ActiveEntries::new(), pinned: 0 };
        table.add_frame(first)?;
        Ok(table)
    }

    /// Frames of the shared table at present.
    #[must_use]
    pub fn frames(&self) -> &[Mfn] {
        &self.frames
    }

    /// Most frames the table may have.
    #[must_use]
    pub const fn max_frames(&self) -> u32 {
        self.max_frames
    }

    /// Number of references that exist at present.
    #[must_use]
    pub fn entries(&self) -> u32 {
        (self.frames.len() as u32).saturating_mul(V1_ENTRIES_PER_PAGE)
    }

    /// Number of entries in use; while it is not zero a dead domain's grants live on.
    #[must_use]
    pub const fn pinned(&self) -> u32 {
        self.pinned
    }

    /// Where an entry lies, if the table has it.
    #[inline]
    #[must_use]
    pub fn locate(&self, gref: GrantRef) -> Option<EntryPlace> {
        let frame = *self.frames.get((gref.get() / V1_ENTRIES_PER_PAGE) as usize)?;
        Some(EntryPlace { frame, index: (gref.get() % V1_ENTRIES_PER_PAGE) as usize })
    }

    /// How many frames must be added before the table has `wanted` ones.
    ///
    /// # Errors
    /// `TableLimit`.
    pub fn frames_missing(&self, wanted: u32) -> Result<u32, GrantError> {
        if wanted > self.max_frames {
            return Err(GrantError::TableLimit);
        }
        Ok(wanted.saturating_sub(self.frames.len() as u32))
    }

    /// Adds a zeroed frame to the table.
    ///
    /// # Errors
    /// `TableLimit`, `NoMemory`; the frame is then still the caller's.
    pub fn add_frame(&mut self, frame: Mfn) -> Result<(), GrantError> {
        if self.frames.len() >= self.max_frames as usize {
            return Err(GrantError::TableLimit);
        }
        self.frames.try_reserve(1).map_err(|_| GrantError::NoMemory)?;
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

    /// Begins a use of an entry by `mapper` and returns the frame it stands for. Whether the
    /// granter owns that frame is for the caller to check, while the use holds it.
    ///
    /// # Errors
    /// `BadRef`, `InUseByOther`, `TooManyUses`, `NotPermitted`, `Unstable`, `NoMemory`; nothing
    /// has changed then.
    pub fn acquire<E: SharedEntries>(
        &mut self,
        entries: &E,
        gref: GrantRef,
        mapper: DomId,
        access: Access,
        usage: Usage,
    ) -> Result<Mfn, GrantError> {
        let at = self.locate(gref).ok_or(GrantError::BadRef)?;
        let active = self.active.get_or_create(gref)?;
        let was_pinned = active.is_pinned();
        if was_pinned && active.mapper != mapper {
            return Err(GrantError::InUseByOther);
        }
        let mut pinned = *active;
        pinned.pin(access, usage.kinds())?;
        // The shared word is asked again only when the use adds a right that no use has yet.
        let is_first_writer = access == Access::ReadWrite && !active.has_writer();
        if !was_pinned || is_first_writer {
            mark_in_use(entries, at, mapper, access, usage)?;
        }
        if !was_pinned {
            pinned.frame = entries.frame(at);
            pinned.mapper = mapper;
            self.pinned += 1;
        }
        *active = pinned;
        Ok(Mfn::new(u64::from(pinned.frame)))
    }

    /// Ends a use that [`Self::acquire`] began with the same access, for the given kinds. The page
    /// references of the use were dropped and flushed before: from here on the granter may reuse
    /// the frame. A use that never began changes nothing.
    pub fn release<E: SharedEntries>(
        &mut self,
        entries: &E,
        gref: GrantRef,
        access: Access,
        kinds: MapKinds,
    ) -> Released {
        let place = self.locate(gref);
        let Some(active) = self.active.get_mut(gref).filter(|active| active.is_pinned()) else {
            debug_assert!(false, "release of an entry that is not in use");
            return Released::Idle;
        };
        let had_writer = active.has_writer();
        if active.unpin(access, kinds).is_none() {
            debug_assert!(false, "release of a use that never began");
            return Released::InUse;
        }
        let mut ended = 0;
        if had_writer && !active.has_writer() {
            ended |= gtf::WRITING;
        }
        let is_idle = !active.is_pinned();
        if is_idle {
            ended |= gtf::READING;
            self.pinned -= 1;
        }
        if let Some(at) = place.filter(|_| ended != 0) {
            entries.clear_flags(at, ended);
        }
        if is_idle {
            Released::Idle
        } else {
            Released::InUse
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
        let at_a = self.locate(a).ok_or(GrantError::BadRef)?;
        let at_b = self.locate(b).ok_or(GrantError::BadRef)?;
        if a == b {
            return Ok(());
        }
        if self.active.get(a).is_pinned() || self.active.get(b).is_pinned() {
            return Err(GrantError::Busy);
        }
        let (header_a, frame_a) = (entries.load(at_a), entries.frame(at_a));
        let (header_b, frame_b) = (entries.load(at_b), entries.frame(at_b));
        entries.store(at_a, header_b, frame_b);
        entries.store(at_b, header_a, frame_a);
        Ok(())
    }
}
