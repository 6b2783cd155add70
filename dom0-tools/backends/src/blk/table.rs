//! Which granted frames of a front half stay mapped.
//!
//! A front half with persistent grants uses the same frames again and again, so the first use maps a
//! frame and later ones find it. There is a bounded number of places; when all are taken, one that was
//! not used lately is given to the new frame (second chance), but never one of the request at hand.
//!
//! Entries are found by number in chunks that are made on first use. A front half that spreads its
//! frames over all numbers costs `CHUNKS` chunks, 128 KiB.

use alloc::boxed::Box;
use alloc::vec::Vec;
use hypercall_abi::GrantRef;

const CHUNK: usize = 512;
const CHUNKS: usize = 128;
const NONE: u16 = u16::MAX;

/// Where a frame is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Mapped at this place.
    Mapped(u16),
    /// To be mapped at this place, which is free.
    Vacant(u16),
    /// To be mapped at this place after what is there was unmapped.
    Occupied(u16),
}

impl Place {
    /// The place.
    #[must_use]
    pub const fn index(self) -> u16 {
        match self {
            Self::Mapped(index) | Self::Vacant(index) | Self::Occupied(index) => index,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Whose it is; meaningless when the slot is free.
    gref: u32,
    is_taken: bool,
    was_used: bool,
    /// The request that used it last.
    request: u32,
}

/// The places of one front half.
#[derive(Debug)]
pub struct Table {
    slots: Vec<Slot>,
    capacity: usize,
    free: Vec<u16>,
    chunks: Vec<Option<Box<[u16; CHUNK]>>>,
    hand: usize,
    request: u32,
}

impl Table {
    /// A table of `capacity` places, all free.
    ///
    /// # Panics
    /// If there are more than `u16` can count; the number is ours.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity < usize::from(NONE), "places are counted with 16 bits");
        let (slots, free, chunks) = (Vec::new(), Vec::new(), Vec::new());
        Self { slots, capacity, free, chunks, hand: 0, request: 0 }
    }

    /// Begins a request: its frames will not displace each other.
    pub fn begin(&mut self) {
        self.request = self.request.wrapping_add(1);
    }

    /// The place of a frame; `None` when it cannot have one: its number is beyond what a grant table
    /// can hold, or this one request uses all places.
    pub fn place(&mut self, gref: GrantRef) -> Option<Place> {
        let number = gref.get();
        let at = self.entry(number);
        if let Some(slot) = self.slots.get_mut(usize::from(at)) {
            slot.was_used = true;
            slot.request = self.request;
            return Some(Place::Mapped(at));
        }
        let place = self.vacate(number)?;
        self.set_entry(number, place.index())?;
        let slot = self.slots.get_mut(usize::from(place.index()))?;
        *slot = Slot { gref: number, is_taken: true, was_used: true, request: self.request };
        Some(place)
    }

    /// Frees a place: its frame could not be mapped, or was unmapped.
    pub fn forget(&mut self, index: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        if core::mem::replace(&mut slot.is_taken, false) {
            let gref = slot.gref;
            self.clear_entry(gref);
            self.free.push(index);
        }
    }

    /// Places in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether no place is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Empties the table and names the places that were in use.
    pub fn drain(&mut self) -> Vec<u16> {
        let taken = |(at, slot): (usize, &Slot)| slot.is_taken.then_some(at as u16);
        let all = self.slots.iter().enumerate().filter_map(taken).collect();
        *self = Self::new(self.capacity);
        all
    }

    fn entry(&self, number: u32) -> u16 {
        let chunk = self.chunks.get(number as usize / CHUNK).and_then(Option::as_ref);
        chunk.map_or(NONE, |chunk| chunk[number as usize % CHUNK])
    }

    fn set_entry(&mut self, number: u32, index: u16) -> Option<()> {
        let at = number as usize / CHUNK;
        if at >= self.chunks.len() {
            self.chunks.resize_with(at + 1, || None);
        }
        let chunk = self.chunks.get_mut(at)?.get_or_insert_with(|| Box::new([NONE; CHUNK]));
        chunk[number as usize % CHUNK] = index;
        Some(())
    }

    fn clear_entry(&mut self, number: u32) {
        let chunk = self.chunks.get_mut(number as usize / CHUNK).and_then(Option::as_mut);
        if let Some(chunk) = chunk {
            chunk[number as usize % CHUNK] = NONE;
        }
    }

    /// Finds a place for a frame that has none.
    fn vacate(&mut self, number: u32) -> Option<Place> {
        if number as usize >= CHUNK * CHUNKS {
            return None;
        }
        if let Some(index) = self.free.pop() {
            return Some(Place::Vacant(index));
        }
        if self.slots.len() < self.capacity {
            let slot = Slot { gref: 0, is_taken: false, was_used: false, request: self.request };
            self.slots.push(slot);
            return Some(Place::Vacant(self.slots.len() as u16 - 1));
        }
        self.displace()
    }

    /// Two rounds find a place unless the request at hand uses all of them.
    fn displace(&mut self) -> Option<Place> {
        for _ in 0..2 * self.slots.len() {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = self.slots.get_mut(at)?;
            if slot.request == self.request {
                continue;
            }
            if !core::mem::replace(&mut slot.was_used, false) {
                let gref = slot.gref;
                self.clear_entry(gref);
                return Some(Place::Occupied(at as u16));
            }
        }
        None
    }
}
