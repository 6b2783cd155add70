//! The shared entry: access to the words a granter writes, and the step that marks one in use.
//!
//! The granter can change its words between any two accesses. So flags and domain are read as one
//! word, judged, and changed by compare-exchange against exactly what was judged; the frame number
//! is read once, after the in-use bit made it a promise of the granter not to change it. A granter
//! that changes it nevertheless only chooses which of its own frames it grants: who owns the frame
//! is checked afterwards, by the image.

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

/// Access to shared entries; each operation is one atomic access.
pub trait SharedEntries {
    /// Reads flags (low half) and domain (high half).
    fn load(&self, at: EntryPlace) -> u32;
    /// Replaces flags and domain if they are still `old`.
    ///
    /// # Errors
    /// What was there instead.
    fn compare_exchange(&self, at: EntryPlace, old: u32, new: u32) -> Result<(), u32>;
    /// Reads the frame number.
    fn frame(&self, at: EntryPlace) -> u32;
    /// Clears `mask` in the flags; a full barrier.
    fn clear_flags(&self, at: EntryPlace, mask: u16);
    /// Writes a whole entry; only for entries that are not in use.
    fn store(&self, at: EntryPlace, header: u32, frame: u32);
}

/// Sets the in-use bits of an entry if it permits the use.
///
/// # Errors
/// `NotPermitted`, `Unstable`; the entry is then as the granter left it.
pub(super) fn mark_in_use<E: SharedEntries>(
    entries: &E,
    at: EntryPlace,
    mapper: DomId,
    access: Access,
    kinds: UseKinds,
) -> Result<(), GrantError> {
    let mut header = entries.load(at);
    for _ in 0..ATTEMPTS {
        let marked = judge(header, mapper, access, kinds)?;
        match entries.compare_exchange(at, header, marked) {
            Ok(()) => return Ok(()),
            Err(now) => header = now,
        }
    }
    Err(GrantError::Unstable)
}

/// The header with the in-use bits for a permitted use.
fn judge(header: u32, mapper: DomId, access: Access, kinds: UseKinds) -> Result<u32, GrantError> {
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
    let in_use = match access {
        Access::ReadOnly => gtf::READING,
        Access::ReadWrite if flags & gtf::READONLY != 0 => return Err(GrantError::NotPermitted),
        Access::ReadWrite => gtf::READING | gtf::WRITING,
    };
    Ok(header | u32::from(in_use))
}
