//! Where the blocks of a file lie, for who reads and overwrites them there.

use alloc::vec::Vec;

use crate::files::Extent;

/// The beginning of a range that is all there or all missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It lies in one piece on the disk.
    There {
        /// First byte on the disk.
        place: u64,
        /// Bytes.
        len: u64,
    },
    /// It was never written.
    Hole {
        /// Bytes.
        len: u64,
    },
}

/// The written parts of a file: in order, apart from each other or at least on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    extents: Vec<Extent>,
}

impl Places {
    /// Knows of another part, as far as it was not known.
    ///
    /// # Errors
    /// There is no memory; nothing changed.
    pub fn add(&mut self, new: Extent) -> Result<(), NoMemory> {
        let Extent { mut offset, place, len } = new;
        let end = offset.saturating_add(len);
        while offset < end {
            match self.piece(offset, end - offset) {
                Piece::There { len, .. } => offset += len,
                Piece::Hole { len } => {
                    let place = place + (offset - new.offset);
                    self.insert(Extent { offset, place, len })?;
                    offset += len;
                }
            }
        }
        Ok(())
    }

    /// The longest beginning of a range that is of one kind. Ranges are not empty.
    #[must_use]
    pub fn piece(&self, offset: u64, len: u64) -> Piece {
        let next = self.extents.partition_point(|extent| extent.offset <= offset);
        let before = next.checked_sub(1).and_then(|index| self.extents.get(index));
        if let Some(extent) = before {
            let skip = offset - extent.offset;
            if skip < extent.len {
                let len = len.min(extent.len - skip);
                return Piece::There { place: extent.place + skip, len };
            }
        }
        let room = self.extents.get(next).map_or(len, |after| len.min(after.offset - offset));
        Piece::Hole { len: room }
    }

    /// The first byte of the hole a missing byte is in.
    #[must_use]
    pub fn hole_start(&self, offset: u64) -> u64 {
        let next = self.extents.partition_point(|extent| extent.offset <= offset);
        let before = next.checked_sub(1).and_then(|index| self.extents.get(index));
        before.map_or(0, |extent| extent.offset + extent.len)
    }

    /// Adds a part that nothing known overlaps, and joins it with its neighbours.
    fn insert(&mut self, new: Extent) -> Result<(), NoMemory> {
        self.extents.try_reserve(1).map_err(|_| NoMemory)?;
        let at = self.extents.partition_point(|extent| extent.offset < new.offset);
        self.extents.insert(at, new);
        self.join(at);
        if let Some(before) = at.checked_sub(1) {
            self.join(before);
        }
        Ok(())
    }

    /// Makes one of an extent and the next, where they are.
    fn join(&mut self, at: usize) {
        let (Some(first), Some(second)) = (self.extents.get(at), self.extents.get(at + 1)) else {
            return;
        };
        let is_one =
            first.offset + first.len == second.offset && first.place + first.len == second.place;
        let len = first.len + second.len;
        if is_one {
            self.extents.remove(at + 1);
            if let Some(first) = self.extents.get_mut(at) {
                first.len = len;
            }
        }
    }
}

/// There is no memory for another part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_is_found_as_it_was_added(
            parts in proptest::collection::vec((0_u64..60, 1_u64..12, 0_u64..4), 0..20),
            ask in (0_u64..70, 1_u64..40),
        ) {
            let (mut places, mut model) = (Places::default(), [None; 128]);
            for (offset, len, lane) in parts {
                let place = offset + lane * 1000;
                places.add(Extent { offset, place, len }).unwrap();
                for step in 0..len {
                    model[(offset + step) as usize].get_or_insert(place + step);
                }
            }
            let is_joined = places.extents.windows(2).all(|two| {
                let end = two[0].offset + two[0].len;
                end < two[1].offset || (end == two[1].offset && two[0].place + two[0].len != two[1].place)
            });
            prop_assert!(is_joined, "{:?}", places);
            let (offset, len) = ask;
            let first = model[offset as usize];
            let same = (0..len).take_while(|step| {
                model[(offset + step) as usize] == first.map(|place| place + step)
            });
            let len = same.count() as u64;
            let expected = match first {
                Some(place) => Piece::There { place, len },
                None => Piece::Hole { len },
            };
            prop_assert_eq!(places.piece(offset, ask.1), expected);
            if first.is_none() {
                let back = model[..offset as usize].iter().rev().take_while(|at| at.is_none());
                prop_assert_eq!(places.hole_start(offset), offset - back.count() as u64);
            }
        }
    }
}
