//! Requests against the disk.
//!
//! A `Job` can be done: its sectors are on the disk, its segments inside of their frames, and the disk
//! may be written if it writes.

use super::request::{Asked, Direction, Pages, Refusal};
use super::SECTORS_PER_FRAME;
use alloc::vec::Vec;
use hypercall_abi::io::block::{BlkifRequestSegment, SECTOR_SIZE};
use hypercall_abi::GrantRef;
use zerocopy::FromBytes;

/// What requests are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether sectors can be forgotten.
    pub can_discard: bool,
}

/// A part of a granted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The frame.
    pub gref: GrantRef,
    /// First byte, a multiple of the sector size.
    pub offset: u16,
    /// Bytes, at least a sector; they end inside of the frame.
    pub len: u16,
}

/// Bytes between the disk and granted frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// First sector.
    pub sector: u64,
    /// Sectors in all; they are on the disk.
    pub sectors: u32,
    /// Where the bytes are, in the order of the disk.
    pub segments: Vec<Segment>,
    /// Whether it is to be durable before it is answered.
    pub durable: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Move bytes.
    Transfer(Transfer),
    /// Copy `count` segments out of these frames and give them to [`indirect`].
    Fetch {
        /// Which way the bytes will go.
        direction: Direction,
        /// First sector.
        sector: u64,
        /// Segments.
        count: u16,
        /// The frames.
        pages: Pages,
    },
    /// Make all finished writes durable.
    Flush,
    /// Forget sectors, which are on the disk.
    Discard {
        /// First sector.
        sector: u64,
        /// Sectors.
        sectors: u64,
    },
}

impl Disk {
    /// Whether the sectors are on the disk.
    fn holds(&self, sector: u64, sectors: u64) -> Result<(), Refusal> {
        let end = sector.checked_add(sectors).ok_or(Refusal::Invalid)?;
        if end > self.sectors {
            return Err(Refusal::Invalid);
        }
        Ok(())
    }

    fn may(&self, direction: Direction) -> Result<(), Refusal> {
        match direction {
            Direction::Write if self.read_only => Err(Refusal::Invalid),
            _ => Ok(()),
        }
    }

    pub(super) fn check(&self, sector: u64, asked: Asked) -> Result<Job, Refusal> {
        match asked {
            Asked::Direct { direction, ordered, segments } => {
                self.transfer(direction, sector, segments.iter(), ordered).map(Job::Transfer)
            }
            Asked::Indirect { direction, count, pages } => {
                self.may(direction)?;
                self.holds(sector, u64::from(count))?;
                Ok(Job::Fetch { direction, sector, count, pages })
            }
            Asked::Flush { .. } => Ok(Job::Flush),
            Asked::Discard { secure: true, .. } => Err(Refusal::Unsupported),
            Asked::Discard { .. } if !self.can_discard => Err(Refusal::Unsupported),
            Asked::Discard { sectors, .. } => {
                self.may(Direction::Write)?;
                self.holds(sector, sectors)?;
                Ok(Job::Discard { sector, sectors })
            }
        }
    }

    fn transfer<'a>(
        &self,
        direction: Direction,
        sector: u64,
        raw: impl Iterator<Item = &'a BlkifRequestSegment>,
        durable: bool,
    ) -> Result<Transfer, Refusal> {
        self.may(direction)?;
        let mut segments = Vec::with_capacity(raw.size_hint().1.unwrap_or(0));
        let mut sectors = 0;
        for segment in raw {
            let (checked, count) = check_segment(segment)?;
            segments.push(checked);
            sectors += count;
        }
        self.holds(sector, u64::from(sectors))?;
        Ok(Transfer { direction, sector, sectors, segments, durable })
    }
}

fn check_segment(raw: &BlkifRequestSegment) -> Result<(Segment, u32), Refusal> {
    if raw.first_sect > raw.last_sect || raw.last_sect >= SECTORS_PER_FRAME {
        return Err(Refusal::Invalid);
    }
    let count = raw.last_sect - raw.first_sect + 1;
    let bytes = |sectors: u8| u16::from(sectors) * SECTOR_SIZE as u16;
    let segment = Segment { gref: raw.gref, offset: bytes(raw.first_sect), len: bytes(count) };
    Ok((segment, u32::from(count)))
}

/// The transfer of an indirect request, from a copy of its segments.
///
/// # Errors
/// When a segment makes no sense or the whole is not on the disk.
pub fn indirect(
    disk: &Disk,
    direction: Direction,
    sector: u64,
    copy: &[u8],
) -> Result<Transfer, Refusal> {
    let (raw, rest) = <[BlkifRequestSegment]>::ref_from_prefix_with_elems(copy, elements(copy))
        .map_err(|_| Refusal::Invalid)?;
    if raw.is_empty() || !rest.is_empty() {
        return Err(Refusal::Invalid);
    }
    disk.transfer(direction, sector, raw.iter(), false)
}

const fn elements(copy: &[u8]) -> usize {
    copy.len() / size_of::<BlkifRequestSegment>()
}
