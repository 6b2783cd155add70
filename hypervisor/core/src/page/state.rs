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
const GUARDS: u64 = TYPE_GUARD | REF_GUARD;

const fn type_bits(page_type: PageType) -> u64 {
    (page_type as u64) << TYPE_SHIFT
}

/// Why a reference could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefError {
    /// Nobody owns the frame.
    Dead,
    /// The frame is in use with another type, or is being validated.
    Conflict,
    /// A count is at its limit.
    Limit,
    /// Another word was expected (allocation, pin, exclusive use).
    Unexpected,
}

/// What the taker of a type reference still has to do before relying on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing.
    Ready,
    /// Flush stale translations, then mark the type as validated.
    FlushThenReady,
    /// Make the content trustworthy, then mark the type as validated. Nobody else can take this
    /// type or another one in the meantime.
    Validate {
        /// The frame was used as something else before: flush first.
        flush: bool,
    },
}

/// What the drop of a reference has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The last reference of any kind is gone: the frame is dead and belongs to the dropper.
    pub released: bool,
}

/// What the drop of a reference on a table has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableDrop {
    /// Others still use the table.
    StillUsed,
    /// It was the last use. The reference has *not* been dropped: it now belongs to the walk that
    /// takes the table apart, and the table is no longer validated.
    TakeApart,
}

/// One value of the state word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State(u64);

impl State {
    /// A frame nobody owns.
    pub const DEAD: Self = Self(0);
    /// A frame that has just been given to a domain.
    pub const ALLOCATED: Self = Self(ALLOCATED);

    /// A frame with content of the hypervisor, held by a permanent reference of `page_type`.
    #[must_use]
    pub const fn special(page_type: PageType) -> Self {
        Self(type_bits(page_type) | VALIDATED | TYPE_ONE | ALLOCATED | SPECIAL | 1)
    }

    /// The word as stored.
    #[inline]
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// A stored word.
    #[inline]
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The current type, or the last one when the type count is zero.
    #[inline]
    #[must_use]
    pub const fn page_type(self) -> PageType {
        PageType::from_bits(self.0 >> TYPE_SHIFT)
    }

    /// Number of type references.
    #[inline]
    #[must_use]
    pub const fn type_count(self) -> u32 {
        ((self.0 & TYPE_COUNT_MASK) >> 32) as u32
    }

    /// Number of general references, without the one of the allocation.
    #[inline]
    #[must_use]
    pub const fn ref_count(self) -> u32 {
        (self.0 & REF_COUNT_MASK) as u32
    }

    /// The content has been checked for the type (always so for writable frames).
    #[inline]
    #[must_use]
    pub const fn is_validated(self) -> bool {
        self.0 & VALIDATED != 0
    }

    /// A guest pinned the table.
    #[inline]
    #[must_use]
    pub const fn is_pinned(self) -> bool {
        self.0 & PINNED != 0
    }

    /// The owner still holds the reference of the allocation.
    #[inline]
    #[must_use]
    pub const fn is_allocated(self) -> bool {
        self.0 & ALLOCATED != 0
    }

    /// The content belongs to the hypervisor.
    #[inline]
    #[must_use]
    pub const fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    /// Somebody holds a reference or the allocation.
    #[inline]
    #[must_use]
    pub const fn is_live(self) -> bool {
        self.0 & LIVE_MASK != 0
    }

    /// A table of type `page_type` that hardware may use now.
    #[inline]
    #[must_use]
    pub const fn is_valid_table(self, page_type: PageType) -> bool {
        // A validated table always has a type count above zero: the last drop clears the flag.
        self.0 & (TYPE_MASK | VALIDATED) == type_bits(page_type) | VALIDATED
    }

    /// One more general reference.
    ///
    /// # Errors
    /// The frame is dead or the count is at its limit.
    #[inline]
    pub const fn take_ref(self) -> Result<Self, RefError> {
        if !self.is_live() {
            return Err(RefError::Dead);
        }
        if self.0 & REF_GUARD != 0 {
            return Err(RefError::Limit);
        }
        Ok(Self(self.0 + 1))
    }

    /// One more general and one more writable reference, when the frame already is writable.
    #[inline]
    #[must_use]
    pub const fn take_writable_fast(self) -> Option<Self> {
        let wanted = type_bits(PageType::Writable) | VALIDATED;
        if self.0 & (TYPE_MASK | VALIDATED | GUARDS) == wanted && self.is_live() {
            Some(Self(self.0 + TYPE_ONE + 1))
        } else {
            None
        }
    }

    /// One more general and one more type reference.
    ///
    /// # Errors
    /// The frame is dead, in use with another type or being validated, or a count is at its limit.
    pub const fn take_typed(self, want: PageType) -> Result<(Self, Taken), RefError> {
        if !self.is_live() {
            return Err(RefError::Dead);
        }
        if self.0 & GUARDS != 0 {
            return Err(RefError::Limit);
        }
        let more = Self(self.0 + TYPE_ONE + 1);
        if self.page_type() as u8 == want as u8 {
            if self.is_validated() {
                return Ok((more, Taken::Ready));
            }
            return match want {
                // Another CPU may still be flushing: whoever relies on the type flushes as well.
                PageType::Writable => Ok((more, Taken::FlushThenReady)),
                _ if self.type_count() == 0 => Ok((more, Taken::Validate { flush: false })),
                _ => Err(RefError::Conflict),
            };
        }
        if self.type_count() != 0 {
            return Err(RefError::Conflict);
        }
        Ok(self.retype(want))
    }

    /// First reference of a type other than the last one.
    const fn retype(self, want: PageType) -> (Self, Taken) {
        let flush = !matches!(self.page_type(), PageType::None);
        let base = (self.0 & !(TYPE_MASK | VALIDATED)) | type_bits(want);
        let next = base + TYPE_ONE + 1;
        match want {
            PageType::Writable if flush => (Self(next), Taken::FlushThenReady),
            PageType::Writable => (Self(next | VALIDATED), Taken::Ready),
            _ => (Self(next), Taken::Validate { flush }),
        }
    }

    /// The type's content may be relied on. The caller holds a type reference.
    #[must_use]
    pub const fn validated(self) -> Self {
        Self(self.0 | VALIDATED)
    }

    /// One general reference less.
    ///
    /// # Panics
    /// When there is none: a reference was dropped twice.
    #[inline]
    #[must_use]
    pub const fn drop_ref(self) -> (Self, Dropped) {
        assert!(self.0 & REF_COUNT_MASK != 0, "general reference dropped twice");
        Self(self.0 - 1).settled()
    }

    /// One general and one type reference less.
    ///
    /// # Panics
    /// When there is none: a reference was dropped twice.
    #[inline]
    #[must_use]
    pub const fn drop_typed(self) -> (Self, Dropped) {
        // With a type reference there is a general one, so looking at one count is enough.
        assert!(self.0 & TYPE_COUNT_MASK != 0, "type reference dropped twice");
        Self(self.0 - TYPE_ONE - 1).settled()
    }

    /// A word without any reference is the dead word: no type survives a change of owner.
    #[inline]
    const fn settled(self) -> (Self, Dropped) {
        if self.is_live() {
            (self, Dropped { released: false })
        } else {
            (Self::DEAD, Dropped { released: true })
        }
    }

    /// One use of a table less; the last use is kept for the walk that takes the table apart.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub const fn drop_table(self) -> (Self, TableDrop) {
        match self.type_count() {
            0 => panic!("table reference dropped twice"),
            1 => (Self(self.0 & !VALIDATED), TableDrop::TakeApart),
            _ => (Self(self.0 - TYPE_ONE - 1), TableDrop::StillUsed),
        }
    }

    /// Sets the pin flag.
    ///
    /// # Errors
    /// The flag is set already.
    pub const fn pinned(self) -> Result<Self, RefError> {
        if self.is_pinned() {
            return Err(RefError::Unexpected);
        }
        Ok(Self(self.0 | PINNED))
    }

    /// Clears the pin flag; its references now belong to the caller.
    ///
    /// # Errors
    /// The flag is clear.
    pub const fn unpinned(self) -> Result<Self, RefError> {
        if !self.is_pinned() {
            return Err(RefError::Unexpected);
        }
        Ok(Self(self.0 & !PINNED))
    }

    /// Drops the reference of the allocation of an ordinary frame.
    ///
    /// # Errors
    /// The owner has given the frame up before, or its content belongs to the hypervisor.
    pub const fn drop_allocation(self) -> Result<(Self, Dropped), RefError> {
        if !self.is_allocated() || self.is_special() {
            return Err(RefError::Unexpected);
        }
        Ok(Self(self.0 & !ALLOCATED).settled())
    }

    /// Ends the life of a special frame as far as the hypervisor's own references go.
    ///
    /// # Errors
    /// The frame is not special.
    pub const fn drop_special(self) -> Result<(Self, Dropped), RefError> {
        if !self.is_special() || self.type_count() == 0 || self.ref_count() == 0 {
            return Err(RefError::Unexpected);
        }
        Ok(Self((self.0 & !(ALLOCATED | SPECIAL)) - TYPE_ONE - 1).settled())
    }

    /// Takes an ordinary frame without any reference but its allocation away from its owner.
    ///
    /// # Errors
    /// There are other references, or it is not an ordinary allocated frame.
    pub const fn stolen(self) -> Result<Self, RefError> {
        if self.0 & LIVE_MASK != ALLOCATED {
            return Err(RefError::Unexpected);
        }
        Ok(Self::DEAD)
    }
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("type", &self.page_type())
            .field("validated", &self.is_validated())
            .field("pinned", &self.is_pinned())
            .field("type_count", &self.type_count())
            .field("allocated", &self.is_allocated())
            .field("special", &self.is_special())
            .field("refs", &self.ref_count())
            .finish()
    }
}
