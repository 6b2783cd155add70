//! Which mapped bytes are copied in one go.
//!
//! Each frame of a request is at a place; frames of a large request mostly are at places in a row, and
//! then their bytes are, too.

use super::check::Segment;
use core::iter::{Peekable, Zip};
use core::slice::Iter;

const FRAME: usize = 4096;

/// Bytes at places in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first place.
    pub place: u16,
    /// First byte in it.
    pub offset: usize,
    /// Bytes; they may reach into the places behind it.
    pub len: usize,
}

/// The runs of a request, in its order.
#[derive(Debug)]
pub struct Runs<'a> {
    parts: Peekable<Zip<Iter<'a, Segment>, Iter<'a, u16>>>,
    skip: usize,
    left: usize,
}

impl<'a> Runs<'a> {
    /// The runs of `len` bytes, from `skip` bytes on; `places` are those of the segments.
    #[must_use]
    pub fn new(segments: &'a [Segment], places: &'a [u16], skip: usize, len: usize) -> Self {
        Self { parts: segments.iter().zip(places).peekable(), skip, left: len }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        loop {
            let (segment, place) = self.parts.next()?;
            if let Some(skip) = self.skip.checked_sub(usize::from(segment.len)) {
                self.skip = skip;
                continue;
            }
            let offset = usize::from(segment.offset) + core::mem::take(&mut self.skip);
            let mut end = usize::from(segment.offset) + usize::from(segment.len);
            let mut next_place = place.checked_add(1);
            while end.is_multiple_of(FRAME) && end - offset < self.left {
                let follows = |(segment, place): &(&Segment, &u16)| {
                    segment.offset == 0 && next_place == Some(**place)
                };
                let Some((segment, place)) = self.parts.next_if(follows) else { break };
                end += usize::from(segment.len);
                next_place = place.checked_add(1);
            }
            let len = (end - offset).min(self.left);
            self.left -= len;
            return Some(Run { place: *place, offset, len });
        }
    }
}
