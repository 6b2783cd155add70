//! The state word of a frame and its transitions, as pure functions.
//!
//! `FrameInfo` holds one such word and changes it only by compare-exchange from a word to the word
//! one of these functions returns. So each transition is atomic, whoever else counts at that moment.
//!
//! ```text
//! 63..61 type   60 validated   59 pinned   58..32 type count
//! 31 allocated  30 special     29..0 reference count
//! ```
//!
//! Invariants: a type reference is always accompanied by a general reference; a count of zero in
//! the low half with `allocated` clear means the frame is dead and the whole word is zero. The top
//! bit of each count is a guard: it is never reached, so a count cannot overflow into its neighbour.
//!
//! A transition returns the next word and what its maker has to know. One that may be refused says
//! why ([`Next`]); dropping a reference that does not exist is our own mistake, and panics.

use crate::ensure;

use super::error::PageError;
use super::types::PageType;

const TYPE_SHIFT: u32 = 61;
const TYPE_MASK: u64 = 7 << TYPE_SHIFT;
const VALIDATED: u64 = 1 << 60;
const PINNED: u64 = 1 << 59;
const TYPE_ONE: u64 = 1 << 32;
const TYPE_GUARD: u64 = 1 << 58;
const TYPE_COUNT_MASK: u64 = (1 << 59) - TYPE_ONE;
const ALLOCATED: u64 = 1 << 31;
const SPECIAL: u64 = 1 << 30;
const REF_GUARD: u64 = 1 << 29;
const REF_COUNT_MASK: u64 = (1 << 30) - 1;
const LIVE_MASK: u64 = u32::MAX as u64;

const fn type_bits(page_type: PageType) -> u64 {
    (page_type as u64) << TYPE_SHIFT
}

/// The word after a transition and what its maker has to know, or why there is no transition.
pub type Next<T> = Result<(State, T), PageError>;

/// What the taker of a type reference still has to do before relying on it, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Flush stale translations: the frame was used as something else before.
    pub flush: bool,
    /// Make the content trustworthy. Nobody else can take this type or another one meanwhile.
    pub validate: bool,
}

/// One value of the state word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State(pub(super) u64);

impl State {
    /// A frame nobody owns.
    pub const DEAD: Self = Self(0);
    /// A frame that has just been given to a domain.
    pub const ALLOCATED: Self = Self(ALLOCATED);

    /// A frame with content of the hypervisor, held by a permanent reference of `page_type`.
    pub const fn special(page_type: PageType) -> Self {
        Self(type_bits(page_type) | VALIDATED | TYPE_ONE | ALLOCATED | SPECIAL | 1)
    }

    /// The current type, or the last one when the type count is zero.
    pub const fn page_type(self) -> PageType {
        PageType::from_bits(self.0 >> TYPE_SHIFT)
    }

    /// Number of type references.
    pub const fn type_count(self) -> u32 {
        ((self.0 & TYPE_COUNT_MASK) >> 32) as u32
    }

    /// Number of general references, without the one of the allocation.
    pub const fn ref_count(self) -> u32 {
        (self.0 & REF_COUNT_MASK) as u32
    }

    /// The content has been checked for the type (always so for writable frames).
    pub const fn is_validated(self) -> bool {
        self.0 & VALIDATED != 0
    }

    /// A guest pinned the table.
    pub const fn is_pinned(self) -> bool {
        self.0 & PINNED != 0
    }

    /// The content belongs to the hypervisor.
    pub const fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    /// Somebody holds a reference or the allocation.
    pub const fn is_live(self) -> bool {
        self.0 & LIVE_MASK != 0
    }

    /// A table of type `page_type` that hardware may use now.
    pub const fn is_valid_table(self, page_type: PageType) -> bool {
        // A validated table always has a type count above zero: the last drop clears the flag.
        self.0 & (TYPE_MASK | VALIDATED) == type_bits(page_type) | VALIDATED
    }

    /// One more general reference.
    ///
    /// # Errors
    /// The frame is dead or the count is at its limit.
    pub fn take_ref(self) -> Next<()> {
        ensure(self.is_live(), PageError::NotOwned)?;
        ensure(self.0 & REF_GUARD == 0, PageError::CountLimit)?;
        Ok((Self(self.0 + 1), ()))
    }

    /// One more general and one more type reference, when that needs nothing else.
    ///
    /// # Errors
    /// There may be another reason than the one given: [`Self::take_typed`] tells.
    pub fn take_typed_fast(self, want: PageType) -> Next<()> {
        // A dead word is not validated, so this one is live.
        let looked_at = TYPE_MASK | VALIDATED | TYPE_GUARD | REF_GUARD;
        ensure(self.0 & looked_at == type_bits(want) | VALIDATED, PageError::TypeConflict)?;
        Ok((Self(self.0 + TYPE_ONE + 1), ()))
    }

    /// One more general and one more type reference.
    ///
    /// # Errors
    /// The frame is dead, in use with another type or being validated, or a count is at its limit.
    pub fn take_typed(self, want: PageType) -> Next<Taken> {
        ensure(self.is_live(), PageError::NotOwned)?;
        ensure(self.0 & (TYPE_GUARD | REF_GUARD) == 0, PageError::CountLimit)?;
        let is_same = self.page_type() == want;
        let is_writable = want == PageType::Writable;
        let more = self.0 + TYPE_ONE + 1;
        if is_same && self.is_validated() {
            return Ok((Self(more), Taken::default()));
        }
        // Several may make a frame writable at once; content is validated by one alone.
        ensure(self.type_count() == 0 || is_same && is_writable, PageError::TypeConflict)?;
        // Same type, writable, not validated: another CPU may still be flushing, so whoever relies
        // on the type flushes as well.
        let was_other = self.page_type() != PageType::None;
        let flush = if is_same { is_writable } else { was_other };
        let taken = Taken { flush, validate: !is_writable };
        let ready = if is_writable && !flush { VALIDATED } else { 0 };
        Ok((Self(more & !(TYPE_MASK | VALIDATED) | type_bits(want) | ready), taken))
    }

    /// The type's content may be relied on. The caller holds a type reference.
    pub const fn validated(self) -> (Self, ()) {
        (Self(self.0 | VALIDATED), ())
    }

    /// One general reference less; true when the frame is dead now and belongs to the dropper.
    ///
    /// # Panics
    /// When there is none: a reference was dropped twice.
    pub const fn drop_ref(self) -> (Self, bool) {
        assert!(self.0 & REF_COUNT_MASK != 0, "general reference dropped twice");
        Self(self.0 - 1).settled()
    }

    /// One general and one type reference less; true when the frame is dead now.
    ///
    /// # Panics
    /// When there is none: a reference was dropped twice.
    pub const fn drop_typed(self) -> (Self, bool) {
        // With a type reference there is a general one, so looking at one count is enough.
        assert!(self.0 & TYPE_COUNT_MASK != 0, "type reference dropped twice");
        Self(self.0 - TYPE_ONE - 1).settled()
    }

    /// One general reference less, when another one remains.
    ///
    /// # Errors
    /// It is the last, or there is none: [`Self::drop_ref`] tells.
    pub fn drop_ref_fast(self) -> Next<()> {
        ensure(self.ref_count() > 1, PageError::InUse)?;
        Ok((Self(self.0 - 1), ()))
    }

    /// One general and one type reference less, when others remain.
    ///
    /// # Errors
    /// It is the last of its type, or there is none: [`Self::drop_typed`] tells.
    pub fn drop_typed_fast(self) -> Next<()> {
        // With two type references there are two general ones.
        ensure(self.type_count() > 1, PageError::InUse)?;
        Ok((Self(self.0 - TYPE_ONE - 1), ()))
    }

    /// A word without any reference is the dead word: no type survives a change of owner.
    const fn settled(self) -> (Self, bool) {
        if self.is_live() {
            (self, false)
        } else {
            (Self::DEAD, true)
        }
    }

    /// One use of a table less; true when it was the last one. Then its references have *not* been
    /// dropped: they now belong to the walk that takes the table apart, and the table is no longer
    /// validated.
    ///
    /// # Panics
    /// When there is none.
    pub const fn drop_table(self) -> (Self, bool) {
        match self.type_count() {
            0 => panic!("table reference dropped twice"),
            1 => (Self(self.0 & !VALIDATED), true),
            _ => (Self(self.0 - TYPE_ONE - 1), false),
        }
    }

    /// Sets the pin flag, which takes over references of the caller.
    ///
    /// # Errors
    /// The flag is set already.
    pub fn pin(self) -> Next<()> {
        ensure(!self.is_pinned(), PageError::AlreadyPinned)?;
        Ok((Self(self.0 | PINNED), ()))
    }

    /// Clears the pin flag; its references now belong to the caller.
    ///
    /// # Errors
    /// The flag is clear.
    pub fn unpin(self) -> Next<()> {
        ensure(self.is_pinned(), PageError::NotPinned)?;
        Ok((Self(self.0 & !PINNED), ()))
    }

    /// Drops the reference of the allocation of an ordinary frame; true when the frame is dead now.
    ///
    /// # Errors
    /// The owner has given the frame up before, or its content belongs to the hypervisor.
    pub fn drop_allocation(self) -> Next<bool> {
        ensure(self.0 & (ALLOCATED | SPECIAL) == ALLOCATED, PageError::InUse)?;
        Ok(Self(self.0 & !ALLOCATED).settled())
    }

    /// Ends the life of a special frame as far as the hypervisor's own references go; true when the
    /// frame is dead now.
    ///
    /// # Errors
    /// The frame is not special.
    pub fn drop_special(self) -> Next<bool> {
        let is_held = self.type_count() != 0 && self.ref_count() != 0;
        ensure(self.is_special() && is_held, PageError::InUse)?;
        Ok(Self((self.0 & !(ALLOCATED | SPECIAL)) - TYPE_ONE - 1).settled())
    }

    /// Takes an ordinary frame without any reference but its allocation away from its owner.
    ///
    /// # Errors
    /// There are other references, or it is not an ordinary allocated frame.
    pub fn steal(self) -> Next<()> {
        ensure(self.0 & LIVE_MASK == ALLOCATED, PageError::InUse)?;
        Ok((Self::DEAD, ()))
    }
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (page_type, types, refs) = (self.page_type(), self.type_count(), self.ref_count());
        write!(f, "State({:#018x}: {types} of {page_type:?}, {refs} in all)", self.0)
    }
}
