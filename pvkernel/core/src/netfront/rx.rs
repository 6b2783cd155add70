//! Frames that were received: which bytes of which pages they are.
//!
//! Pages are posted in a circle and answered in that order, so the page of an answer is known from its
//! place alone; what the answer says besides is checked. A frame whose pages follow each other and are
//! full is one piece of memory.

use hypercall_abi::io::net::{
    NetifRxResponse, EXTRA_FLAG_MORE, EXTRA_TYPE_GSO, RXF_CSUM_BLANK, RXF_DATA_VALIDATED,
    RXF_EXTRA_INFO, RXF_MORE_DATA,
};
use hypercall_abi::PAGE_SIZE;
use pv_ring::RxSlot;

use crate::device::net::{Checksum, FrameMeta, ETHERNET_HEAD};

/// Most parts of a frame; a frame of more is thrown away.
const MAX_PARTS: usize = 18;
/// Longest frame.
const MAX_LEN: usize = 65_536;

/// Bytes of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    page: u16,
    offset: u16,
    len: u16,
}

/// A frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    parts: [Part; MAX_PARTS],
    count: usize,
    len: usize,
    slots: usize,
    meta: FrameMeta,
}

impl Received {
    /// Bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it is to be thrown away: the other half failed, or it is no frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Slots, and therefore pages, that it took, those of extra information included.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// What is known about it.
    #[must_use]
    pub const fn meta(&self) -> FrameMeta {
        self.meta
    }

    /// Page, first byte and number of bytes of each part.
    pub fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let parts = self.parts.get(..self.count).unwrap_or(&[]);
        parts.iter().map(|part| (part.page.into(), part.offset.into(), part.len.into()))
    }

    /// First page and first byte in it, when all bytes follow each other from there.
    #[must_use]
    pub fn one_piece(&self) -> Option<(usize, usize)> {
        let mut parts = self.parts();
        let (page, offset, len) = parts.next()?;
        let mut end = page * PAGE_SIZE + offset + len;
        for (page, offset, len) in parts {
            if page * PAGE_SIZE + offset != end {
                return None;
            }
            end += len;
        }
        Some((page, offset))
    }
}

/// What an answer says is impossible: the other half is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxError;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    First,
    Extra {
        more_data: bool,
    },
    Part,
}

/// Puts frames together.
#[derive(Debug, Default)]
pub struct Assembler {
    frame: Received,
    expect: Expect,
    is_bad: bool,
}

impl Assembler {
    /// The page of the next answer cannot be believed: its frame will be empty.
    pub fn spoil(&mut self) {
        self.is_bad = true;
    }

    /// Takes the next answer, which is for `page`; returns the frame that it completes. One that is
    /// empty is no frame, but has used its slots.
    ///
    /// # Errors
    /// The answer is not for that page, or lies outside of it.
    pub fn feed(&mut self, slot: RxSlot, page: u16) -> Result<Option<Received>, RxError> {
        self.frame.slots += 1;
        match self.expect {
            Expect::First => self.first(&slot.response(), page)?,
            Expect::Extra { more_data } => self.extra(slot, more_data),
            Expect::Part => self.part(&slot.response(), page)?,
        }
        if self.expect != Expect::First {
            return Ok(None);
        }
        let Self { mut frame, is_bad, .. } = core::mem::take(self);
        if is_bad || !(ETHERNET_HEAD..=MAX_LEN).contains(&frame.len) {
            (frame.len, frame.count) = (0, 0);
        }
        Ok(Some(frame))
    }

    fn first(&mut self, response: &NetifRxResponse, page: u16) -> Result<(), RxError> {
        self.add(response, page)?;
        let flags = response.flags;
        self.frame.meta.checksum = match flags {
            _ if flags & RXF_CSUM_BLANK != 0 => Checksum::Blank,
            _ if flags & RXF_DATA_VALIDATED != 0 => Checksum::Valid,
            _ => Checksum::Unknown,
        };
        let more_data = flags & RXF_MORE_DATA != 0;
        self.expect = match flags & RXF_EXTRA_INFO != 0 {
            true => Expect::Extra { more_data },
            false => after(more_data),
        };
        Ok(())
    }

    fn part(&mut self, response: &NetifRxResponse, page: u16) -> Result<(), RxError> {
        self.add(response, page)?;
        self.expect = after(response.flags & RXF_MORE_DATA != 0);
        Ok(())
    }

    fn extra(&mut self, slot: RxSlot, more_data: bool) {
        let extra = slot.extra();
        match extra.kind {
            EXTRA_TYPE_GSO => self.frame.meta.segment = extra.u[0],
            // Nothing else was asked for.
            _ => self.is_bad = true,
        }
        let has_more = extra.flags & EXTRA_FLAG_MORE != 0;
        self.expect = if has_more { Expect::Extra { more_data } } else { after(more_data) };
    }

    fn add(&mut self, response: &NetifRxResponse, page: u16) -> Result<(), RxError> {
        if response.id != page {
            return Err(RxError);
        }
        let Ok(len) = u16::try_from(response.status) else {
            self.is_bad = true;
            return Ok(());
        };
        if usize::from(response.offset) + usize::from(len) > PAGE_SIZE {
            return Err(RxError);
        }
        match self.frame.parts.get_mut(self.frame.count) {
            Some(part) => *part = Part { page, offset: response.offset, len },
            None => {
                self.is_bad = true;
                return Ok(());
            }
        }
        self.frame.count += 1;
        self.frame.len += usize::from(len);
        Ok(())
    }
}

const fn after(more_data: bool) -> Expect {
    if more_data {
        Expect::Part
    } else {
        Expect::First
    }
}

#[cfg(test)]
mod tests {
    use super::{Assembler, RxError};
    use crate::device::net::Checksum;
    use hypercall_abi::io::net::{
        NetifExtraInfo, NetifRxResponse, EXTRA_TYPE_GSO, RSP_ERROR, RXF_CSUM_BLANK, RXF_EXTRA_INFO,
        RXF_MORE_DATA,
    };
    use proptest::prelude::*;
    use pv_ring::RxSlot;
    use std::vec::Vec;

    fn slot(id: u16, offset: u16, flags: u16, status: i16) -> RxSlot {
        RxSlot::of_response(&NetifRxResponse { id, offset, flags, status })
    }

    #[test]
    fn a_frame_of_full_pages_is_one_piece() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.feed(slot(3, 0, RXF_MORE_DATA | RXF_CSUM_BLANK, 4096), 3), Ok(None));
        assert_eq!(assembler.feed(slot(4, 0, RXF_MORE_DATA, 4096), 4), Ok(None));
        let frame = assembler.feed(slot(5, 0, 0, 100), 5).expect("sound").expect("the last");
        assert_eq!((frame.len(), frame.slots()), (8292, 3));
        assert_eq!(frame.one_piece(), Some((3, 0)));
        assert_eq!(frame.meta().checksum, Checksum::Blank);
    }

    #[test]
    fn a_frame_across_the_end_of_the_circle_is_not() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.feed(slot(255, 0, RXF_MORE_DATA, 4096), 255), Ok(None));
        let frame = assembler.feed(slot(0, 0, 0, 100), 0).expect("sound").expect("the last");
        assert_eq!(frame.one_piece(), None);
        assert_eq!(frame.parts().collect::<Vec<_>>(), [(255, 0, 4096), (0, 0, 100)]);
    }

    #[test]
    fn extra_information_takes_a_page_and_a_failure_spoils_the_frame() {
        let mut assembler = Assembler::default();
        let extra = NetifExtraInfo { kind: EXTRA_TYPE_GSO, flags: 0, u: [1448, 1, 0] };
        assert_eq!(assembler.feed(slot(0, 0, RXF_EXTRA_INFO | RXF_MORE_DATA, 4096), 0), Ok(None));
        assert_eq!(assembler.feed(RxSlot::of_extra(&extra), 1), Ok(None));
        let frame = assembler.feed(slot(2, 0, 0, 50), 2).expect("sound").expect("the last");
        assert_eq!((frame.meta().segment, frame.slots(), frame.len()), (1448, 3, 4146));
        assert_eq!(frame.one_piece(), None);
        assert_eq!(assembler.feed(slot(3, 0, RXF_MORE_DATA, 4096), 3), Ok(None));
        let frame = assembler.feed(slot(4, 0, 0, RSP_ERROR), 4).expect("sound").expect("the last");
        assert!(frame.is_empty() && frame.slots() == 2 && frame.parts().next().is_none());
    }

    #[test]
    fn an_answer_for_another_page_or_beyond_it_is_impossible() {
        assert_eq!(Assembler::default().feed(slot(1, 0, 0, 60), 2), Err(RxError));
        assert_eq!(Assembler::default().feed(slot(2, 4090, 0, 60), 2), Err(RxError));
        assert_eq!(Assembler::default().feed(slot(2, 0, 0, i16::MAX), 2), Err(RxError));
    }

    proptest! {
        #[test]
        fn answers_of_anything_give_frames_inside_of_their_pages(
            answers in proptest::collection::vec((0u16..4096, any::<u16>(), -2i16..4200), 1..200),
        ) {
            let mut assembler = Assembler::default();
            let mut used = 0;
            for (page, (offset, flags, status)) in answers.into_iter().enumerate() {
                let page = page as u16;
                used += 1;
                match assembler.feed(slot(page, offset, flags, status), page) {
                    Ok(None) => {}
                    Ok(Some(frame)) => {
                        prop_assert_eq!(frame.slots(), used);
                        used = 0;
                        let sum: usize = frame.parts().map(|part| part.2).sum();
                        prop_assert_eq!(sum, frame.len());
                        prop_assert!(frame.parts().all(|(_, offset, len)| offset + len <= 4096));
                    }
                    Err(RxError) => break,
                }
            }
        }
    }
}
