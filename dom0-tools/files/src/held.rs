//! Files that somebody uses as a disk, past the file system.
//!
//! Who holds a file reads and overwrites its blocks where they lie ([`crate::Places`]) and asks here
//! only for blocks that are not there yet. Two things make that safe. The file cannot be written,
//! resized, renamed or removed by anybody else. And `rsext4` must not remember contents of its blocks: its
//! cache of data keeps what small or uneven writes touched and holes that are filled in whole blocks
//! pass it by. So files with such writes are noted (`loose`), and the cache is emptied, by mounting
//! again, before one of them is held for writing.
//!
//! The last bytes of a file that are no whole block are never reached past the file system.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use rsext4::{FileExtentState, FileExtentTarget, InodeFlags};

use crate::disk::Disk;
use crate::error::{FileError, What};
use crate::files::{failed_id, stat, Extent, FileId, Files, Kind};

/// Largest block of the format.
pub(crate) const BLOCK: u64 = 4096;
/// Most pieces of a file that is used as a disk.
const EXTENTS_MOST: usize = 16_384;
/// Files that are noted one by one.
const LOOSE_MOST: usize = 256;

/// The right to use a file as a disk, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    file: FileId,
    size: u64,
    is_writer: bool,
    _alive: Arc<()>,
}

impl Hold {
    /// Which file.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.file
    }

    /// Bytes of the file, which stay as many.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of whole blocks: those that may be reached past the file system.
    #[must_use]
    pub const fn whole(&self) -> u64 {
        self.size - self.size % BLOCK
    }
}

struct Held {
    file: FileId,
    is_writer: bool,
    alive: Weak<()>,
}

/// Who holds what, and which files may be in the cache of data.
#[derive(Default)]
pub(crate) struct Holds {
    list: Vec<Held>,
    loose: BTreeSet<FileId>,
    all_loose: bool,
}

impl Holds {
    fn of(&mut self, file: FileId) -> Option<&Held> {
        self.list.retain(|held| held.alive.strong_count() > 0);
        self.list.iter().find(|held| held.file == file)
    }

    fn note(&mut self, file: FileId) {
        if self.loose.len() >= LOOSE_MOST {
            self.loose.clear();
            self.all_loose = true;
        }
        if !self.all_loose {
            self.loose.insert(file);
        }
    }

    fn is_loose(&self, file: FileId) -> bool {
        self.all_loose || self.loose.contains(&file)
    }
}

impl Files {
    /// Holds a file: for reading with others, for writing alone. `again` opens the disk below once
    /// more, where the cache has to be emptied.
    ///
    /// # Errors
    /// There is no such file, it is in use, or the disk is read-only or failed.
    pub fn hold(
        &mut self,
        path: &str,
        is_writer: bool,
        again: impl FnOnce() -> Box<dyn Disk + Send>,
    ) -> Result<Hold, FileError> {
        let failed = |what| FileError::new(path, what);
        let info = self.find(path)?;
        let stat = stat(&info);
        let is_usual = info.flags.contains(InodeFlags::EXTENTS)
            && !info.flags.contains(InodeFlags::INLINE_DATA);
        match stat.kind {
            Kind::File if is_usual => {}
            Kind::Folder => return Err(failed(What::IsFolder)),
            Kind::File | Kind::Other => return Err(failed(What::Unsupported)),
        }
        if is_writer && self.fs.options().readonly {
            return Err(failed(What::ReadOnly));
        }
        if self.holds.of(stat.id).is_some_and(|held| is_writer || held.is_writer) {
            return Err(failed(What::InUse));
        }
        match (self.holds.is_loose(stat.id), is_writer) {
            (true, true) => {
                self.mount_again(again())?;
                (self.holds.loose, self.holds.all_loose) = (BTreeSet::new(), false);
            }
            // What is remembered is what then lies on the disk.
            (true, false) => self.sync()?,
            (false, _) => {}
        }
        let alive = Arc::new(());
        let held = Held { file: stat.id, is_writer, alive: Arc::downgrade(&alive) };
        self.holds.list.push(held);
        Ok(Hold { file: stat.id, size: stat.size, is_writer, _alive: alive })
    }

    /// Whether any file is in use as a disk.
    pub fn is_any_held(&mut self) -> bool {
        self.holds.list.retain(|held| held.alive.strong_count() > 0);
        !self.holds.list.is_empty()
    }

    pub(crate) fn check_free(&mut self, file: FileId) -> Result<(), FileError> {
        self.check_free_at("the file", file)
    }

    pub(crate) fn check_free_at(&mut self, path: &str, file: FileId) -> Result<(), FileError> {
        match self.holds.of(file) {
            None => Ok(()),
            Some(_) => Err(FileError::new(path, What::InUse)),
        }
    }

    /// Where the contents of a part of a file lie on the disk. What was never written is not among it.
    ///
    /// # Errors
    /// The file is in too many pieces, or the disk failed.
    pub fn extents(
        &mut self,
        file: FileId,
        offset: u64,
        len: u64,
    ) -> Result<Vec<Extent>, FileError> {
        let target = FileExtentTarget::Data;
        let map = self.fs.inode_extents(file.0, offset, len, target, EXTENTS_MOST);
        let map = map.map_err(|error| failed_id(file, error))?;
        if !map.complete {
            return Err(FileError::new("the file", What::Unsupported));
        }
        let written = map.extents.iter().filter(|e| e.state == FileExtentState::Initialized);
        Ok(written
            .map(|e| Extent { offset: e.logical_start, place: e.physical_start, len: e.length })
            .collect())
    }

    /// Writes whole blocks of a held file that are not there yet, or its last bytes.
    ///
    /// # Errors
    /// There is no room, the range is neither, or the disk failed.
    pub fn fill(&mut self, hold: &Hold, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if !hold.is_writer || end > hold.size {
            return Err(FileError::new("the file", What::ReadOnly));
        }
        if end > hold.whole() {
            // These are in the cache from now on, and the next holder may have more blocks.
            self.holds.note(hold.file);
        }
        self.put(hold.file, offset, bytes)
    }

    /// Notes a write that the cache of data may remember: any but whole blocks at the end.
    pub(crate) fn note_write(
        &mut self,
        file: FileId,
        offset: u64,
        len: u64,
    ) -> Result<(), FileError> {
        let is_whole = offset.is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK);
        if !is_whole || offset < self.stat_of(file)?.size {
            self.holds.note(file);
        }
        Ok(())
    }

    /// Notes a change of size that touches a part of a block.
    pub(crate) fn note_size(&mut self, file: FileId, size: u64) -> Result<(), FileError> {
        let is_whole = |size: u64| size.is_multiple_of(BLOCK);
        if !is_whole(size) || !is_whole(self.stat_of(file)?.size) {
            self.holds.note(file);
        }
        Ok(())
    }
}
