//! One entry of the frame table: 24 bytes for each machine frame.
//!
//! The frame table is a slice indexed by machine frame number, holes included, so a lookup is a
//! bounds check and a multiplication. All-zero bytes are a valid entry (a dead frame), so the image
//! may take zeroed memory for the table.
//!
//! Who may touch what: `state` changes only through the transitions of [`State`], by anybody.
//! `owner` is written only while the frame is dead. `next` and `prev` belong to the list the frame
//! is on and to that list's lock. `note` belongs to the allocator. `aux` is the time of the
//! last drop to a type count of zero and, while the frame is a page table, the balance of linear
//! entries; only the holder of the last type reference, or of the owner's page-table lock, writes it.
//!
//! This file does not know what a reference is for; `refs.rs` and above do.

use crate::ensure;
use core::convert::Infallible;
#[cfg(not(loom))]
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering};

use hypercall_abi::{DomId, Mfn};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering};

use super::error::PageError;
use super::state::{Next, State};

/// The number names no memory: device registers or nothing at all.
const FLAG_HOLE: u8 = 1 << 0;
/// Had a writable mapping that is not write-back cached since it was last written back.
const FLAG_NONCOHERENT: u8 = 1 << 1;

/// Accounting of one machine frame; the default is a dead frame of ordinary memory.
#[derive(Default)]
pub struct FrameInfo {
    state: AtomicU64,
    owner: AtomicU16,
    note: AtomicU8,
    flags: AtomicU8,
    next: AtomicU32,
    prev: AtomicU32,
    aux: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(core::mem::size_of::<FrameInfo>() == 24);

impl FrameInfo {
    /// The entry of a frame in the frame table.
    pub(crate) fn of(frames: &[Self], mfn: Mfn) -> Option<&Self> {
        frames.get(usize::try_from(mfn.get()).ok()?)
    }

    /// The current state word.
    pub fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire))
    }

    /// The owner; meaningful while the frame is live.
    pub fn owner(&self) -> DomId {
        DomId::new(self.owner.load(Ordering::Relaxed))
    }

    /// Applies a transition until nobody has interfered, and returns what it says.
    fn transit<T, E>(&self, step: impl Fn(State) -> Result<(State, T), E>) -> Result<T, E> {
        let mut seen = self.state.load(Ordering::Acquire);
        loop {
            let (State(next), value) = step(State(seen))?;
            let stored =
                self.state.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire);
            match stored {
                Ok(_) => return Ok(value),
                Err(now) => seen = now,
            }
        }
    }

    /// Makes a transition of [`State`] that is always possible.
    pub fn change<T>(&self, step: impl Fn(State) -> (State, T)) -> T {
        let Ok(value) = self.transit(|state| Ok::<_, Infallible>(step(state)));
        value
    }

    /// Makes a transition of [`State`] that may be refused.
    ///
    /// # Errors
    /// Those of the transition.
    pub fn try_change<T>(&self, step: impl Fn(State) -> Next<T>) -> Result<T, PageError> {
        self.transit(step)
    }

    /// Drops a general and a type reference; true when the frame is dead now. `now` is asked for
    /// the time when it is the last type reference, *before* that becomes visible, so that a later
    /// taker always finds the stamp.
    pub fn drop_typed(&self, now: impl Fn() -> u32) -> bool {
        self.change(|state| {
            let dropped = state.drop_typed();
            if dropped.0.type_count() == 0 {
                // While we hold this last reference nobody can use `aux` for anything else.
                self.set_stamp(now());
            }
            dropped
        })
    }

    /// Gives a dead frame to a domain, under whose page-table lock the caller is. It got the frame from
    /// the allocator (or by [`super::steal`]), has scrubbed it, and has flushed what its stamp asks for.
    ///
    /// `first` is [`State::ALLOCATED`] for memory of the domain, or [`State::special`] for hypervisor
    /// content that it may map: never a page table, never stolen, never released by the guest.
    ///
    /// # Errors
    /// The frame is not dead, or no memory.
    pub fn bring_alive(&self, owner: DomId, first: State) -> Result<(), PageError> {
        ensure(self.state() == State::DEAD && !self.is_hole(), PageError::InUse)?;
        self.owner.store(owner.get(), Ordering::Relaxed);
        self.aux.store(0, Ordering::Relaxed);
        // A release: whoever sees the frame alive sees its owner.
        self.try_change(
            |now| if now == State::DEAD { Ok((first, ())) } else { Err(PageError::InUse) },
        )
    }

    /// TLB time of the last drop to a type count of zero, or of the release of the frame.
    pub fn stamp(&self) -> u32 {
        self.aux.load(Ordering::Acquire)
    }

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

    /// There is no memory behind the number.
    pub fn is_hole(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & FLAG_HOLE != 0
    }

    /// Declares that there is no memory behind the number; done once, at boot. Domains with the
    /// permission may map such a frame as device memory. What is not declared is taken for memory,
    /// which is the safe mistake.
    pub fn declare_hole(&self) {
        self.flags.fetch_or(FLAG_HOLE, Ordering::Relaxed);
    }

    /// Caches may hold what a mapping that bypasses them has overwritten.
    pub fn is_noncoherent(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & FLAG_NONCOHERENT != 0
    }

    pub(crate) fn set_noncoherent(&self) {
        self.flags.fetch_or(FLAG_NONCOHERENT, Ordering::Relaxed);
    }

    pub(crate) fn clear_noncoherent(&self) {
        self.flags.fetch_and(!FLAG_NONCOHERENT, Ordering::Relaxed);
    }

    /// The allocator's note about the frame.
    pub(crate) fn note(&self) -> u8 {
        self.note.load(Ordering::Relaxed)
    }

    pub(crate) fn set_note(&self, note: u8) {
        self.note.store(note, Ordering::Relaxed);
    }

    /// Following frame of the list this frame is on.
    pub(crate) fn next(&self) -> Option<Mfn> {
        decode_link(&self.next)
    }

    /// Preceding frame of the list this frame is on.
    pub(crate) fn prev(&self) -> Option<Mfn> {
        decode_link(&self.prev)
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

fn decode_link(stored: &AtomicU32) -> Option<Mfn> {
    stored.load(Ordering::Relaxed).checked_sub(1).map(|raw| Mfn::new(raw.into()))
}
