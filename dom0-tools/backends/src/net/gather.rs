//! Packets out of the slots of a guest's outgoing ring.
//!
//! The back half feeds slot after slot; what comes out is a packet whose parts lie inside of their
//! pages and sum up, or a refusal. Holds always, whatever the slots say: each slot that was fed is
//! answered exactly once, by the packet or the refusal it belongs to; a packet has 1 to 18 parts,
//! none longer than a page; nothing is stored beyond that. Nothing here copies or answers.

use hypercall_abi::io::net::{
    NetifTxRequest, NetifTxResponse, EXTRA_FLAG_MORE, EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, NR_SLOTS_MIN,
    RSP_NULL, TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TXF_EXTRA_INFO, TXF_MORE_DATA,
};
use hypercall_abi::{GrantRef, PAGE_SIZE};
use pv_ring::TxSlot;
use pvkernel_core::device::net::{Checksum, FrameMeta, ETHERNET_HEAD};

/// Most parts of a packet.
pub const MAX_PARTS: usize = NR_SLOTS_MIN as usize;
/// Most extra slots of a packet: one of each kind.
const MAX_EXTRAS: u8 = 4;

/// A part of a packet, inside of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The page.
    pub gref: GrantRef,
    /// Names the slot in its answer.
    pub id: u16,
    /// First byte in the page.
    pub offset: u16,
    /// Bytes.
    pub len: u16,
}

/// A packet of a guest, or what was gathered of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    parts: [Part; MAX_PARTS],
    count: u8,
    extras: u8,
    total: u16,
    meta: FrameMeta,
}

impl Packet {
    /// The parts in the order of their bytes.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        self.parts.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Bytes of the packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.total as usize
    }

    /// Whether there are none; never true for a packet that came out complete.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// What the guest says about it.
    #[must_use]
    pub const fn meta(&self) -> FrameMeta {
        self.meta
    }

    /// One answer for each slot of the packet.
    pub fn answers(&self, status: i16) -> impl Iterator<Item = NetifTxResponse> + '_ {
        let parts = self.parts().iter().map(move |part| NetifTxResponse { id: part.id, status });
        let extras = (0..self.extras).map(|_| NetifTxResponse { id: 0, status: RSP_NULL });
        parts.chain(extras)
    }

    fn add(&mut self, req: &NetifTxRequest) -> bool {
        let Some(part) = self.parts.get_mut(usize::from(self.count)) else { return false };
        *part = Part { gref: req.gref, id: req.id, offset: req.offset, len: req.size };
        self.count += 1;
        true
    }
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More than 18 parts, or extra information without end.
    TooManySlots,
    /// A part leaves its page.
    CrossesPage,
    /// The parts are longer than the packet, or one of them is empty.
    WrongSum,
    /// Shorter than an Ethernet head.
    TooShort,
    /// Extra information of a kind that was not offered.
    UnknownExtra,
}

/// What a slot led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The packet goes on in the next slot.
    More,
    /// A packet.
    Complete(Packet),
    /// All slots in here are to be answered as wrong.
    Refused(Packet, Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The first request of a packet.
    First,
    /// Extra information; a further part follows it or not.
    Extra { more_data: bool },
    /// A further part.
    Part,
}

/// Puts slots together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gatherer {
    packet: Packet,
    expect: Expect,
    /// The rest of the packet is refused, too.
    refused: Option<Refusal>,
}

impl Gatherer {
    /// At the beginning of a packet.
    #[must_use]
    pub fn new() -> Self {
        Self { packet: Packet::default(), expect: Expect::First, refused: None }
    }

    /// Takes the next slot.
    pub fn feed(&mut self, slot: TxSlot) -> Step {
        match self.expect {
            Expect::First => self.first(&slot.request()),
            Expect::Part => self.part(&slot.request()),
            Expect::Extra { more_data } => self.extra(slot, more_data),
        }
        match (self.refused, self.expect) {
            (Some(refusal), _) => self.refuse(refusal),
            (None, Expect::First) => self.complete(),
            (None, _) => Step::More,
        }
    }

    fn first(&mut self, req: &NetifTxRequest) {
        self.packet.add(req);
        self.packet.total = req.size;
        self.packet.meta.checksum = match req.flags {
            flags if flags & TXF_CSUM_BLANK != 0 => Checksum::Blank,
            flags if flags & TXF_DATA_VALIDATED != 0 => Checksum::Valid,
            _ => Checksum::Unknown,
        };
        let more_data = req.flags & TXF_MORE_DATA != 0;
        self.expect = match req.flags & TXF_EXTRA_INFO != 0 {
            true => Expect::Extra { more_data },
            false => after(more_data),
        };
    }

    fn part(&mut self, req: &NetifTxRequest) {
        if !self.packet.add(req) {
            // Room for it was made when the packet was refused, so this cannot lose an answer.
            self.refused = Some(Refusal::TooManySlots);
        } else if usize::from(self.packet.count) == MAX_PARTS && req.flags & TXF_MORE_DATA != 0 {
            self.refused = Some(Refusal::TooManySlots);
        }
        self.expect = after(req.flags & TXF_MORE_DATA != 0);
    }

    fn extra(&mut self, slot: TxSlot, more_data: bool) {
        let extra = slot.extra();
        self.packet.extras += 1;
        let has_more = extra.flags & EXTRA_FLAG_MORE != 0;
        if self.packet.extras == MAX_EXTRAS && has_more {
            self.refused = Some(Refusal::TooManySlots);
        }
        let [size, kind, _] = extra.u;
        // The kind of segmentation is the low byte of its word.
        let is_tcpv4 = extra.kind == EXTRA_TYPE_GSO && kind as u8 == GSO_TYPE_TCPV4;
        if is_tcpv4 && size != 0 && self.packet.meta.segment == 0 {
            self.packet.meta.segment = size;
        } else {
            self.refused = self.refused.or(Some(Refusal::UnknownExtra));
        }
        self.expect = if has_more { Expect::Extra { more_data } } else { after(more_data) };
    }

    /// Gives up all slots gathered; those that still come are refused one by one.
    fn refuse(&mut self, refusal: Refusal) -> Step {
        if self.expect == Expect::First {
            self.refused = None;
        }
        Step::Refused(core::mem::take(&mut self.packet), refusal)
    }

    fn complete(&mut self) -> Step {
        let mut packet = core::mem::take(&mut self.packet);
        match check(&mut packet) {
            Ok(()) => Step::Complete(packet),
            Err(refusal) => Step::Refused(packet, refusal),
        }
    }
}

impl Default for Gatherer {
    fn default() -> Self {
        Self::new()
    }
}

const fn after(more_data: bool) -> Expect {
    if more_data {
        Expect::Part
    } else {
        Expect::First
    }
}

/// The first request's size is the packet's: what the other parts leave is its own.
fn check(packet: &mut Packet) -> Result<(), Refusal> {
    let parts = packet.parts.get_mut(..usize::from(packet.count)).unwrap_or_default();
    let Some((first, others)) = parts.split_first_mut() else { return Err(Refusal::TooShort) };
    if usize::from(packet.total) < ETHERNET_HEAD {
        return Err(Refusal::TooShort);
    }
    let mut left = packet.total;
    for part in &*others {
        left = left.checked_sub(part.len).filter(|_| part.len > 0).ok_or(Refusal::WrongSum)?;
    }
    if left == 0 {
        return Err(Refusal::WrongSum);
    }
    first.len = left;
    let leaves = |part: &Part| usize::from(part.offset) + usize::from(part.len) > PAGE_SIZE;
    match leaves(first) || others.iter().any(leaves) {
        true => Err(Refusal::CrossesPage),
        false => Ok(()),
    }
}
