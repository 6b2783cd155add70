//! One entry of the frame table: 24 bytes for each machine frame.
//!
//! The frame table is a slice indexed by machine frame number, holes included, so a lookup is a
//! bounds check and a multiplication. All-zero bytes are a valid entry (a dead frame), so the image
//! may take zeroed memory for the table.
//!
//! Who may touch what: `state` changes only through the transitions of [`State`], by anybody.
//! `owner` is written only while the frame is dead. `next` and `prev` belong to the list the frame
//! is on and to that list's lock. `order` belongs to the allocator. `aux` is the time of the last
//! drop to a type count of zero and, while the frame is a page table, the balance of linear
//! entries; only the holder of the last type reference, or of the owner's page-table lock, writes it.
//!
//! This file does not know what a reference is for; `refs.rs` and above do.

use core::num::NonZeroU32;

use hypercall_abi::{DomId, Mfn};

use super::state::{Dropped, RefError, State, TableDrop, Taken};
use super::sync::{AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering};
use super::types::PageType;

/// The number names no memory: device registers or nothing at all.
const FLAG_HOLE: u8 = 1 << 0;
/// First frame of a free block of the allocator.
const FLAG_FREE_HEAD: u8 = 1 << 1;
/// Had a writable mapping that is not write-back cached since it was last written back.
const FLAG_NONCOHERENT: u8 = 1 << 2;

/// Accounting of one machine frame.
pub struct FrameInfo {
    state: AtomicU64,
    owner: AtomicU16,
    order: AtomicU8,
    flags: AtomicU8,
    next: AtomicU32,
    prev: AtomicU32,
    aux: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(core::mem::size_of::<FrameInfo>() == 24);

impl Default for FrameInfo {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! maybe_const_fn {
    ($(#[$meta:meta])* pub fn $name:ident() -> Self $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        pub const fn $name() -> Self $body
        #[cfg(loom)]
        $(#[$meta])*
        pub fn $name() -> Self $body
    };
}

impl FrameInfo {
    maybe_const_fn! {
        /// A dead frame of ordinary memory.
        #[must_use]
        pub fn new() -> Self {
            Self {
                state: AtomicU64::new(State::DEAD.raw()),
                owner: AtomicU16::new(0),
                order: AtomicU8::new(0),
                flags: AtomicU8::new(0),
                next: AtomicU32::new(0),
                prev: AtomicU32::new(0),
                aux: AtomicU32::new(0),
            }
        }
    }

    /// The current state word.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        State::from_raw(self.state.load(Ordering::Acquire))
    }

    /// The owner; meaningful while the frame is live.
    #[inline]
    #[must_use]
    pub fn owner(&self) -> DomId {
        DomId::new(self.owner.load(Ordering::Relaxed))
    }

    /// Applies a transition until nobody has interfered, and returns what it says.
    #[inline]
    fn transit<T>(
        &self,
        step: impl Fn(State) -> Result<(State, T), RefError>,
    ) -> Result<T, RefError> {
        let mut seen = self.state.load(Ordering::Acquire);
        loop {
            let (next, value) = step(State::from_raw(seen))?;
            match self.state.compare_exchange_weak(
                seen,
                next.raw(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(value),
                Err(now) => seen = now,
            }
        }
    }

    /// Takes a general reference, whoever owns the frame.
    ///
    /// # Errors
    /// The frame is dead or the count is at its limit.
    #[inline]
    pub fn take_ref(&self) -> Result<(), RefError> {
        self.transit(|state| Ok((state.take_ref()?, ())))
    }

    /// Takes a general and a writable reference when that needs nothing else. `false` may also
    /// mean "try [`Self::take_typed`]".
    #[inline]
    #[must_use]
    pub fn take_writable_fast(&self) -> bool {
        self.transit(|state| match state.take_writable_fast() {
            Some(next) => Ok((next, ())),
            None => Err(RefError::Conflict),
        })
        .is_ok()
    }

    /// Takes a general and a type reference, whoever owns the frame.
    ///
    /// # Errors
    /// See [`State::take_typed`].
    pub fn take_typed(&self, want: PageType) -> Result<Taken, RefError> {
        self.transit(|state| state.take_typed(want))
    }

    /// Marks the content as good for the type the caller holds a reference of.
    pub fn mark_validated(&self) {
        let _ = self.transit(|state| Ok((state.validated(), ())));
    }

    /// Drops a general reference.
    #[inline]
    pub fn drop_ref(&self) -> Dropped {
        let result = self.transit(|state| Ok(state.drop_ref()));
        result.unwrap_or(Dropped { released: false })
    }

    /// Drops a general and a type reference. `now` is asked for the time when it is the last type
    /// reference, *before* that becomes visible, so that a later taker always finds the stamp.
    #[inline]
    pub fn drop_typed(&self, now: impl Fn() -> u32) -> Dropped {
        let result = self.transit(|state| {
            let dropped = state.drop_typed();
            if dropped.0.type_count() == 0 {
                // While we hold this last reference nobody can use `aux` for anything else.
                self.set_stamp(now());
            }
            Ok(dropped)
        });
        result.unwrap_or(Dropped { released: false })
    }

    /// Drops a use of a table. The caller holds the owner's page-table lock.
    pub fn drop_table(&self) -> TableDrop {
        self.transit(|state| Ok(state.drop_table())).unwrap_or(TableDrop::StillUsed)
    }

    /// Sets the pin flag, which takes over a type reference of the caller.
    ///
    /// # Errors
    /// Pinned already.
    pub fn pin(&self) -> Result<(), RefError> {
        self.transit(|state| Ok((state.pinned()?, ())))
    }

    /// Clears the pin flag and hands its type reference to the caller.
    ///
    /// # Errors
    /// Not pinned.
    pub fn unpin(&self) -> Result<(), RefError> {
        self.transit(|state| Ok((state.unpinned()?, ())))
    }

    /// Drops the reference of the allocation.
    ///
    /// # Errors
    /// See [`State::drop_allocation`].
    pub fn drop_allocation(&self) -> Result<Dropped, RefError> {
        self.transit(State::drop_allocation)
    }

    /// Drops the permanent references of a special frame.
    ///
    /// # Errors
    /// See [`State::drop_special`].
    pub fn drop_special(&self) -> Result<Dropped, RefError> {
        self.transit(State::drop_special)
    }

    /// Takes the frame from its owner if nothing else refers to it; it is dead afterwards.
    ///
    /// # Errors
    /// See [`State::stolen`].
    pub fn steal(&self) -> Result<(), RefError> {
        self.transit(|state| Ok((state.stolen()?, ())))
    }

    /// Gives a dead frame to `owner` in the state `first`. The caller has the frame to itself.
    ///
    /// # Errors
    /// The frame is not dead.
    pub fn bring_alive(&self, owner: DomId, first: State) -> Result<(), RefError> {
        if self.state() != State::DEAD || self.is_hole() {
            return Err(RefError::Unexpected);
        }
        self.owner.store(owner.get(), Ordering::Relaxed);
        self.aux.store(0, Ordering::Relaxed);
        let dead = State::DEAD.raw();
        // Release: whoever sees the frame alive sees its owner.
        self.state
            .compare_exchange(dead, first.raw(), Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(|_| RefError::Unexpected)
    }

    /// TLB time of the last drop to a type count of zero, or of the release of the frame.
    #[inline]
    #[must_use]
    pub fn stamp(&self) -> u32 {
        self.aux.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_stamp(&self, stamp: u32) {
        self.aux.store(stamp, Ordering::Release);
    }

    /// Balance of linear entries of a page table: above zero, that many of its entries name other
    /// tables of its level; below zero, that many entries of such tables name it.
    pub(crate) fn linear(&self) -> i32 {
        self.aux.load(Ordering::Relaxed) as i32
    }

    pub(crate) fn set_linear(&self, balance: i32) {
        self.aux.store(balance as u32, Ordering::Relaxed);
    }

    fn flag(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    fn set_flag(&self, flag: u8, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// There is no memory behind the number.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.flag(FLAG_HOLE)
    }

    /// Declares that there is no memory behind the number; done once, at boot. Domains with the
    /// permission may map such a frame as device memory. What is not declared is taken for memory,
    /// which is the safe mistake.
    pub fn declare_hole(&self) {
        self.set_flag(FLAG_HOLE, true);
    }

    /// Caches may hold what a mapping that bypasses them has overwritten.
    #[must_use]
    pub fn is_noncoherent(&self) -> bool {
        self.flag(FLAG_NONCOHERENT)
    }

    pub(crate) fn set_noncoherent(&self, on: bool) {
        self.set_flag(FLAG_NONCOHERENT, on);
    }

    pub(crate) fn is_free_head(&self) -> bool {
        self.flag(FLAG_FREE_HEAD)
    }

    pub(crate) fn set_free_head(&self, on: bool) {
        self.set_flag(FLAG_FREE_HEAD, on);
    }

    /// log2 of the size of the free block that starts here.
    pub(crate) fn order(&self) -> u8 {
        self.order.load(Ordering::Relaxed)
    }

    pub(crate) fn set_order(&self, order: u8) {
        self.order.store(order, Ordering::Relaxed);
    }

    /// Following frame of the list this frame is on.
    #[must_use]
    pub fn next(&self) -> Option<Mfn> {
        decode_link(self.next.load(Ordering::Relaxed))
    }

    /// Preceding frame of the list this frame is on.
    #[must_use]
    pub fn prev(&self) -> Option<Mfn> {
        decode_link(self.prev.load(Ordering::Relaxed))
    }

    pub(crate) fn set_next(&self, link: Option<Mfn>) {
        self.next.store(encode_link(link), Ordering::Relaxed);
    }

    pub(crate) fn set_prev(&self, link: Option<Mfn>) {
        self.prev.store(encode_link(link), Ordering::Relaxed);
    }
}

/// Links are stored plus one, so that zeroed memory means "no link".
fn encode_link(link: Option<Mfn>) -> u32 {
    link.map_or(0, |mfn| mfn.get() as u32 + 1)
}

fn decode_link(stored: u32) -> Option<Mfn> {
    NonZeroU32::new(stored).map(|link| Mfn::new(u64::from(link.get() - 1)))
}
