//! Blocks of a disk.

/// Why blocks could not be transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The range is not on the disk, or the buffer is not a whole number of blocks.
    OutOfRange,
    /// The disk cannot be written.
    ReadOnly,
    /// The device failed.
    Device,
}

/// A disk.
pub trait Block: Sync {
    /// Bytes in a block.
    fn block_size(&self) -> usize;

    /// Blocks on the disk.
    fn block_count(&self) -> u64;

    /// Reads as many blocks as the buffer holds.
    ///
    /// # Errors
    /// `BlockError`; the buffer's content is undefined then.
    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), BlockError>;

    /// Writes the blocks in the buffer.
    ///
    /// # Errors
    /// `BlockError`; some of the blocks may have been written.
    fn write(&self, first: u64, buffer: &[u8]) -> Result<(), BlockError>;
}
