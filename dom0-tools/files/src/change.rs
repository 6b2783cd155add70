//! Removing, renaming, and what concerns the whole disk.

use rsext4::{Ext4Error, Ext4Result, MountOptions, RenameOptions, UnlinkOutcome};

use crate::error::{FileError, What};
use crate::files::{FileId, Files, Space};

/// So many times `sync` leaves the journal as it is before it is emptied.
const SYNCS_TO_CHECKPOINT: u32 = 16;

fn disk_failed(error: Ext4Error) -> FileError {
    FileError::of("the disk", error)
}

impl Files {
    /// Removes a file.
    ///
    /// # Errors
    /// It does not exist, is a folder, or a domain uses it as its disk.
    pub fn remove(&mut self, path: &str) -> Result<(), FileError> {
        let found = self.find(path)?;
        if found.is_directory() {
            return Err(FileError::new(path, What::IsFolder));
        }
        self.check_free_at(path, FileId(found.number))?;
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
    /// `from` does not exist or is the disk of a domain, `to` does exist, or its folder does not.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let (old_parent, old_name) = self.place(from)?;
        let found = self.find(from)?;
        self.check_free_at(from, FileId(found.number))?;
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

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.fs.sync().map_err(disk_failed)?;
        self.syncs += 1;
        match self.syncs % SYNCS_TO_CHECKPOINT {
            0 => self.checkpoint(),
            _ => Ok(()),
        }
    }

    /// Writes what the journal holds to its place. `rsext4` 0.9.2 keeps every committed transaction in
    /// memory until then, and begins by itself only when the journal is full, which may be more memory
    /// than there is. A read-only mount that syncs is the way it offers.
    fn checkpoint(&mut self) -> Result<(), FileError> {
        let usual = self.fs.options();
        if usual.readonly {
            return Ok(());
        }
        self.fs.remount(MountOptions { readonly: true, ..usual }).map_err(disk_failed)?;
        let written = self.fs.sync();
        self.fs.remount(usual).map_err(disk_failed)?;
        written.map_err(disk_failed)
    }

    /// Ends the use of the disk; nothing but dropping is left to do then.
    ///
    /// # Errors
    /// The disk failed.
    pub fn unmount(&mut self) -> Result<(), FileError> {
        self.fs.unmount().map_err(|error| FileError::of("the disk", error))
    }
}
