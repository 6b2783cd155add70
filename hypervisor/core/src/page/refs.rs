//! References on single frames: taking, dropping, giving and taking away ownership.
//!
//! Called by memory operations, grants, the domain builder and the rest of this module. These
//! functions need no lock except that [`assign`] to a domain runs under that domain's page-table
//! lock (so that, under the lock, a frame of that domain was its frame all along).
//!
//! A reference that is held by a value is a [`PageRef`] or a [`WritableRef`]; a reference that has
//! been put into a page-table entry or a handle is nobody's value any more (`into_raw`) and comes
//! back with `from_raw` when that entry or handle goes.

use hypercall_abi::{DomId, Mfn};

use super::error::PageError;
use super::frame::FrameInfo;
use super::host::{lookup_ram, PageHost};
use super::state::{RefError, State, Taken};
use super::types::PageType;

/// A held general reference: the frame stays the owner's until it is dropped.
#[must_use = "a reference that is not released keeps the frame for ever"]
#[derive(Debug, PartialEq, Eq)]
pub struct PageRef(Mfn);

/// A held general and writable reference: the frame is plain memory until it is dropped.
#[must_use = "a reference that is not released keeps the frame for ever"]
#[derive(Debug, PartialEq, Eq)]
pub struct WritableRef(Mfn);

macro_rules! held_reference {
    ($name:ident) => {
        impl $name {
            /// The frame.
            #[must_use]
            pub const fn mfn(&self) -> Mfn {
                self.0
            }

            /// Moves the reference to where values of this type do not reach: an entry, a handle.
            #[must_use]
            pub fn into_raw(self) -> Mfn {
                self.0
            }

            /// Takes a reference back from where [`Self::into_raw`] has put it.
            pub const fn from_raw(mfn: Mfn) -> Self {
                Self(mfn)
            }
        }
    };
}

held_reference!(PageRef);
held_reference!(WritableRef);

/// What hypervisor content may be mapped as by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialUse {
    /// Read-write, like shared info and grant frames.
    Writable,
    /// Read-only, like the machine-to-physical list.
    ReadOnly,
}

/// Error of a table, descriptor or content operation.
pub(crate) fn use_error(error: RefError) -> PageError {
    match error {
        RefError::Dead => PageError::NotOwned,
        RefError::Conflict => PageError::TypeConflict,
        RefError::Limit => PageError::CountLimit,
        RefError::Unexpected => PageError::InUse,
    }
}

/// Runs when the last reference of a frame is gone; the frame is dead and only ours.
#[cold]
pub(crate) fn released<H: PageHost>(host: &H, frame: &FrameInfo, mfn: Mfn) {
    if frame.is_noncoherent() {
        host.write_back_frame(mfn);
        frame.set_noncoherent(false);
    }
    // Read-only translations leave no stamp when they go, so the release itself is stamped.
    frame.set_stamp(host.stamp_now());
    host.frame_released(mfn, frame.owner());
}

#[inline]
pub(crate) fn drop_ref<H: PageHost>(host: &H, frame: &FrameInfo, mfn: Mfn) {
    if frame.drop_ref().released {
        released(host, frame, mfn);
    }
}

#[inline]
pub(crate) fn drop_typed<H: PageHost>(host: &H, frame: &FrameInfo, mfn: Mfn) {
    if frame.drop_typed(|| host.stamp_now()).released {
        released(host, frame, mfn);
    }
}

/// Takes a type reference on a frame of `owner`, and flushes if the writable type needs it.
pub(crate) fn take_typed<H: PageHost>(
    host: &H,
    mfn: Mfn,
    owner: DomId,
    want: PageType,
) -> Result<Taken, PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    if frame.owner() != owner {
        return Err(PageError::NotOwned);
    }
    let taken = frame.take_typed(want).map_err(use_error)?;
    make_usable(host, frame, mfn, taken);
    if frame.owner() != owner {
        // It changed hands between the look and the reference.
        drop_typed(host, frame, mfn);
        return Err(PageError::NotOwned);
    }
    Ok(taken)
}

/// Does what must happen between taking a type and relying on it, short of checking the content.
pub(crate) fn make_usable<H: PageHost>(host: &H, frame: &FrameInfo, mfn: Mfn, taken: Taken) {
    match taken {
        Taken::Ready => {}
        Taken::FlushThenReady => {
            host.flush_before_retype(frame.owner(), frame.stamp());
            frame.mark_validated();
        }
        Taken::Validate { flush } => {
            if flush {
                host.flush_before_retype(frame.owner(), frame.stamp());
            }
            if frame.is_noncoherent() {
                host.write_back_frame(mfn);
                frame.set_noncoherent(false);
            }
        }
    }
}

/// Takes a general reference on a frame of `owner`.
///
/// # Errors
/// Not a frame of `owner`, or too many references.
pub fn get_page<H: PageHost>(host: &H, mfn: Mfn, owner: DomId) -> Result<PageRef, PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    if frame.owner() != owner {
        return Err(PageError::NotOwned);
    }
    frame.take_ref().map_err(use_error)?;
    if frame.owner() != owner {
        drop_ref(host, frame, mfn);
        return Err(PageError::NotOwned);
    }
    Ok(PageRef(mfn))
}

/// Takes a general reference on whatever live frame this is and says whose it is.
///
/// # Errors
/// Not memory, dead, or too many references.
pub fn get_page_of_any<H: PageHost>(host: &H, mfn: Mfn) -> Result<(PageRef, DomId), PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    frame.take_ref().map_err(use_error)?;
    Ok((PageRef(mfn), frame.owner()))
}

/// Drops a general reference.
pub fn put_page<H: PageHost>(host: &H, page: PageRef) {
    if let Some(frame) = lookup_ram(host, page.0) {
        drop_ref(host, frame, page.0);
    }
}

/// Takes a general and a writable reference on a frame of `owner`: grants with write access,
/// `CLEAR_PAGE`, the hypervisor's own writes.
///
/// # Errors
/// Not a frame of `owner`, in use as a table or as descriptors, or too many references.
pub fn get_writable<H: PageHost>(
    host: &H,
    mfn: Mfn,
    owner: DomId,
) -> Result<WritableRef, PageError> {
    take_typed(host, mfn, owner, PageType::Writable)?;
    Ok(WritableRef(mfn))
}

/// Drops a general and a writable reference.
pub fn put_writable<H: PageHost>(host: &H, page: WritableRef) {
    if let Some(frame) = lookup_ram(host, page.0) {
        drop_typed(host, frame, page.0);
    }
}

/// Gives a dead frame to a domain. The caller got the frame from the allocator (or from
/// [`steal`]), has scrubbed it, and has flushed what its stamp asks for.
///
/// # Errors
/// The frame is not dead, or no memory.
pub fn assign<H: PageHost>(host: &H, mfn: Mfn, owner: DomId) -> Result<(), PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    frame.bring_alive(owner, State::ALLOCATED).map_err(use_error)
}

/// Makes a dead frame hypervisor content that `owner` may map: never a page table, never stolen,
/// never released by the guest.
///
/// # Errors
/// The frame is not dead, or no memory.
pub fn assign_special<H: PageHost>(
    host: &H,
    mfn: Mfn,
    owner: DomId,
    usage: SpecialUse,
) -> Result<(), PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    let page_type = match usage {
        SpecialUse::Writable => PageType::Writable,
        SpecialUse::ReadOnly => PageType::Shared,
    };
    frame.bring_alive(owner, State::special(page_type)).map_err(use_error)
}

/// Ends hypervisor content: the frame is released when the last mapping of it goes.
///
/// # Errors
/// Not a special frame.
pub fn release_special<H: PageHost>(host: &H, mfn: Mfn) -> Result<(), PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    if frame.drop_special().map_err(use_error)?.released {
        released(host, frame, mfn);
    }
    Ok(())
}

/// Drops the reference of the allocation (`decrease_reservation`, teardown). The frame is released
/// now, or when the last mapping of it goes.
///
/// # Errors
/// Not a frame of `owner`, given up before, or hypervisor content.
pub fn release_allocation<H: PageHost>(host: &H, mfn: Mfn, owner: DomId) -> Result<(), PageError> {
    // The reference pins the owner while the allocation goes.
    let held = get_page(host, mfn, owner)?;
    let dropped = match lookup_ram(host, mfn) {
        Some(frame) => frame.drop_allocation().map_err(use_error),
        None => Err(PageError::BadFrame),
    };
    put_page(host, held);
    dropped.map(|_| ())
}

/// Takes a frame away from `owner` that has no reference but its allocation (exchange, transfer).
/// The frame is dead afterwards and all its type state is gone; the caller owns it, unlinks it
/// from the owner's list and assigns or frees it.
///
/// # Errors
/// Not a frame of `owner`, or something still refers to it.
pub fn steal<H: PageHost>(host: &H, mfn: Mfn, owner: DomId) -> Result<(), PageError> {
    let frame = lookup_ram(host, mfn).ok_or(PageError::BadFrame)?;
    if frame.owner() != owner || !frame.state().is_live() {
        return Err(PageError::NotOwned);
    }
    frame.steal().map_err(use_error)?;
    if frame.is_noncoherent() {
        host.write_back_frame(mfn);
        frame.set_noncoherent(false);
    }
    frame.set_stamp(host.stamp_now());
    if frame.owner() != owner {
        // Another domain got the frame between the look and the theft: it is still that domain's.
        let back = frame.owner();
        frame.bring_alive(back, State::ALLOCATED).map_err(use_error)?;
        return Err(PageError::NotOwned);
    }
    Ok(())
}

/// What a frame is used as now, for `getpageframeinfo3` and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTypeInfo {
    /// The owner.
    pub owner: DomId,
    /// The type; `None` without a type reference.
    pub page_type: PageType,
    /// A guest pinned the table.
    pub is_pinned: bool,
}

/// What a live frame is used as; `None` for dead frames and for what is not memory.
#[must_use]
pub fn page_type_info<H: PageHost>(host: &H, mfn: Mfn) -> Option<PageTypeInfo> {
    let frame = lookup_ram(host, mfn)?;
    let state = frame.state();
    let page_type = if state.type_count() == 0 { PageType::None } else { state.page_type() };
    state.is_live().then(|| PageTypeInfo {
        owner: frame.owner(),
        page_type,
        is_pinned: state.is_pinned(),
    })
}
