//! What a slot of the ring says.
//!
//! Three layouts share the slot; the first byte tells which. Unknown operations and counts that cannot
//! be are refusals with the status that goes back.

use super::MAX_INDIRECT_SEGMENTS;
use hypercall_abi::io::block::{
    BlkifRequest, BlkifRequestDiscard, BlkifRequestIndirect, BlkifRequestSegment,
    MAX_INDIRECT_PAGES_PER_REQUEST, MAX_SEGMENTS_PER_REQUEST, OP_DISCARD, OP_FLUSH_DISKCACHE,
    OP_INDIRECT, OP_READ, OP_WRITE, OP_WRITE_BARRIER, RSP_EOPNOTSUPP, RSP_ERROR,
    SEGMENTS_PER_INDIRECT_FRAME,
};
use hypercall_abi::GrantRef;
use zerocopy::{FromBytes, IntoBytes};

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
}

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It makes no sense, or asks for what is not on the disk or not allowed.
    Invalid,
    /// The disk has no such operation.
    Unsupported,
}

impl Refusal {
    /// The status in the answer.
    #[must_use]
    pub const fn status(self) -> i16 {
        match self {
            Self::Invalid => RSP_ERROR,
            Self::Unsupported => RSP_EOPNOTSUPP,
        }
    }
}

/// What is asked for, not yet compared with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A transfer with its segments.
    Direct { direction: Direction, ordered: bool, segments: Segments },
    /// A transfer with its segments in other frames.
    Indirect { direction: Direction, count: u16, pages: Pages },
    /// Durability; `ordered` also keeps later requests behind it.
    Flush { ordered: bool },
    /// Sectors are not needed any more.
    Discard { sectors: u64, secure: bool },
}

/// Segments of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    all: [BlkifRequestSegment; MAX_SEGMENTS_PER_REQUEST],
    count: usize,
}

impl Segments {
    pub(super) fn iter(&self) -> impl Iterator<Item = &BlkifRequestSegment> {
        self.all.iter().take(self.count)
    }
}

/// Frames with segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    all: [GrantRef; MAX_INDIRECT_PAGES_PER_REQUEST],
    count: usize,
}

impl Pages {
    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = GrantRef> + '_ {
        self.all.iter().take(self.count).copied()
    }
}

/// A decoded slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Returned with the answer.
    pub id: u64,
    /// Named in the answer: of an indirect request, the operation that is meant.
    pub operation: u8,
    /// First sector.
    pub sector: u64,
    /// The rest.
    pub asked: Result<Asked, Refusal>,
}

/// Decodes a copy of a slot.
pub(super) fn decode(slot: &BlkifRequest) -> Request {
    match slot.operation {
        OP_INDIRECT => decode_indirect(&layout(slot)),
        OP_DISCARD => decode_discard(&layout(slot)),
        operation => {
            let (id, sector) = (slot.id, slot.sector_number);
            Request { id, operation, sector, asked: decode_direct(slot) }
        }
    }
}

/// The slot in one of its other layouts, which are not larger.
fn layout<T: FromBytes + Default>(slot: &BlkifRequest) -> T {
    T::read_from_prefix(slot.as_bytes()).map(|(value, _)| value).unwrap_or_default()
}

fn decode_direct(slot: &BlkifRequest) -> Result<Asked, Refusal> {
    let count = usize::from(slot.nr_segments);
    if count > MAX_SEGMENTS_PER_REQUEST {
        return Err(Refusal::Invalid);
    }
    let segments = Segments { all: slot.seg, count };
    let transfer = |direction, ordered| match count {
        0 => Err(Refusal::Invalid),
        _ => Ok(Asked::Direct { direction, ordered, segments }),
    };
    match slot.operation {
        OP_READ => transfer(Direction::Read, false),
        OP_WRITE => transfer(Direction::Write, false),
        OP_WRITE_BARRIER if count == 0 => Ok(Asked::Flush { ordered: true }),
        OP_FLUSH_DISKCACHE if count == 0 => Ok(Asked::Flush { ordered: false }),
        // A flush with data is a write behind everything that was asked before.
        OP_WRITE_BARRIER | OP_FLUSH_DISKCACHE => transfer(Direction::Write, true),
        _ => Err(Refusal::Unsupported),
    }
}

fn decode_indirect(slot: &BlkifRequestIndirect) -> Request {
    let count = usize::from(slot.nr_segments);
    let direction = match slot.indirect_op {
        OP_READ => Ok(Direction::Read),
        OP_WRITE => Ok(Direction::Write),
        _ => Err(Refusal::Unsupported),
    };
    let asked = direction.and_then(|direction| {
        if count == 0 || count > MAX_INDIRECT_SEGMENTS {
            return Err(Refusal::Invalid);
        }
        let pages = count.div_ceil(SEGMENTS_PER_INDIRECT_FRAME);
        let pages = Pages { all: slot.indirect_grefs, count: pages };
        Ok(Asked::Indirect { direction, count: slot.nr_segments, pages })
    });
    Request { id: slot.id, operation: slot.indirect_op, sector: slot.sector_number, asked }
}

fn decode_discard(slot: &BlkifRequestDiscard) -> Request {
    let asked = Ok(Asked::Discard { sectors: slot.nr_sectors, secure: slot.flag & 1 != 0 });
    Request { id: slot.id, operation: slot.operation, sector: slot.sector_number, asked }
}
