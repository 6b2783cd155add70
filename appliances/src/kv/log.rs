//! Keys and values that survive: a map in memory and the log of its changes on a disk.
//!
//! A change is acknowledged after its frame is on the disk and flushed; whatever happens then, it is
//! read back. When a half is full, what lives is written to the other half and the header changes
//! sides. A frame that was cut off by the end of power is not there: the log ends in front of it.
//!
//! What always holds: what lives fits into a half with `RESERVE` sectors to spare, so deletions are
//! always possible; after an error of the disk nothing is changed any more, because it is not known
//! what the disk has.
//!
//! What it does not do: repair. A disk that fails in the middle of the log looks as if it ended there.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::change::{set_len, Change};
use super::layout::{
    encode_frame, frame_contents, frame_len, frame_sectors, looks_like_header, Header, FIRST,
    FRAME_HEAD, SECTOR,
};

/// Sectors of a half that what lives may not use; more than the largest frame of one change.
const RESERVE: u64 = 136;
/// Sectors of the smallest disk.
pub const MIN_SECTORS: u64 = 2048;
/// Contents of a frame of many changes.
const PACKED: usize = 128 << 10;
/// At least so many bytes are in each packed frame but the last.
const PACKED_AT_LEAST: usize = 63 << 10;
/// Sectors that must be zero on a disk that belongs to nobody.
const BLANK_SECTORS: u64 = 128;

/// The disk did not do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError;

/// A disk, used by one at a time.
pub trait Disk {
    /// Its size.
    fn sectors(&self) -> u64;

    /// Reads whole sectors.
    ///
    /// # Errors
    /// When it cannot.
    fn read(&mut self, sector: u64, to: &mut [u8]) -> Result<(), DiskError>;

    /// Writes whole sectors; they may reach the disk in any order until the next flush.
    ///
    /// # Errors
    /// When it cannot.
    fn write(&mut self, sector: u64, from: &[u8]) -> Result<(), DiskError>;

    /// Makes everything that was written stay.
    ///
    /// # Errors
    /// When it cannot.
    fn flush(&mut self) -> Result<(), DiskError>;
}

/// Why a disk cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It has fewer than `MIN_SECTORS`.
    TooSmall(u64),
    /// Something else is on it.
    NotOurs,
    /// It was ours, and neither header can be read.
    Damaged,
    /// More lives on it than there is memory for.
    TooMuch,
    /// It does not work.
    Disk,
}

impl From<DiskError> for OpenError {
    fn from(_: DiskError) -> Self {
        Self::Disk
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall(sectors) => write!(
                f,
                "the disk has {sectors} sectors, {MIN_SECTORS} are needed; give it a larger one"
            ),
            Self::NotOurs => f.write_str(
                "the disk holds something else; nothing was changed; give it a blank disk",
            ),
            Self::Damaged => f.write_str(
                "both headers of the disk are damaged, or it has become smaller; nothing was changed",
            ),
            Self::TooMuch => f.write_str("the data needs more memory; raise memory="),
            Self::Disk => f.write_str("the disk does not work"),
        }
    }
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// Keys and values have limits.
    TooLong,
    /// No room on the disk or in memory.
    Full,
    /// The disk failed, now or before.
    Disk,
}

/// The store.
#[derive(Debug)]
pub struct Kv<D> {
    disk: D,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    header: Header,
    /// The next free sector of the half.
    tail: u64,
    /// The number of the next frame.
    number: u64,
    /// Bytes of the changes that would make the map.
    live: usize,
    max_live: usize,
    /// Where salts come from. It differs after each start, so that what a change of halves left behind
    /// when the power went is never taken for a part of the next one.
    entropy: u64,
    has_failed: bool,
}

/// Most sectors that changes of so many bytes take when they are packed.
const fn packed_sectors(live: usize) -> u64 {
    let frames = live / PACKED_AT_LEAST + 1;
    (live + frames * FRAME_HEAD).div_ceil(SECTOR) as u64 + frames as u64
}

/// Another salt, from the last one and what is different after each start.
const fn next_salt(salt: u64, entropy: u64) -> u64 {
    (salt ^ entropy.rotate_left(17))
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

impl<D: Disk> Kv<D> {
    /// Reads what the disk holds; a blank disk is made ours. `salt` should not be guessable, `max_live`
    /// is what may be kept in memory.
    ///
    /// # Errors
    /// When the disk cannot be used; nothing was written then.
    pub fn open(mut disk: D, salt: u64, max_live: usize) -> Result<Self, OpenError> {
        if disk.sectors() < MIN_SECTORS {
            return Err(OpenError::TooSmall(disk.sectors()));
        }
        let header = match find_header(&mut disk)? {
            Some(header) => header,
            None => format(&mut disk, salt)?,
        };
        let (map, number) = (BTreeMap::new(), header.first_number);
        let mut kv = Self {
            disk,
            map,
            header,
            tail: 0,
            number,
            live: 0,
            max_live,
            entropy: salt,
            has_failed: false,
        };
        while kv.replay_frame()? {}
        Ok(kv)
    }

    /// Applies the next frame of the log; false at its end.
    fn replay_frame(&mut self) -> Result<bool, OpenError> {
        if self.tail >= self.header.half_sectors {
            return Ok(false);
        }
        let at = self.header.start() + self.tail;
        let mut bytes = vec![0; SECTOR];
        self.disk.read(at, &mut bytes)?;
        let Some(len) = frame_len(&self.header, self.number, &bytes) else { return Ok(false) };
        let sectors = frame_sectors(len);
        if self.tail + sectors > self.header.half_sectors {
            return Ok(false);
        }
        bytes.resize(sectors as usize * SECTOR, 0);
        if let Some(rest) = bytes.get_mut(SECTOR..).filter(|rest| !rest.is_empty()) {
            self.disk.read(at + 1, rest)?;
        }
        let Some(mut contents) = frame_contents(&self.header, &bytes, len) else {
            return Ok(false);
        };
        while let Some((change, rest)) = Change::decode(contents) {
            self.apply(change);
            contents = rest;
        }
        if self.live > self.max_live {
            return Err(OpenError::TooMuch);
        }
        self.tail += sectors;
        self.number += 1;
        Ok(true)
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(Vec::as_slice)
    }

    /// The keys that begin so, in order.
    pub fn keys<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let all = self.map.range(prefix.to_vec()..).map(|(key, _)| key.as_slice());
        all.take_while(move |key| key.starts_with(prefix))
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.map.len()
    }

    /// The disk, for its owner's tests.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// How often the data changed halves.
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// Sets a key. When it returns, the disk has it.
    ///
    /// # Errors
    /// See `ChangeError`; the old value stays.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ChangeError> {
        let old = self.get(key).map_or(0, |old| set_len(key, old));
        let live = self.live - old + set_len(key, value);
        let is_too_much =
            live > self.max_live || packed_sectors(live) + RESERVE > self.header.half_sectors;
        let change = Change::Set(key, value);
        if change.is_possible() && is_too_much {
            return Err(ChangeError::Full);
        }
        self.change(change)
    }

    /// Deletes a key; false when there was none.
    ///
    /// # Errors
    /// See `ChangeError`; the key stays.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, ChangeError> {
        if !self.map.contains_key(key) {
            return Ok(false);
        }
        self.change(Change::Delete(key)).map(|()| true)
    }

    fn change(&mut self, change: Change<'_>) -> Result<(), ChangeError> {
        if !change.is_possible() {
            return Err(ChangeError::TooLong);
        }
        if self.has_failed {
            return Err(ChangeError::Disk);
        }
        let mut contents = Vec::new();
        change.encode(&mut contents);
        if self.write(&contents).is_err() {
            self.has_failed = true;
            return Err(ChangeError::Disk);
        }
        self.apply(change);
        Ok(())
    }

    /// Puts a frame at the end of the log and makes it stay.
    fn write(&mut self, contents: &[u8]) -> Result<(), DiskError> {
        let sectors = frame_sectors(contents.len());
        if self.tail + sectors > self.header.half_sectors {
            self.change_halves()?;
        }
        if self.tail + sectors > self.header.half_sectors {
            return Err(DiskError);
        }
        self.append(contents)?;
        self.disk.flush()
    }

    fn append(&mut self, contents: &[u8]) -> Result<(), DiskError> {
        let bytes = encode_frame(&self.header, self.number, contents);
        self.disk.write(self.header.start() + self.tail, &bytes)?;
        self.tail += frame_sectors(contents.len());
        self.number += 1;
        Ok(())
    }

    /// Writes what lives to the other half and uses that from then on.
    fn change_halves(&mut self) -> Result<(), DiskError> {
        self.entropy = next_salt(self.header.salt, self.entropy);
        self.header = Header {
            generation: self.header.generation + 1,
            half: 1 - self.header.half,
            half_sectors: self.header.half_sectors,
            salt: self.entropy,
            first_number: self.number,
        };
        self.tail = 0;
        let map = core::mem::take(&mut self.map);
        let written = self.append_all(&map);
        self.map = map;
        written?;
        self.disk.flush()?;
        self.disk.write(self.header.slot(), &self.header.encode())?;
        self.disk.flush()
    }

    fn append_all(&mut self, map: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), DiskError> {
        let mut contents = Vec::new();
        for (key, value) in map {
            if !contents.is_empty() && contents.len() + set_len(key, value) > PACKED {
                self.append(&contents)?;
                contents.clear();
            }
            Change::Set(key, value).encode(&mut contents);
        }
        match contents.is_empty() {
            true => Ok(()),
            false => self.append(&contents),
        }
    }

    fn apply(&mut self, change: Change<'_>) {
        let (key, old) = match change {
            Change::Set(key, value) => {
                self.live += set_len(key, value);
                (key, self.map.insert(key.to_vec(), value.to_vec()))
            }
            Change::Delete(key) => (key, self.map.remove(key)),
        };
        self.live -= old.map_or(0, |old| set_len(key, &old));
    }
}

/// The header that counts; `None` on a blank disk.
fn find_header<D: Disk>(disk: &mut D) -> Result<Option<Header>, OpenError> {
    let sectors = disk.sectors();
    let mut bytes = vec![0; BLANK_SECTORS as usize * SECTOR];
    disk.read(0, &mut bytes)?;
    let slots = || bytes.chunks(SECTOR).take(2).zip(0..);
    let headers = slots().filter_map(|(sector, slot)| Header::decode(sector, slot, sectors));
    if let Some(header) = headers.max_by_key(|header| header.generation) {
        return Ok(Some(header));
    }
    if slots().any(|(sector, _)| looks_like_header(sector)) {
        return Err(OpenError::Damaged);
    }
    match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(None),
        false => Err(OpenError::NotOurs),
    }
}

/// Makes a blank disk ours.
fn format<D: Disk>(disk: &mut D, salt: u64) -> Result<Header, OpenError> {
    let half_sectors = (disk.sectors() - FIRST) / 2;
    let header = Header { generation: 1, half: 0, half_sectors, salt, first_number: 1 };
    disk.write(header.slot(), &header.encode())?;
    disk.flush()?;
    Ok(header)
}

#[cfg(test)]
mod tests;
