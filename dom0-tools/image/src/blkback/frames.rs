//! The bytes of a front half.
//!
//! With persistent grants, frames stay mapped once they were used, at places that `Table` gives out;
//! otherwise the hypervisor copies, and nothing of the other domain is ever mapped but its ring.
//! Either way bytes go straight between the disk's memory and the frames.

use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, GrantRef, PAGE_SIZE};
use pvkernel_xen::grants::{CopyQueue, GrantSlots};
use zl_backends::blk::{Direction, Place, Run, Runs, Segment, Table, MAX_PERSISTENT};

/// Bytes of a segment in a list.
const LISTED: usize = 8;

/// How the frames of a front half are reached.
pub enum Frames {
    /// Mapped.
    Mapped(Mapped),
    /// Copied by the hypervisor.
    Copied {
        /// Whose they are.
        peer: DomId,
        /// Memory for the lists of copies.
        queue: CopyQueue,
    },
}

/// Frames that stay mapped.
pub struct Mapped {
    slots: GrantSlots,
    table: Table,
    /// The places of the request at hand, in its order.
    places: Vec<u16>,
    wanted: Vec<(u16, GrantRef)>,
    displaced: Vec<u16>,
}

impl Frames {
    /// The frames of a front half that has persistent grants, or has not.
    pub fn new(peer: DomId, is_persistent: bool) -> Result<Self, Errno> {
        if !is_persistent {
            return Ok(Self::Copied { peer, queue: CopyQueue::new() });
        }
        Ok(Self::Mapped(Mapped {
            slots: GrantSlots::new(peer, MAX_PERSISTENT)?,
            table: Table::new(MAX_PERSISTENT),
            places: Vec::new(),
            wanted: Vec::new(),
            displaced: Vec::new(),
        }))
    }

    /// Makes the frames of a request reachable. To be called before `copy` of the same segments.
    pub fn prepare(&mut self, segments: &[Segment]) -> Result<(), Errno> {
        match self {
            Self::Mapped(mapped) => mapped.prepare(segments.iter().map(|segment| segment.gref)),
            Self::Copied { .. } => Ok(()),
        }
    }

    /// Moves bytes between `memory` and the segments, beginning `skip` bytes into them.
    pub fn copy(
        &mut self,
        direction: Direction,
        segments: &[Segment],
        skip: usize,
        memory: &mut [u8],
    ) -> Result<(), Errno> {
        match self {
            Self::Mapped(mapped) => mapped.copy(direction, segments, skip, memory),
            Self::Copied { peer, queue } => {
                copy_granted(*peer, queue, direction, (segments, skip), memory)
            }
        }
    }

    /// Copies a list of `count` segments out of the first of `pages`.
    pub fn fetch(
        &mut self,
        pages: impl Iterator<Item = GrantRef>,
        count: u16,
    ) -> Result<Vec<u8>, Errno> {
        let mut copy = vec![0; usize::from(count) * LISTED];
        let pages: Vec<GrantRef> = pages.collect();
        if pages.len() * PAGE_SIZE < copy.len() {
            return Err(Errno::EINVAL);
        }
        let whole = |gref: &GrantRef| Segment { gref: *gref, offset: 0, len: PAGE_SIZE as u16 };
        let segments: Vec<Segment> = pages.iter().map(whole).collect();
        self.prepare(&segments)?;
        self.copy(Direction::Write, &segments, 0, &mut copy)?;
        Ok(copy)
    }
}

impl Mapped {
    fn prepare(&mut self, refs: impl Iterator<Item = GrantRef>) -> Result<(), Errno> {
        self.table.begin();
        self.places.clear();
        self.wanted.clear();
        self.displaced.clear();
        for gref in refs {
            let place = self.table.place(gref).ok_or(Errno::ENOSPC);
            let place = match place {
                Ok(place) => place,
                Err(errno) => {
                    self.forget_wanted();
                    return Err(errno);
                }
            };
            self.places.push(place.index());
            match place {
                Place::Mapped(_) => {}
                Place::Vacant(at) => self.wanted.push((at, gref)),
                Place::Occupied(at) => {
                    self.displaced.push(at);
                    self.wanted.push((at, gref));
                }
            }
        }
        if self.wanted.is_empty() {
            return Ok(());
        }
        self.slots.unmap(&self.displaced);
        let verdict = self.slots.map(&self.wanted);
        if verdict.is_err() {
            self.forget_wanted();
        }
        verdict
    }

    /// Frees the places at which nothing is mapped after all.
    fn forget_wanted(&mut self) {
        self.slots.unmap(&self.displaced);
        for (at, _) in &self.wanted {
            if !self.slots.is_mapped(*at) {
                self.table.forget(*at);
            }
        }
    }

    fn copy(
        &self,
        direction: Direction,
        segments: &[Segment],
        skip: usize,
        mut memory: &mut [u8],
    ) -> Result<(), Errno> {
        for Run { place, offset, len } in Runs::new(segments, &self.places, skip, memory.len()) {
            let (piece, rest) = memory.split_at_mut(len);
            match direction {
                Direction::Read => self.slots.write(place, offset, piece)?,
                Direction::Write => self.slots.read(place, offset, piece)?,
            }
            memory = rest;
        }
        Ok(())
    }
}

fn copy_granted(
    peer: DomId,
    queue: &mut CopyQueue,
    direction: Direction,
    (segments, mut skip): (&[Segment], usize),
    mut memory: &mut [u8],
) -> Result<(), Errno> {
    let mut batch = queue.batch();
    for segment in segments {
        let len = usize::from(segment.len);
        if skip >= len {
            skip -= len;
            continue;
        }
        if memory.is_empty() {
            break;
        }
        let offset = usize::from(segment.offset) + skip;
        let (piece, rest) = memory.split_at_mut((len - skip).min(memory.len()));
        match direction {
            Direction::Read => batch.to_peer(piece, peer, segment.gref, offset),
            Direction::Write => batch.from_peer(peer, segment.gref, offset, piece),
        }
        (memory, skip) = (rest, 0);
    }
    batch.run().iter().copied().collect()
}
