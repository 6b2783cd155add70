//! A file as a disk: its bytes where they lie, its blocks when they are first written.
//!
//! [`read`] and [`write`] are for ranges of any kind; whoever has a range that [`direct`] knows moves
//! the bytes without them. Blocks that are missing come in larger portions than asked for, as far as
//! they are missing and the disk has room: a disk that is written bit by bit stays in few pieces.

use alloc::vec::Vec;

use crate::disk::Disk;
use crate::error::{FileError, What};
use crate::files::Files;
use crate::held::{Hold, BLOCK};
use crate::places::{NoMemory, Piece, Places};

/// Missing blocks come in portions of this many bytes.
const PORTION: u64 = 64 << 10;
/// Bytes filled at a time.
const FILL_MOST: u64 = 256 << 10;

/// What a file used as a disk is reached with.
pub trait World {
    /// The disk below the file system.
    fn disk(&mut self) -> &mut dyn Disk;
    /// The places of the file's blocks.
    fn places<T>(&mut self, look: impl FnOnce(&mut Places) -> T) -> T;
    /// The file system, for a while.
    ///
    /// # Errors
    /// What `act` says, or there are no files any more.
    fn files<T>(
        &mut self,
        act: impl FnOnce(&mut Files) -> Result<T, FileError>,
    ) -> Result<T, FileError>;
}

/// Where a whole range lies, if it is there in one piece.
#[must_use]
pub fn direct(hold: &Hold, places: &Places, offset: u64, len: u64) -> Option<u64> {
    let is_whole = offset.checked_add(len).is_some_and(|end| end <= hold.whole());
    match places.piece(offset, len) {
        Piece::There { place, len: there } if is_whole && there == len => Some(place),
        _ => None,
    }
}

/// Learns the places of a part of the file.
///
/// # Errors
/// The file is in too many pieces, or the disk failed.
pub fn learn<W: World>(world: &mut W, hold: &Hold, start: u64, end: u64) -> Result<(), FileError> {
    let (start, end) = (start, end.min(hold.whole()));
    if start >= end {
        return Ok(());
    }
    let extents = world.files(|files| files.extents(hold.file(), start, end - start))?;
    let learned = world.places(|places| {
        for mut extent in extents {
            // The last block may be one that is only partly the file's.
            extent.len = extent.len.min(hold.whole().saturating_sub(extent.offset));
            places.add(extent)?;
        }
        Ok(())
    });
    learned.map_err(|NoMemory| FileError::new("the file", What::NoMemory))
}

/// Reads a range; it is on the disk, in sectors.
///
/// # Errors
/// The disk failed.
pub fn read<W: World>(
    world: &mut W,
    hold: &Hold,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), FileError> {
    let mut rest = buffer;
    let mut at = offset;
    while !rest.is_empty() {
        let piece = next_piece(world, hold, at, rest.len() as u64);
        let (now, later) = rest.split_at_mut(len_of(piece));
        match piece {
            Next::There { place, .. } => {
                let read = world.disk().read(place / SECTOR, now);
                read.map_err(|_| FileError::new("the disk", What::Io))?;
            }
            Next::Hole { .. } => now.fill(0),
            Next::Rest { .. } => {
                now.fill(0);
                world.files(|files| files.read(hold.file(), at, now))?;
            }
        }
        at += now.len() as u64;
        rest = later;
    }
    Ok(())
}

/// Writes a range; it is on the disk, in sectors. The answer is whether blocks were added.
///
/// # Errors
/// There is no room for missing blocks, or the disk failed; a part may be written.
pub fn write<W: World>(
    world: &mut W,
    hold: &Hold,
    offset: u64,
    bytes: &[u8],
) -> Result<bool, FileError> {
    let (mut at, mut rest, mut grown) = (offset, bytes, false);
    while !rest.is_empty() {
        let piece = next_piece(world, hold, at, rest.len() as u64);
        let (now, later) = rest.split_at(len_of(piece));
        match piece {
            Next::There { place, .. } => {
                let written = world.disk().write(place / SECTOR, now);
                written.map_err(|_| FileError::new("the disk", What::Io))?;
            }
            Next::Hole { .. } => fill(world, hold, at, now)?,
            Next::Rest { .. } => world.files(|files| files.fill(hold, at, now))?,
        }
        grown |= !matches!(piece, Next::There { .. });
        at += now.len() as u64;
        rest = later;
    }
    Ok(grown)
}

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// How the next bytes are reached.
#[derive(Clone, Copy)]
enum Next {
    There {
        place: u64,
        len: u64,
    },
    Hole {
        len: u64,
    },
    /// By the file system: the last bytes, no whole block.
    Rest {
        len: u64,
    },
}

fn len_of(next: Next) -> usize {
    let (Next::There { len, .. } | Next::Hole { len } | Next::Rest { len }) = next;
    len as usize
}

fn next_piece<W: World>(world: &mut W, hold: &Hold, at: u64, len: u64) -> Next {
    let whole = hold.whole();
    if at >= whole {
        return Next::Rest { len };
    }
    match world.places(|places| places.piece(at, len.min(whole - at))) {
        Piece::There { place, len } => Next::There { place, len },
        // What is filled begins at most a portion before it.
        Piece::Hole { len } => Next::Hole { len: len.min(FILL_MOST - 2 * PORTION) },
    }
}

/// Writes into missing blocks: those in a portion that are missing, too, become zeros.
fn fill<W: World>(world: &mut W, hold: &Hold, at: u64, bytes: &[u8]) -> Result<(), FileError> {
    let filled = fill_portions(world, hold, at, bytes, PORTION);
    match filled {
        // For the blocks themselves there may be enough.
        Err(FileError { what: What::Full | What::NoMemory, .. }) => {
            fill_portions(world, hold, at, bytes, BLOCK)
        }
        other => other,
    }
}

fn fill_portions<W: World>(
    world: &mut W,
    hold: &Hold,
    at: u64,
    bytes: &[u8],
    portion: u64,
) -> Result<(), FileError> {
    let end = at + bytes.len() as u64;
    let (start, stop) = world.places(|places| {
        let start = places.hole_start(at).max(at - at % portion);
        let most = end.next_multiple_of(portion).min(hold.whole());
        let room = match places.piece(at, most - at) {
            Piece::Hole { len } => len,
            Piece::There { .. } => 0,
        };
        (start, at + room)
    });
    if (start, stop) == (at, end) {
        world.files(|files| files.fill(hold, at, bytes))?;
    } else {
        let mut padded = Vec::new();
        let len = (stop - start) as usize;
        padded.try_reserve_exact(len).map_err(|_| FileError::new("the file", What::NoMemory))?;
        padded.resize((at - start) as usize, 0);
        padded.extend_from_slice(bytes);
        padded.resize(len, 0);
        world.files(|files| files.fill(hold, start, &padded))?;
    }
    learn(world, hold, start, stop)
}
