//! Requests as slots of the ring.

use crate::device::block::{BlockInfo, BlockOp};
use alloc::vec::Vec;
use hypercall_abi::io::block::{
    BlkifRequest, BlkifRequestDiscard, BlkifRequestIndirect, BlkifRequestSegment,
    MAX_SEGMENTS_PER_REQUEST, OP_DISCARD, OP_FLUSH_DISKCACHE, OP_INDIRECT, OP_READ, OP_WRITE,
    OP_WRITE_BARRIER, VDISK_READONLY,
};
use hypercall_abi::GrantRef;
use zerocopy::{FromZeros, IntoBytes};

/// Most segments this half puts into an indirect request: 1 MiB. They fit one page of segments.
pub const MAX_INDIRECT: usize = 256;
const SECTORS_PER_PAGE: u32 = 8;

/// What a back half says about itself and the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// `VDISK_*`.
    pub info: u32,
    /// `feature-flush-cache`.
    pub flush: bool,
    /// `feature-barrier`.
    pub barrier: bool,
    /// `feature-discard`.
    pub discard: bool,
    /// `feature-max-indirect-segments`; 0 when it has none.
    pub indirect: u32,
}

impl Features {
    /// Most pages in one request.
    #[must_use]
    pub const fn max_pages(&self) -> usize {
        let indirect = self.indirect as usize;
        if indirect < MAX_SEGMENTS_PER_REQUEST {
            MAX_SEGMENTS_PER_REQUEST
        } else if indirect < MAX_INDIRECT {
            indirect
        } else {
            MAX_INDIRECT
        }
    }

    /// The disk for whoever uses it.
    #[must_use]
    pub const fn block_info(&self, depth: u32) -> BlockInfo {
        BlockInfo {
            sectors: self.sectors,
            read_only: self.info & VDISK_READONLY != 0,
            can_flush: self.flush || self.barrier,
            can_discard: self.discard,
            max_sectors: self.max_pages() as u32 * SECTORS_PER_PAGE,
            depth,
        }
    }
}

/// A request, with its pages by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What to do.
    pub op: BlockOp,
    /// First sector.
    pub sector: u64,
    /// Sectors.
    pub sectors: u32,
    /// First page of the buffer.
    pub page: usize,
}

impl Operation {
    /// Pages that are used.
    #[must_use]
    pub const fn pages(&self) -> usize {
        match self.op {
            BlockOp::Read | BlockOp::Write => self.sectors.div_ceil(SECTORS_PER_PAGE) as usize,
            BlockOp::Flush | BlockOp::Discard => 0,
        }
    }

    /// Whether the segments need a page of their own.
    #[must_use]
    pub const fn is_indirect(&self) -> bool {
        self.pages() > MAX_SEGMENTS_PER_REQUEST
    }

    fn segments<'a>(&self, refs: &'a [GrantRef]) -> impl Iterator<Item = BlkifRequestSegment> + 'a {
        let refs = refs.get(self.page..).unwrap_or(&[]).iter().take(self.pages());
        let sectors = self.sectors;
        refs.zip(0..).map(move |(gref, page)| {
            let left = sectors.saturating_sub(page * SECTORS_PER_PAGE).min(SECTORS_PER_PAGE);
            let last_sect = left.saturating_sub(1) as u8;
            BlkifRequestSegment { gref: *gref, first_sect: 0, last_sect, ..Default::default() }
        })
    }
}

/// A request on its way into the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// All of it.
    Slot(BlkifRequest),
    /// The segments belong into the page named by the slot.
    WithSegments(BlkifRequest, Vec<BlkifRequestSegment>),
}

/// Writes a request down. `refs` are the grants of all pages by number, `list` that of the page for
/// segments. `None` for what cannot be said to this back half.
#[must_use]
pub fn encode(
    id: u64,
    operation: &Operation,
    features: &Features,
    refs: &[GrantRef],
    list: Option<GrantRef>,
) -> Option<Encoded> {
    let Operation { op, sector, sectors, .. } = *operation;
    match op {
        BlockOp::Flush => flush(id, features).map(Encoded::Slot),
        BlockOp::Discard => features.discard.then(|| Encoded::Slot(discard(id, sector, sectors))),
        BlockOp::Read | BlockOp::Write => transfer(id, operation, features, refs, list),
    }
}

fn flush(id: u64, features: &Features) -> Option<BlkifRequest> {
    let operation = match (features.flush, features.barrier) {
        (true, _) => OP_FLUSH_DISKCACHE,
        (false, true) => OP_WRITE_BARRIER,
        (false, false) => return None,
    };
    Some(BlkifRequest { operation, id, ..BlkifRequest::default() })
}

fn discard(id: u64, sector: u64, sectors: u32) -> BlkifRequest {
    slot(&BlkifRequestDiscard {
        operation: OP_DISCARD,
        id,
        sector_number: sector,
        nr_sectors: u64::from(sectors),
        ..BlkifRequestDiscard::default()
    })
}

fn transfer(
    id: u64,
    operation: &Operation,
    features: &Features,
    refs: &[GrantRef],
    list: Option<GrantRef>,
) -> Option<Encoded> {
    let pages = operation.pages();
    let is_known = operation.page.checked_add(pages).is_some_and(|end| end <= refs.len());
    if pages == 0 || pages > features.max_pages() || !is_known {
        return None;
    }
    let code = if operation.op == BlockOp::Write { OP_WRITE } else { OP_READ };
    if operation.is_indirect() {
        return Some(indirect(id, code, operation, refs, list?));
    }
    let mut request = BlkifRequest {
        operation: code,
        nr_segments: pages as u8,
        id,
        sector_number: operation.sector,
        ..BlkifRequest::default()
    };
    request.seg.iter_mut().zip(operation.segments(refs)).for_each(|(to, from)| *to = from);
    Some(Encoded::Slot(request))
}

fn indirect(
    id: u64,
    code: u8,
    operation: &Operation,
    refs: &[GrantRef],
    list: GrantRef,
) -> Encoded {
    let mut request = BlkifRequestIndirect {
        operation: OP_INDIRECT,
        indirect_op: code,
        nr_segments: operation.pages() as u16,
        id,
        sector_number: operation.sector,
        ..BlkifRequestIndirect::default()
    };
    request.indirect_grefs[0] = list;
    Encoded::WithSegments(slot(&request), operation.segments(refs).collect())
}

/// One of the smaller layouts as a slot.
fn slot<T: IntoBytes + zerocopy::Immutable>(layout: &T) -> BlkifRequest {
    let mut request = BlkifRequest::new_zeroed();
    let bytes = layout.as_bytes();
    if let Some(head) = request.as_mut_bytes().get_mut(..bytes.len()) {
        head.copy_from_slice(bytes);
    }
    request
}
