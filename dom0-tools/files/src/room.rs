//! Room for what is about to be written, looked at beforehand.
//!
//! `rsext4` 0.9.2 leaves blocks marked as used when a write finds the disk full half way. So no write
//! begins that could: what it needs at most is compared with what is free.

use rsext4::FileExtentTarget;

use crate::error::{FileError, What};
use crate::files::{failed_id, FileId, Files};

/// Blocks kept free for what names and lists of extents take.
const SPARE_BLOCKS: u64 = 16;
/// Extents looked at; a file in more pieces is treated as if the range were not there yet.
const EXTENTS: usize = 512;

impl Files {
    /// Fails when a name could not be added.
    pub(crate) fn check_spare(&self, path: &str) -> Result<(), FileError> {
        match self.fs.statfs().free_blocks > SPARE_BLOCKS {
            true => Ok(()),
            false => Err(FileError::new(path, What::Full)),
        }
    }

    /// Fails when the range of a file could not be written whole.
    pub(crate) fn check_room(
        &mut self,
        file: FileId,
        offset: u64,
        len: u64,
    ) -> Result<(), FileError> {
        let stats = self.fs.statfs();
        let block = stats.block_size.max(1);
        let wanted = (offset % block + len).div_ceil(block) + SPARE_BLOCKS;
        if len == 0 || wanted <= stats.free_blocks {
            return Ok(());
        }
        let there = self.blocks_there(file, offset, len, block)?;
        match wanted.saturating_sub(there) <= stats.free_blocks || wanted == there + SPARE_BLOCKS {
            true => Ok(()),
            false => Err(FileError::new("the file", What::Full)),
        }
    }

    /// Blocks of the range that the file has already.
    fn blocks_there(
        &mut self,
        file: FileId,
        offset: u64,
        len: u64,
        block: u64,
    ) -> Result<u64, FileError> {
        let (start, target) = (offset - offset % block, FileExtentTarget::Data);
        let end = offset.saturating_add(len).next_multiple_of(block);
        let map = self.fs.inode_extents(file.0, start, end - start, target, EXTENTS);
        let map = map.map_err(|error| failed_id(file, error))?;
        let inside = map.extents.iter().map(|extent| {
            let first = extent.logical_start.max(start);
            let last = extent.logical_start.saturating_add(extent.length).min(end);
            last.saturating_sub(first) / block
        });
        Ok(if map.complete { inside.sum() } else { 0 })
    }
}
