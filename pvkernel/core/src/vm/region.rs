//! A range of addresses with the same rights, and the frames that are there.

use alloc::vec::Vec;

use super::PAGE;
use crate::platform::{OutOfMemory, UserAccess};

/// What is at a page: a frame or nothing yet, and what the page tables say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    const FRAME: u32 = (1 << 30) - 1;
    const MAPPED: u32 = 1 << 30;
    const WRITABLE: u32 = 1 << 31;
    /// Nothing yet: zeros when it is first touched.
    pub(super) const EMPTY: Self = Self(Self::FRAME);

    /// A frame that is not in the tables.
    pub(super) const fn held(frame: usize) -> Self {
        Self(frame as u32 & Self::FRAME)
    }

    /// A frame that is in the tables.
    pub(super) const fn mapped(frame: usize, writable: bool) -> Self {
        let writable = if writable { Self::WRITABLE } else { 0 };
        Self(frame as u32 & Self::FRAME | Self::MAPPED | writable)
    }

    pub(super) const fn frame(self) -> Option<usize> {
        match self.0 & Self::FRAME {
            Self::FRAME => None,
            frame => Some(frame as usize),
        }
    }

    pub(super) const fn is_mapped(self) -> bool {
        self.0 & Self::MAPPED != 0
    }

    /// Whether the entry in the tables permits writing.
    pub(super) const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }
}

/// To which side a region's first pages are, so that its list of slots is no longer than needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// A program's segment, or its heap.
    Up,
    /// A stack.
    Down,
}

/// A range of pages.
#[derive(Debug)]
pub struct Region {
    start: u64,
    end: u64,
    growth: Growth,
    /// What the program may do here.
    pub access: UserAccess,
    slots: Vec<Slot>,
}

impl Region {
    /// A region of nothing yet; the addresses are multiples of a page.
    #[must_use]
    pub const fn new(start: u64, end: u64, access: UserAccess, growth: Growth) -> Self {
        Self { start, end, growth, access, slots: Vec::new() }
    }

    /// First address.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// First address behind.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Whether an address lies inside.
    #[must_use]
    pub const fn contains(&self, address: u64) -> bool {
        address >= self.start && address < self.end
    }

    /// Moves the end; slots behind it must be empty.
    pub(super) fn set_end(&mut self, end: u64) {
        self.end = end;
        let pages = ((end - self.start) / PAGE) as usize;
        self.slots.truncate(pages);
    }

    fn index(&self, address: u64) -> usize {
        let pages = match self.growth {
            Growth::Up => (address - self.start) / PAGE,
            Growth::Down => (self.end - 1 - address) / PAGE,
        };
        pages as usize
    }

    const fn address(&self, index: usize) -> u64 {
        match self.growth {
            Growth::Up => self.start + index as u64 * PAGE,
            Growth::Down => self.end - (index as u64 + 1) * PAGE,
        }
    }

    /// What is at an address inside.
    pub(super) fn slot(&self, address: u64) -> Slot {
        self.slots.get(self.index(address)).copied().unwrap_or(Slot::EMPTY)
    }

    /// Changes what is at an address inside.
    pub(super) fn set_slot(&mut self, address: u64, slot: Slot) -> Result<(), OutOfMemory> {
        let index = self.index(address);
        if index >= self.slots.len() {
            let more = index + 1 - self.slots.len();
            self.slots.try_reserve(more).map_err(|_| OutOfMemory)?;
            self.slots.resize(index + 1, Slot::EMPTY);
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
        }
        Ok(())
    }

    /// Looks at the slots that hold a frame and whose addresses are in a range. Loops over whole processes
    /// go through here: it is what fork and exit spend their time with.
    #[inline]
    pub(super) fn each(&self, from: u64, to: u64, mut look: impl FnMut(u64, Slot)) {
        let (from, to) = (from.max(self.start), to.min(self.end));
        if from >= to {
            return;
        }
        let (first, last) = match self.growth {
            Growth::Up => (self.index(from), self.index(to - 1)),
            Growth::Down => (self.index(to - 1), self.index(from)),
        };
        let mut address = self.address(first);
        let step = match self.growth {
            Growth::Up => PAGE,
            Growth::Down => PAGE.wrapping_neg(),
        };
        let end = (last + 1).min(self.slots.len());
        for slot in self.slots.get(first..end).unwrap_or_default() {
            if slot.frame().is_some() {
                look(address, *slot);
            }
            address = address.wrapping_add(step);
        }
    }

    /// Looks at all slots that hold a frame.
    #[inline]
    pub(super) fn each_frame(&self, mut look: impl FnMut(usize)) {
        self.slots.iter().filter_map(|slot| slot.frame()).for_each(&mut look);
    }

    /// All slots that hold a frame, with their addresses.
    pub(super) fn held(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let all = self.slots.iter().enumerate().filter(|(_, slot)| slot.frame().is_some());
        all.map(|(index, slot)| (self.address(index), *slot))
    }

    /// All slots, to change them.
    pub(super) fn held_mut(&mut self) -> impl Iterator<Item = (u64, &mut Slot)> {
        let (start, end, growth) = (self.start, self.end, self.growth);
        let address = move |index: usize| match growth {
            Growth::Up => start + index as u64 * PAGE,
            Growth::Down => end - (index as u64 + 1) * PAGE,
        };
        let all = self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.frame().is_some());
        all.map(move |(index, slot)| (address(index), slot))
    }

    /// The same region with the same frames, none of which is in the tables.
    pub(super) fn copy(&self) -> Result<Self, OutOfMemory> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(self.slots.len()).map_err(|_| OutOfMemory)?;
        let unmapped = |slot: &Slot| slot.frame().map_or(Slot::EMPTY, Slot::held);
        slots.extend(self.slots.iter().map(unmapped));
        let Self { start, end, growth, access, .. } = *self;
        Ok(Self { start, end, growth, access, slots })
    }
}
