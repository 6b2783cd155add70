//! The shared entry: access to the words a granter writes, and the step that marks one in use.
//!
//! The granter can change its words between any two accesses. So an entry is read as a whole,
//! judged, and changed by compare-exchange against exactly what was judged: the frame number is the
//! one that stood there when the in-use bit became a promise of the granter not to change it. Who
//! owns the frame is checked afterwards, by the image.

use hypercall_abi::grant::gtf;
use hypercall_abi::{DomId, Mfn};

use super::map::{Access, UseKinds};
use super::GrantError;

/// Attempts before a granter that keeps changing an entry is given up on.
const ATTEMPTS: u32 = 5;

/// Where an entry lies: entry `index` of a shared frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPlace {
    /// A frame of the granter's table.
    pub frame: Mfn,
    /// Which entry of it, below 512.
    pub index: usize,
}

/// Access to shared entries, whole: flags in bits 0 to 15, domain in bits 16 to 31, frame above. Each
/// operation is one atomic access.
pub trait SharedEntries {
    /// An entry that was found.
    type Entry: Copy;
    /// Finds an entry.
    fn find(&self, at: EntryPlace) -> Self::Entry;
    /// Reads it.
    fn load(&self, entry: Self::Entry) -> u64;
    /// Replaces it if it is still `old`.
    ///
    /// # Errors
    /// What was there instead.
    fn compare_exchange(&self, entry: Self::Entry, old: u64, new: u64) -> Result<(), u64>;
    /// Clears `mask` in the flags; a full barrier.
    fn clear_flags(&self, entry: Self::Entry, mask: u16);
    /// Writes it; only for entries that are not in use.
    fn store(&self, entry: Self::Entry, value: u64);
}

/// Sets the in-use bits of an entry if it permits the use; the answer is the frame it stands for.
///
/// # Errors
/// `NotPermitted`, `Unstable`; the entry is then as the granter left it.
#[inline(always)]
pub(super) fn mark_in_use<E: SharedEntries>(
    entries: &E,
    at: EntryPlace,
    mapper: DomId,
    access: Access,
    kinds: UseKinds,
) -> Result<u32, GrantError> {
    let entry = entries.find(at);
    let mut seen = entries.load(entry);
    for _ in 0..ATTEMPTS {
        let in_use = judge(seen as u32, mapper, access, kinds)?;
        match entries.compare_exchange(entry, seen, seen | u64::from(in_use)) {
            Ok(()) => return Ok((seen >> 32) as u32),
            Err(now) => seen = now,
        }
    }
    Err(GrantError::Unstable)
}

/// The in-use bits for a use that flags and domain permit.
#[inline]
fn judge(header: u32, mapper: DomId, access: Access, kinds: UseKinds) -> Result<u16, GrantError> {
    let flags = header as u16;
    let domid = (header >> 16) as u16;
    // Parts of a page exist in version 2 only; a mapping of one could not be confined.
    let relevant = match kinds {
        UseKinds::COPY => gtf::TYPE_MASK,
        _ => gtf::TYPE_MASK | gtf::SUB_PAGE,
    };
    if flags & relevant != gtf::PERMIT_ACCESS || domid != mapper.get() {
        return Err(GrantError::NotPermitted);
    }
    match access {
        Access::ReadOnly => Ok(gtf::READING),
        Access::ReadWrite if flags & gtf::READONLY != 0 => Err(GrantError::NotPermitted),
        Access::ReadWrite => Ok(gtf::READING | gtf::WRITING),
    }
}
