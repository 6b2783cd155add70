//! Frames of the hypervisor that a domain may map: shared info and grant table.
//!
//! They belong to the domain but are not charged, never become page tables and are never given up
//! by the guest. At the end the hypervisor lets go of them; one that another domain still maps
//! stays until that mapping is gone.

use hv_core::page::{self, SpecialUse};
use hv_machine::{directmap, frames};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;

use super::{Domain, Pages};
use crate::host::Host;

/// Takes a clean frame for a domain about to be made.
///
/// # Errors
/// `ENOMEM`.
pub fn take(owner: DomId) -> Result<Mfn, Errno> {
    let mfn = frames::alloc(0).ok_or(Errno::ENOMEM)?;
    super::memory::flush_stale(mfn);
    directmap::zero(mfn);
    if page::assign_special(&Host, mfn, owner, SpecialUse::Writable).is_err() {
        panic!("the allocator handed out a frame in use: {mfn:#x}");
    }
    Ok(mfn)
}

/// Adds a frame made by [`take`] to its domain's books.
///
/// # Errors
/// `ENOMEM`; the frame is given back.
pub fn add(dom: &Domain) -> Result<Mfn, Errno> {
    let mfn = take(dom.id)?;
    let mut pages = dom.pages.lock();
    if pages.special.try_reserve(1).is_ok() {
        pages.special.push(mfn);
        return Ok(mfn);
    }
    drop(pages);
    undo(mfn);
    Err(Errno::ENOMEM)
}

/// Gives back a frame of a domain that did not come to be. It is in no books, so the allocator
/// gets it directly.
pub fn undo(mfn: Mfn) {
    let Some(frame) = frames::table().get(mfn.get() as usize) else { return };
    if frame.drop_special().is_ok_and(|dropped| dropped.released) {
        super::memory::recycle(mfn);
    }
}

/// Takes a released frame out of the books; false when it is an ordinary frame.
pub fn forget(pages: &mut Pages, mfn: Mfn) -> bool {
    match pages.special.iter().position(|special| *special == mfn) {
        Some(index) => {
            pages.special.swap_remove(index);
            true
        }
        None => false,
    }
}

/// Lets go of all special frames of a dead domain.
///
/// The grant table is retired first: uses that still go on are counted, but touch no frame any more.
pub fn release_all(dom: &Domain) {
    drop(dom.grants.lock().retire());
    let all = dom.pages.lock().special.clone();
    for mfn in all {
        // A frame that was let go of before and is still mapped answers with an error.
        let _ = page::release_special(&Host, mfn);
    }
}
