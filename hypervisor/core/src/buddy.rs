//! The frame allocator: blocks of two to the power of `order` frames, naturally aligned.
//!
//! Called by whoever needs machine memory: `populate_physmap`, domain building, the heap. Its
//! bookkeeping is in the frame table (links, and a note on each frame), so it costs next to no memory
//! of its own, and each operation is bounded by the number of orders and by the block's own frames.
//!
//! The single frames that were freed last are kept aside and handed out first: most requests are for
//! one frame, and to join it with its neighbours only to split them again is the greater part of the
//! work. They are joined when there is no room for more, or no block for a request.
//!
//! Two zones, below and above 4 GiB, keep low memory for those who ask for it: a request without a
//! limit is served from above first.
//!
//! It does not scrub, does not flush TLBs and does not know owners: a frame is freed dead.

use crate::ensure;
use hypercall_abi::Mfn;

use crate::page::{FrameInfo, PageList, State};

/// Largest order of a block: 1 GiB.
pub const MAX_ORDER: u8 = 18;
const ORDERS: usize = MAX_ORDER as usize + 1;

/// First frame of the upper zone: 4 GiB. A multiple of the largest block, so blocks never straddle.
const HIGH_ZONE_START: u64 = 1 << 20;

/// Single frames kept aside.
const SPARES: usize = 16;

// Notes on frames. The first frame of a free block has the block's order plus one.
/// Not the first frame of a free block, or never free yet.
const PLAIN: u8 = 0;
/// Kept aside.
const SPARE: u8 = 254;
/// Belongs to somebody.
const HANDED_OUT: u8 = 255;

/// Blocks of one list that are looked at when a limit cuts through a zone.
const LIMITED_SCAN: usize = 64;

/// A block that cannot be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// Not inside the frame table, not aligned to its order, or of too large an order.
    BadBlock,
    /// Part of it is free already.
    DoubleFree,
    /// Somebody still owns or refers to the first frame.
    StillOwned,
}

/// The free memory of the machine.
pub struct Buddy<'f> {
    frames: &'f [FrameInfo],
    /// Free blocks below and above [`HIGH_ZONE_START`], by order.
    zones: [[PageList; ORDERS]; 2],
    /// Free frames that are in no zone.
    spares: [Mfn; SPARES],
    spare_count: usize,
    /// All free frames, the spare ones included.
    free_frames: u64,
}

impl<'f> Buddy<'f> {
    /// An allocator over this frame table without free memory.
    pub fn new(frames: &'f [FrameInfo]) -> Self {
        let (zones, spares) = Default::default();
        Self { frames, zones, spares, spare_count: 0, free_frames: 0 }
    }

    /// Number of free frames.
    pub const fn free_frames(&self) -> u64 {
        self.free_frames
    }

    /// Adds the frames from `start` to before `end`, in the largest blocks that fit: all were handed
    /// out, in whatever blocks, or none ever was.
    ///
    /// # Errors
    /// The range is not inside the frame table, or part of it is free already; what comes before
    /// that part has been added.
    pub fn add_range(&mut self, start: Mfn, end: Mfn) -> Result<(), FreeError> {
        let (mut next, end) = (start.get(), end.get());
        while next < end {
            let alignment = next.trailing_zeros();
            let size = (end - next).ilog2();
            let order = alignment.min(size).min(u32::from(MAX_ORDER)) as u8;
            let mfn = Mfn::new(next);
            if self.check_dead(mfn, order)?.note() == HANDED_OUT {
                self.free(mfn, order)?;
            } else {
                self.check_new(next, order)?;
                self.free_frames += 1 << order;
                self.join(next, order);
            }
            next += 1 << order;
        }
        Ok(())
    }

    /// Takes a block, all of it at or below `max_mfn` if that is given. `None` when there is none
    /// (with a limit inside a zone only some blocks of each size are looked at).
    pub fn alloc(&mut self, order: u8, max_mfn: Option<Mfn>) -> Option<Mfn> {
        if order > MAX_ORDER {
            return None;
        }
        let last_start = max_mfn.map_or(u64::MAX, Mfn::get).checked_sub((1 << order) - 1)?;
        let spare = if order == 0 { self.take_spare(last_start) } else { None };
        let start = spare.or_else(|| self.take_block(order, last_start))?;
        self.free_frames -= 1 << order;
        self.note(start, order, HANDED_OUT);
        Some(start)
    }

    fn take_spare(&mut self, last_start: u64) -> Option<Mfn> {
        let mfn = *self.spares[..self.spare_count].last()?;
        if mfn.get() > last_start {
            return None;
        }
        self.spare_count -= 1;
        Some(mfn)
    }

    fn take_block(&mut self, order: u8, last_start: u64) -> Option<Mfn> {
        self.take_from_zones(order, last_start).or_else(|| {
            self.join_spares();
            self.take_from_zones(order, last_start)
        })
    }

    /// A request without a limit is served from above 4 GiB first.
    fn take_from_zones(&mut self, order: u8, last_start: u64) -> Option<Mfn> {
        let mut zones = [HIGH_ZONE_START, 0].into_iter().filter(|start| *start <= last_start);
        zones.find_map(|start| self.take_from(start, order, last_start))
    }

    /// Takes a block of `order` that starts at or below `last_start` from a zone.
    fn take_from(&mut self, zone_start: u64, order: u8, last_start: u64) -> Option<Mfn> {
        let frames = self.frames;
        let (found, start) = (order..=MAX_ORDER).find_map(|found| {
            let mut blocks = self.list(zone_start, found).iter(frames).take(LIMITED_SCAN);
            Some((found, blocks.find(|mfn| mfn.get() <= last_start)?))
        })?;
        self.unlink(start, found);
        // The lower half is kept each time, so the block still starts where it fits.
        for half in (order..found).rev() {
            self.link(Mfn::new(start.get() + (1 << half)), half);
        }
        Some(start)
    }

    /// Gives a block back and joins it with its free neighbours.
    ///
    /// # Errors
    /// See [`FreeError`]; nothing has changed then.
    pub fn free(&mut self, mfn: Mfn, order: u8) -> Result<(), FreeError> {
        let first = self.check_dead(mfn, order)?;
        ensure(first.note() == HANDED_OUT, FreeError::DoubleFree)?;
        // Looks at every frame, so only in debug builds.
        debug_assert!(
            (mfn.get()..mfn.get() + (1 << order)).all(|number| {
                let frame = FrameInfo::of(self.frames, Mfn::new(number));
                frame.is_some_and(|frame| frame.note() == HANDED_OUT)
            }),
            "a block is freed of which a part is free"
        );
        self.free_frames += 1 << order;
        if order == 0 && self.spare_count < SPARES {
            first.set_note(SPARE);
            self.spares[self.spare_count] = mfn;
            self.spare_count += 1;
        } else {
            self.note(mfn, order, PLAIN);
            self.join(mfn.get(), order);
        }
        Ok(())
    }

    /// Puts a block that is in no list into its zone, joined with its free neighbours.
    fn join(&mut self, mut start: u64, mut order: u8) {
        while order < MAX_ORDER {
            let neighbour = start ^ (1 << order);
            if self.free_order(neighbour) != Some(order) {
                break;
            }
            self.unlink(Mfn::new(neighbour), order);
            start &= !(1 << order);
            order += 1;
        }
        self.link(Mfn::new(start), order);
    }

    fn join_spares(&mut self) {
        while let Some(mfn) = self.take_spare(u64::MAX) {
            self.note(mfn, 0, PLAIN);
            self.join(mfn.get(), 0);
        }
    }

    /// The first frame of a block that is inside the frame table and dead.
    fn check_dead(&self, mfn: Mfn, order: u8) -> Result<&'f FrameInfo, FreeError> {
        ensure(order <= MAX_ORDER && mfn.get() & ((1 << order) - 1) == 0, FreeError::BadBlock)?;
        let last = mfn.checked_add((1 << order) - 1).ok_or(FreeError::BadBlock)?;
        let first = FrameInfo::of(self.frames, mfn).ok_or(FreeError::BadBlock)?;
        FrameInfo::of(self.frames, last).ok_or(FreeError::BadBlock)?;
        ensure(first.state() == State::DEAD, FreeError::StillOwned)?;
        Ok(first)
    }

    /// Checks that the first frame of a block is not inside a free one. Such a block starts where low
    /// bits of its number are clear; one that starts there and ends before it rules out all that
    /// start lower.
    fn check_new(&self, number: u64, order: u8) -> Result<(), FreeError> {
        let mut start = number;
        let found = loop {
            let found = self.free_order(start);
            if found.is_some() || start.trailing_zeros() >= u32::from(MAX_ORDER) {
                break found;
            }
            start &= start - 1;
        };
        let is_inside_free = found.is_some_and(|order| number - start < 1 << order);
        let mut frames = number..number + (1 << order);
        debug_assert!(
            is_inside_free || frames.all(|frame| self.free_order(frame).is_none()),
            "memory is added of which a part is free"
        );
        ensure(!is_inside_free, FreeError::DoubleFree)?;
        Ok(())
    }

    /// Order of the free block that starts at that frame.
    fn free_order(&self, number: u64) -> Option<u8> {
        let note = FrameInfo::of(self.frames, Mfn::new(number))?.note();
        note.checked_sub(1).filter(|order| *order <= MAX_ORDER)
    }

    /// Notes the same on all frames of a block.
    fn note(&self, mfn: Mfn, order: u8, note: u8) {
        let first = mfn.get() as usize;
        let block = self.frames.get(first..first + (1 << order)).unwrap_or_default();
        block.iter().for_each(|frame| frame.set_note(note));
    }

    fn list(&mut self, number: u64, order: u8) -> &mut PageList {
        &mut self.zones[usize::from(number >= HIGH_ZONE_START)][usize::from(order)]
    }

    fn link(&mut self, mfn: Mfn, order: u8) {
        let frames = self.frames;
        if let Some(frame) = FrameInfo::of(frames, mfn) {
            frame.set_note(order + 1);
            self.list(mfn.get(), order).push_front(frames, mfn);
        }
    }

    fn unlink(&mut self, mfn: Mfn, order: u8) {
        let frames = self.frames;
        if let Some(frame) = FrameInfo::of(frames, mfn) {
            frame.set_note(PLAIN);
            self.list(mfn.get(), order).remove(frames, mfn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const FRAMES: u64 = 200;

    fn table(len: u64) -> Vec<FrameInfo> {
        (0..len).map(|_| FrameInfo::default()).collect()
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Alloc { order: u8, max: Option<u64> },
        Free { choice: usize },
        FreeWrong { mfn: u64, order: u8 },
    }

    fn op() -> impl Strategy<Value = Op> {
        let max = prop_oneof![3 => Just(None), 1 => (0..FRAMES + 20).prop_map(Some)];
        prop_oneof![
            4 => (0..6u8, max).prop_map(|(order, max)| Op::Alloc { order, max }),
            3 => any::<usize>().prop_map(|choice| Op::Free { choice }),
            1 => (0..FRAMES + 8, 0..4u8).prop_map(|(mfn, order)| Op::FreeWrong { mfn, order }),
        ]
    }

    /// Which frames are free, and nothing else.
    struct Bitmap(Vec<bool>);

    impl Bitmap {
        fn set(&mut self, mfn: u64, order: u8, free: bool) {
            for number in mfn..mfn + (1 << order) {
                assert_ne!(self.0[number as usize], free, "frame {number}");
                self.0[number as usize] = free;
            }
        }

        fn has_block(&self, order: u8, max: Option<u64>) -> bool {
            let size = 1usize << order;
            self.0.chunks_exact(size).enumerate().any(|(block, free)| {
                let last = (block * size + size - 1) as u64;
                free.iter().all(|free| *free) && max.is_none_or(|max| last <= max)
            })
        }
    }

    proptest! {
        #[test]
        fn allocator_agrees_with_a_bitmap(
            start in 0..10u64,
            ops in proptest::collection::vec(op(), 0..120),
        ) {
            let frames = table(FRAMES);
            let mut buddy = Buddy::new(&frames);
            let mut bitmap = Bitmap(alloc::vec![false; FRAMES as usize]);
            buddy.add_range(Mfn::new(start), Mfn::new(FRAMES)).expect("inside the table");
            for number in start..FRAMES {
                bitmap.set(number, 0, true);
            }
            let mut held: Vec<(u64, u8)> = Vec::new();
            for op in ops {
                match op {
                    Op::Alloc { order, max } => match buddy.alloc(order, max.map(Mfn::new)) {
                        Some(mfn) => {
                            let mfn = mfn.get();
                            prop_assert_eq!(mfn % (1 << order), 0);
                            prop_assert!(max.is_none_or(|max| mfn + (1 << order) - 1 <= max));
                            bitmap.set(mfn, order, false);
                            held.push((mfn, order));
                        }
                        None => prop_assert!(!bitmap.has_block(order, max)),
                    },
                    Op::Free { choice } if !held.is_empty() => {
                        let (mfn, order) = held.swap_remove(choice % held.len());
                        buddy.free(Mfn::new(mfn), order).expect("held");
                        bitmap.set(mfn, order, true);
                    }
                    Op::FreeWrong { mfn, order } => {
                        let is_outside = mfn + (1 << order) > FRAMES || mfn % (1 << order) != 0;
                        let is_free = !is_outside && bitmap.0[mfn as usize];
                        if is_outside || is_free {
                            prop_assert!(buddy.free(Mfn::new(mfn), order).is_err());
                        }
                    }
                    Op::Free { .. } => {}
                }
                let free = bitmap.0.iter().filter(|free| **free).count() as u64;
                prop_assert_eq!(buddy.free_frames(), free);
            }
            // Everything back: the same largest blocks as at first can be had again.
            for (mfn, order) in held {
                buddy.free(Mfn::new(mfn), order).expect("held");
            }
            prop_assert_eq!(buddy.free_frames(), FRAMES - start);
            let largest = (0..=MAX_ORDER).rev().find(|order| {
                (start.next_multiple_of(1 << order) + (1 << order)) <= FRAMES
            });
            prop_assert!(buddy.alloc(largest.expect("some"), None).is_some());
        }
    }

    #[test]
    fn double_free_is_refused() {
        let frames = table(64);
        let mut buddy = Buddy::new(&frames);
        buddy.add_range(Mfn::new(0), Mfn::new(64)).expect("fresh");
        let block = buddy.alloc(2, None).expect("there is memory");
        buddy.free(block, 2).expect("held");
        for order in 0..=2 {
            assert_eq!(buddy.free(block, order), Err(FreeError::DoubleFree));
        }
        assert_eq!(buddy.free_frames(), 64);
    }

    #[test]
    fn owned_frame_cannot_be_freed() {
        let frames = table(8);
        let mut buddy = Buddy::new(&frames);
        frames[3].bring_alive(hypercall_abi::DomId::new(1), State::ALLOCATED).expect("dead");
        assert_eq!(buddy.free(Mfn::new(3), 0), Err(FreeError::StillOwned));
    }

    #[test]
    fn memory_above_4_gib_is_used_first_and_kept_from_limited_requests() {
        let split = HIGH_ZONE_START;
        let frames = table(split + 16);
        let mut buddy = Buddy::new(&frames);
        buddy.add_range(Mfn::new(split - 16), Mfn::new(split + 16)).expect("fresh");
        let limit = Some(Mfn::new(split - 1));
        for _ in 0..16 {
            assert!(buddy.alloc(0, None).expect("free").get() >= split);
        }
        for _ in 0..16 {
            assert!(buddy.alloc(0, limit).expect("free").get() < split);
        }
        assert_eq!(buddy.alloc(0, None), None);
    }
}
