//! References on single frames: taking, dropping, giving and taking away ownership.
//!
//! Called by memory operations, grants, the domain builder and the rest of this module. These
//! functions need no lock except that [`FrameInfo::bring_alive`] for a domain runs under that domain's page-table
//! lock (so that, under the lock, a frame of that domain was its frame all along).
//!
//! A reference that is held by a value is a [`PageRef`] or a [`WritableRef`]; a reference that has
//! been put into a page-table entry or a handle is nobody's value any more (`into_raw`) and comes
//! back with `from_raw` when that entry or handle goes.

use crate::ensure;
use hypercall_abi::{DomId, Mfn};

use super::error::PageError;
use super::frame::FrameInfo;
use super::host::PageHost;
use super::state::{State, Taken};
use super::types::PageType;

macro_rules! held_reference {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[must_use = "a reference that is not released keeps the frame for ever"]
        #[derive(Debug, PartialEq, Eq)]
        pub struct $name(Mfn);

        impl $name {
            /// Moves the reference to where values of this type do not reach: an entry, a handle.
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

held_reference! {
    /// A held general reference: the frame stays the owner's until it is dropped.
    PageRef
}
held_reference! {
    /// A held general and writable reference: the frame is plain memory until it is dropped.
    WritableRef
}

/// Runs when the last reference of a frame is gone; the frame is dead and only ours.
#[cold]
fn released<H: PageHost>(host: &H, frame: &FrameInfo, mfn: Mfn) {
    write_back(host, frame, mfn);
    // Read-only translations leave no stamp when they go, so the release itself is stamped.
    frame.set_stamp(host.stamp_now());
    host.frame_released(mfn, frame.owner());
}

/// Makes memory hold what caches may hold in its place.
fn write_back<H: PageHost>(host: &H, frame: &FrameInfo, mfn: Mfn) {
    if frame.is_noncoherent() {
        host.write_back_frame(mfn);
        frame.clear_noncoherent();
    }
}

/// Drops a general reference and, unless `held` is `None`, one of that type.
#[inline(always)]
pub(crate) fn release<H: PageHost>(host: &H, mfn: Mfn, held: PageType) {
    let Some(frame) = FrameInfo::of(host.frames(), mfn) else { return };
    // Usually other references remain, so nothing else is to be done.
    let dropped = match held {
        PageType::None => frame.try_change(State::drop_ref_fast),
        _ => frame.try_change(State::drop_typed_fast),
    };
    if dropped.is_err() {
        release_last(host, mfn, held);
    }
}

/// As [`release`], when it is perhaps the last reference, or the number one of device memory.
#[cold]
#[inline(never)]
fn release_last<H: PageHost>(host: &H, mfn: Mfn, held: PageType) {
    let Ok(frame) = host.frame(mfn) else { return };
    let is_last = match held {
        PageType::None => frame.change(State::drop_ref),
        _ => frame.drop_typed(|| host.stamp_now()),
    };
    if is_last {
        released(host, frame, mfn);
    }
}

/// Takes a reference as [`release`] drops it, whoever owns the frame, and does what must happen
/// between taking a type and relying on it, short of checking the content.
#[inline]
pub(crate) fn acquire_of_any<H: PageHost>(
    host: &H,
    frame: &FrameInfo,
    mfn: Mfn,
    want: PageType,
) -> Result<Taken, PageError> {
    if want == PageType::None {
        return frame.try_change(State::take_ref).map(|()| Taken::default());
    }
    let taken = frame.try_change(|state| state.take_typed(want))?;
    if taken.flush {
        host.flush_before_retype(frame.owner(), frame.stamp());
    }
    if taken.validate {
        write_back(host, frame, mfn);
    } else if taken.flush {
        frame.change(State::validated);
    }
    Ok(taken)
}

/// Takes a reference as [`release`] drops it, if the frame is `owner`'s memory and of that type
/// already. `false` says nothing: [`acquire`] tells.
#[inline(always)]
pub(crate) fn acquire_usual<H: PageHost>(host: &H, mfn: Mfn, owner: DomId, want: PageType) -> bool {
    let Some(frame) = FrameInfo::of(host.frames(), mfn) else { return false };
    if frame.owner() != owner {
        return false;
    }
    // Holes are never live, so no reference can be taken on one.
    let taken = match want {
        PageType::None => frame.try_change(State::take_ref),
        _ => frame.try_change(|state| state.take_typed_fast(want)),
    };
    let is_still_owned = || frame.owner() == owner;
    taken.is_ok() && (is_still_owned() || give_back(host, mfn, want))
}

/// The frame changed hands between the look and the reference.
#[cold]
#[inline(never)]
fn give_back<H: PageHost>(host: &H, mfn: Mfn, held: PageType) -> bool {
    release(host, mfn, held);
    false
}

/// Takes a reference as [`release`] drops it, on a frame of `owner`.
#[inline]
pub(crate) fn acquire<H: PageHost>(
    host: &H,
    mfn: Mfn,
    owner: DomId,
    want: PageType,
) -> Result<Taken, PageError> {
    match acquire_usual(host, mfn, owner, want) {
        true => Ok(Taken::default()),
        false => acquire_unusual(host, mfn, owner, want),
    }
}

#[cold]
#[inline(never)]
fn acquire_unusual<H: PageHost>(
    host: &H,
    mfn: Mfn,
    owner: DomId,
    want: PageType,
) -> Result<Taken, PageError> {
    let frame = host.frame(mfn)?;
    ensure(frame.owner() == owner, PageError::NotOwned)?;
    let taken = acquire_of_any(host, frame, mfn, want)?;
    if frame.owner() != owner {
        give_back(host, mfn, want);
        return Err(PageError::NotOwned);
    }
    Ok(taken)
}

/// Takes a general reference on a frame of `owner`.
///
/// # Errors
/// Not a frame of `owner`, or too many references.
pub fn get_page<H: PageHost>(host: &H, mfn: Mfn, owner: DomId) -> Result<PageRef, PageError> {
    acquire(host, mfn, owner, PageType::None).map(|_| PageRef(mfn))
}

/// Drops a general reference.
pub fn put_page<H: PageHost>(host: &H, page: PageRef) {
    release(host, page.0, PageType::None);
}

/// Takes a general and a writable reference on a frame of `owner`: grants with write access,
/// `CLEAR_PAGE`, the hypervisor's own writes.
///
/// # Errors
/// Not a frame of `owner`, in use as a table or as descriptors, or too many references.
#[inline(always)]
pub fn get_writable<H: PageHost>(
    host: &H,
    mfn: Mfn,
    owner: DomId,
) -> Result<WritableRef, PageError> {
    acquire(host, mfn, owner, PageType::Writable).map(|_| WritableRef(mfn))
}

/// Drops a general and a writable reference.
pub fn put_writable<H: PageHost>(host: &H, page: WritableRef) {
    release(host, page.0, PageType::Writable);
}

/// Ends hypervisor content: the frame is released when the last mapping of it goes.
///
/// # Errors
/// Not a special frame.
pub fn release_special<H: PageHost>(host: &H, mfn: Mfn) -> Result<(), PageError> {
    let frame = host.frame(mfn)?;
    if frame.try_change(State::drop_special)? {
        released(host, frame, mfn);
    }
    Ok(())
}

/// Drops the reference of the allocation of a frame that the caller holds (`decrease_reservation`): the
/// frame is released when the last reference goes, which may be the caller's.
///
/// # Errors
/// Given up before, or hypervisor content.
#[inline]
pub fn drop_allocation<H: PageHost>(host: &H, held: &PageRef) -> Result<(), PageError> {
    host.frame(held.0)?.try_change(State::drop_allocation).map(|_| ())
}

/// Takes a frame away from `owner` that has no reference but its allocation (exchange, transfer).
/// The frame is dead afterwards and all its type state is gone; the caller owns it, unlinks it
/// from the owner's list and assigns or frees it.
///
/// # Errors
/// Not a frame of `owner`, or something still refers to it.
pub fn steal<H: PageHost>(host: &H, mfn: Mfn, owner: DomId) -> Result<(), PageError> {
    let frame = host.frame(mfn)?;
    ensure(frame.owner() == owner && frame.state().is_live(), PageError::NotOwned)?;
    frame.try_change(State::steal)?;
    write_back(host, frame, mfn);
    frame.set_stamp(host.stamp_now());
    if frame.owner() != owner {
        // Another domain got the frame between the look and the theft: it is still that domain's.
        frame.bring_alive(frame.owner(), State::ALLOCATED)?;
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
pub fn page_type_info<H: PageHost>(host: &H, mfn: Mfn) -> Option<PageTypeInfo> {
    let frame = host.frame(mfn).ok()?;
    let state = frame.state();
    let page_type = if state.type_count() == 0 { PageType::None } else { state.page_type() };
    let info = PageTypeInfo { owner: frame.owner(), page_type, is_pinned: state.is_pinned() };
    state.is_live().then_some(info)
}
