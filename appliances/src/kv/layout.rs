//! How the data lies on the disk.
//!
//! Sectors 0 and 1 hold a header each; the valid one with the higher generation counts. From sector 8
//! on lie two halves of equal size, of which the header names the one in use. A half is a log of frames
//! that begin at sector boundaries, so that no acknowledged byte is ever written again. A frame says
//! which generation it is of, which number it has and how long it is; its sum covers all of that, its
//! contents, and the header's salt, which clients do not know: they cannot store bytes that look like a
//! frame.

use alloc::vec::Vec;

use super::crc::Crc;

/// Bytes in a sector.
pub const SECTOR: usize = 512;
/// The first sector of the first half.
pub const FIRST: u64 = 8;
/// Bytes in front of a frame's contents.
pub const FRAME_HEAD: usize = 32;
/// Most bytes of a frame's contents.
pub const MAX_CONTENTS: usize = 256 << 10;

const MAGIC: [u8; 8] = *b"ZENDOKV1";
const FRAME_MAGIC: [u8; 4] = *b"KVF1";
/// Bytes of a header that are summed.
const HEADER: usize = 56;

/// What is in use, and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Grows by one with each change of halves.
    pub generation: u64,
    /// The half in use: 0 or 1.
    pub half: u64,
    /// Sectors in a half.
    pub half_sectors: u64,
    /// Goes into the sums of frames.
    pub salt: u64,
    /// The number of the half's first frame.
    pub first_number: u64,
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Whether a sector begins like a header, valid or not.
pub fn looks_like_header(sector: &[u8]) -> bool {
    sector.starts_with(&MAGIC)
}

impl Header {
    /// The sector this header is written to: the one the previous generation is not in.
    pub const fn slot(&self) -> u64 {
        self.generation % 2
    }

    /// The first sector of the half in use.
    pub const fn start(&self) -> u64 {
        FIRST + self.half * self.half_sectors
    }

    /// The header as a sector.
    pub fn encode(&self) -> Vec<u8> {
        let mut sector = Vec::with_capacity(SECTOR);
        sector.extend(MAGIC);
        let words =
            [self.generation, self.half, self.half_sectors, self.salt, self.first_number, 0];
        words.iter().for_each(|word| sector.extend(word.to_le_bytes()));
        sector.extend(Crc::new().add(&sector).finish().to_le_bytes());
        sector.resize(SECTOR, 0);
        sector
    }

    /// The header in a sector, if it is valid there and on a disk of that size.
    pub fn decode(sector: &[u8], slot: u64, disk_sectors: u64) -> Option<Self> {
        let summed = sector.get(..HEADER)?;
        if !looks_like_header(sector) || short(sector, HEADER)? != Crc::new().add(summed).finish() {
            return None;
        }
        let header = Self {
            generation: word(sector, 8)?,
            half: word(sector, 16)?,
            half_sectors: word(sector, 24)?,
            salt: word(sector, 32)?,
            first_number: word(sector, 40)?,
        };
        let end = header.half_sectors.checked_mul(2)?.checked_add(FIRST)?;
        let is_possible = header.half < 2 && end <= disk_sectors && header.slot() == slot;
        is_possible.then_some(header)
    }
}

/// Sectors a frame with so many bytes of contents takes.
pub const fn frame_sectors(contents: usize) -> u64 {
    (FRAME_HEAD + contents).div_ceil(SECTOR) as u64
}

fn frame_head(header: &Header, number: u64, len: u32) -> [u8; FRAME_HEAD - 8] {
    let mut head = [0; FRAME_HEAD - 8];
    head[..4].copy_from_slice(&FRAME_MAGIC);
    head[4..8].copy_from_slice(&len.to_le_bytes());
    head[8..16].copy_from_slice(&header.generation.to_le_bytes());
    head[16..24].copy_from_slice(&number.to_le_bytes());
    head
}

fn frame_sum(header: &Header, head: &[u8], contents: &[u8]) -> u32 {
    Crc::new().add(&header.salt.to_le_bytes()).add(head).add(contents).finish()
}

/// A frame as whole sectors.
pub fn encode_frame(header: &Header, number: u64, contents: &[u8]) -> Vec<u8> {
    let head = frame_head(header, number, contents.len() as u32);
    let len = frame_sectors(contents.len()) as usize * SECTOR;
    let mut bytes = Vec::with_capacity(len);
    bytes.extend(head);
    bytes.extend(frame_sum(header, &head, contents).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(contents);
    bytes.resize(len, 0);
    bytes
}

/// The length of the contents of the frame that begins in a sector, if it is the one that is expected.
pub fn frame_len(header: &Header, number: u64, sector: &[u8]) -> Option<usize> {
    let len = short(sector, 4)?;
    let is_expected = sector.starts_with(&frame_head(header, number, len));
    (is_expected && len as usize <= MAX_CONTENTS).then_some(len as usize)
}

/// The contents of a frame that was read wholly, if they are as they were written.
pub fn frame_contents<'a>(header: &Header, bytes: &'a [u8], len: usize) -> Option<&'a [u8]> {
    let head = bytes.get(..FRAME_HEAD - 8)?;
    let contents = bytes.get(FRAME_HEAD..FRAME_HEAD.checked_add(len)?)?;
    let sum = short(bytes, FRAME_HEAD - 8)?;
    (sum == frame_sum(header, head, contents)).then_some(contents)
}
