//! Frames into the pages a guest posted for them.
//!
//! A frame takes one request per page of it, and one for extra information when the guest wants to
//! know how to cut it. Answers go into the slots of the requests they use, in order. Holds always:
//! each request that was taken is answered once, and no more requests are taken than a frame needs.

use alloc::collections::VecDeque;
use hypercall_abi::io::net::{
    NetifExtraInfo, NetifRxRequest, NetifRxResponse, EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, RSP_ERROR,
    RXF_CSUM_BLANK, RXF_DATA_VALIDATED, RXF_EXTRA_INFO, RXF_MORE_DATA,
};
use hypercall_abi::{GrantRef, PAGE_SIZE};
use pv_ring::{BackRing, NetRxPage, RingCorrupt, RxSlot};
use pvkernel_core::device::net::{Checksum, FrameMeta};

/// Most pages of a frame.
pub const MAX_PAGES: usize = 16;
/// Most requests of a frame: its pages and the extra information.
const MAX_REQUESTS: usize = MAX_PAGES + 1;

/// The requests of a guest, and the answers to them.
#[derive(Debug)]
pub struct Posted {
    ring: BackRing,
    /// Taken out of the ring, not used yet.
    taken: VecDeque<NetifRxRequest>,
}

impl Posted {
    /// Takes over a ring.
    #[must_use]
    pub fn attach(ring: &NetRxPage) -> Self {
        Self { ring: BackRing::attach(ring), taken: VecDeque::with_capacity(MAX_REQUESTS) }
    }

    /// Whether that many requests are posted.
    ///
    /// # Errors
    /// The guest's indices are impossible.
    pub fn has(&mut self, ring: &NetRxPage, count: usize) -> Result<bool, RingCorrupt> {
        while self.taken.len() < count.min(MAX_REQUESTS) {
            match self.ring.pop(ring)? {
                Some(request) => self.taken.push_back(request),
                None => return Ok(false),
            }
        }
        Ok(self.taken.len() >= count)
    }

    /// Takes the requests for a frame; none when there are too few.
    ///
    /// # Errors
    /// The guest's indices are impossible.
    pub fn take(
        &mut self,
        ring: &NetRxPage,
        len: usize,
        meta: FrameMeta,
        tells_segment: bool,
    ) -> Result<Option<Sent>, RingCorrupt> {
        let has_extra = tells_segment && meta.segment != 0;
        let pages = len.div_ceil(PAGE_SIZE);
        let count = pages + usize::from(has_extra);
        if len == 0 || pages > MAX_PAGES || !self.has(ring, count)? {
            return Ok(None);
        }
        let mut sent = Sent { len, meta, has_extra, ..Sent::default() };
        for (slot, request) in sent.requests.iter_mut().zip(self.taken.drain(..count)) {
            *slot = (request.id, request.gref);
        }
        Ok(Some(sent))
    }

    /// Answers the requests of a frame; without `is_copied` as failed.
    pub fn answer(&mut self, ring: &NetRxPage, sent: &Sent, is_copied: bool) {
        for slot in sent.answers(is_copied) {
            // There is a request for each answer by construction.
            let _ = self.ring.push(ring, &slot);
        }
    }

    /// Publishes the answers; true if the guest is to be notified.
    #[must_use]
    pub fn publish(&mut self, ring: &NetRxPage) -> bool {
        self.ring.publish(ring)
    }

    /// Asks to be notified of the next request; true if one came in meanwhile.
    ///
    /// # Errors
    /// The guest's indices are impossible.
    pub fn arm(&self, ring: &NetRxPage) -> Result<bool, RingCorrupt> {
        self.ring.arm(ring)
    }
}

/// A frame on its way into posted pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    len: usize,
    meta: FrameMeta,
    has_extra: bool,
    /// Names and pages, in the order of the ring; the second is the extra information's if there
    /// is any.
    requests: [(u16, GrantRef); MAX_REQUESTS],
}

impl Sent {
    /// The pages, in the order of the frame's bytes; all but the last are filled wholly.
    pub fn pages(&self) -> impl Iterator<Item = (u16, GrantRef)> + '_ {
        let skipped = usize::from(self.has_extra);
        let pages = self.len.div_ceil(PAGE_SIZE);
        let others = self.requests.iter().skip(1 + skipped);
        self.requests.iter().take(1).chain(others).take(pages).copied()
    }

    fn answers(&self, is_copied: bool) -> impl Iterator<Item = RxSlot> + '_ {
        let pages = self.len.div_ceil(PAGE_SIZE);
        let extra = self.has_extra.then(|| RxSlot::of_extra(&segment_info(self.meta.segment)));
        let mut parts = self.pages().enumerate().map(move |(at, (id, _))| {
            let left = self.len - at * PAGE_SIZE;
            let more = if at + 1 < pages { RXF_MORE_DATA } else { 0 };
            let flags = if at == 0 { self.first_flags() | more } else { more };
            // A page holds at most 4096 bytes, so the number fits.
            let status = if is_copied { left.min(PAGE_SIZE) as i16 } else { RSP_ERROR };
            RxSlot::of_response(&NetifRxResponse { id, offset: 0, flags, status })
        });
        let first = parts.next();
        first.into_iter().chain(extra).chain(parts)
    }

    fn first_flags(&self) -> u16 {
        let checksum = match self.meta.checksum {
            Checksum::Blank => RXF_CSUM_BLANK | RXF_DATA_VALIDATED,
            Checksum::Valid => RXF_DATA_VALIDATED,
            Checksum::Unknown => 0,
        };
        checksum | if self.has_extra { RXF_EXTRA_INFO } else { 0 }
    }
}

const fn segment_info(segment: u16) -> NetifExtraInfo {
    NetifExtraInfo { kind: EXTRA_TYPE_GSO, flags: 0, u: [segment, GSO_TYPE_TCPV4 as u16, 0] }
}
