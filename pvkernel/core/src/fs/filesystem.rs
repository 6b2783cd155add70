//! What a file system is.
//!
//! Files have numbers. A number comes from `root`, `lookup`, `create` or `mkdir`, and the last three hold
//! the file for the caller, who says `release` once. A held file keeps its contents when its last name
//! goes, and its number means no other file until then.
//!
//! A file system may wait for a disk in each of these calls except `hold`, `lend`, `device`, `root` and
//! `is_read_only`. It may be called by many threads at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_abi::{DirEntry, Errno, FileKind, Stat};

use super::file::File;

/// Where to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At this byte.
    Offset(u64),
    /// Behind the last, whoever else writes there.
    End,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes; fewer than asked for when the room ended.
    pub count: usize,
    /// The position behind them.
    pub end: u64,
}

/// A file that was found; it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
}

/// How far a directory has been read; only its file system understands it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cursor {
    /// Nothing yet.
    #[default]
    Start,
    /// Up to this name.
    Name(Vec<u8>),
    /// Up to a place of the format.
    Place([u64; 2]),
    /// Wholly.
    End,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes free.
    pub free: u64,
}

/// A file system. Names are one to `NAME_MAX` bytes without `/` and NUL, and neither `.` nor `..` except
/// where it is said.
#[allow(clippy::missing_errors_doc)] // An errno, as POSIX has it.
pub trait FileSystem: Send + Sync {
    /// What it is: `ramfs`, `ext4`.
    fn kind(&self) -> &'static str;
    /// Whether nothing can be written.
    fn is_read_only(&self) -> bool;
    /// The number of its uppermost directory.
    fn root(&self) -> u64;
    /// Holds a file once more.
    fn hold(&self, inode: u64);
    /// Lets go of a file. Without names and holders, it is gone.
    fn release(&self, inode: u64);
    /// Finds a name; `..` is the parent, and the root is its own.
    fn lookup(&self, dir: u64, name: &[u8]) -> Result<Found, Errno>;
    /// About a file. `mount` is 0.
    fn stat(&self, inode: u64) -> Result<Stat, Errno>;
    /// Makes an empty file.
    fn create(&self, dir: u64, name: &[u8]) -> Result<Found, Errno>;
    /// Makes an empty directory.
    fn mkdir(&self, dir: u64, name: &[u8]) -> Result<Found, Errno>;
    /// Reads up to the end of a file; holes are zeros.
    fn read(&self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno>;
    /// Writes at least a byte, unless there are none to write.
    fn write(&self, inode: u64, at: At, from: &[u8]) -> Result<Written, Errno>;
    /// Sets the size of a file; what is added is zeros.
    fn truncate(&self, inode: u64, size: u64) -> Result<(), Errno>;
    /// Removes the name of a file, or an empty directory.
    fn remove(&self, dir: u64, name: &[u8]) -> Result<(), Errno>;
    /// Gives a file, not a directory, another name.
    fn link(&self, inode: u64, dir: u64, name: &[u8]) -> Result<(), Errno>;
    /// Moves a file or directory. What has the new name is replaced: a file by a file, an empty directory by
    /// a directory. Two names of one file stay.
    fn rename(&self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Errno>;
    /// Reads entries, without `.` and `..`; none at the end. Entries that neither come nor go meanwhile are
    /// seen once.
    fn read_dir(&self, dir: u64, from: &mut Cursor, to: &mut [DirEntry]) -> Result<usize, Errno>;
    /// Room.
    fn space(&self) -> Space;
    /// Makes everything that was written durable.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
    /// The last call: nothing is held, and it is not mounted any more.
    fn end(&self) -> Result<(), Errno> {
        self.sync()
    }
    /// The whole contents of a file, where they lie in memory and never change.
    fn lend(&self, inode: u64) -> Option<&'static [u8]> {
        let _ = inode;
        None
    }
    /// What stands behind a device.
    fn device(&self, inode: u64) -> Option<Arc<dyn File>> {
        let _ = inode;
        None
    }
}
