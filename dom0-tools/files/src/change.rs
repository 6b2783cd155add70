//! Removing, renaming, and what concerns the whole disk.

use alloc::vec::Vec;
use rsext4::{Ext4Result, FileExtentState, FileExtentTarget, RenameOptions, UnlinkOutcome};

use crate::error::{FileError, What};
use crate::files::{failed_id, Extent, FileId, Files, Space};

/// Most extents of one file that are looked at.
const EXTENTS_MOST: usize = 4096;

impl Files {
    /// Removes a file.
    ///
    /// # Errors
    /// It does not exist, or is a folder.
    pub fn remove(&mut self, path: &str) -> Result<(), FileError> {
        if self.find(path)?.is_directory() {
            return Err(FileError::new(path, What::IsFolder));
        }
        let (parent, name) = self.place(path)?;
        let removed = self.fs.unlink(parent, name).and_then(|outcome| self.reap(outcome));
        removed.map_err(|error| FileError::of(path, error))
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// It does not exist, is a file, or something is in it.
    pub fn remove_folder(&mut self, path: &str) -> Result<(), FileError> {
        if !self.find(path)?.is_directory() {
            return Err(FileError::new(path, What::NotFolder));
        }
        let (parent, name) = self.place(path)?;
        let removed = self.fs.remove_empty_directory(parent, name);
        let removed = removed.and_then(|outcome| self.reap(outcome));
        removed.map_err(|error| FileError::of(path, error))
    }

    /// Gives a file or folder another path. A file that is there already is refused.
    ///
    /// # Errors
    /// `from` does not exist, `to` does, or the folder of `to` does not.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let (old_parent, old_name) = self.place(from)?;
        self.find(from)?;
        let (new_parent, new_name) = self.place(to)?;
        let options = RenameOptions::NO_REPLACE;
        let renamed = self.fs.rename(old_parent, old_name, new_parent, new_name, options);
        renamed.map(drop).map_err(|error| FileError::of(to, error))
    }

    /// Frees what a removed file held.
    fn reap(&mut self, outcome: UnlinkOutcome) -> Ext4Result<()> {
        match outcome.requires_reap() {
            true => self.fs.reap_unlinked_inode(outcome.inode),
            false => Ok(()),
        }
    }

    /// Room on the disk.
    #[must_use]
    pub fn space(&self) -> Space {
        let stats = self.fs.statfs();
        let bytes = |blocks: u64| blocks.saturating_mul(stats.block_size);
        Space { total: bytes(stats.total_blocks), free: bytes(stats.free_blocks) }
    }

    /// Where the contents of a file lie on the disk. What was never written is not among it.
    ///
    /// # Errors
    /// The file is in more pieces than are looked at, or the disk failed.
    pub fn extents(&mut self, file: FileId) -> Result<Vec<Extent>, FileError> {
        let failed = |error| failed_id(file, error);
        let target = FileExtentTarget::Data;
        let map = self.fs.inode_extents(file.0, 0, u64::MAX, target, EXTENTS_MOST);
        let map = map.map_err(failed)?;
        if !map.complete {
            return Err(FileError::new("the file", What::Unsupported));
        }
        let written = map.extents.iter().filter(|e| e.state == FileExtentState::Initialized);
        Ok(written
            .map(|e| Extent { offset: e.logical_start, place: e.physical_start, len: e.length })
            .collect())
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.fs.sync().map_err(|error| FileError::of("the disk", error))
    }

    /// Ends the use of the disk; nothing but dropping is left to do then.
    ///
    /// # Errors
    /// The disk failed.
    pub fn unmount(&mut self) -> Result<(), FileError> {
        self.fs.unmount().map_err(|error| FileError::of("the disk", error))
    }
}
