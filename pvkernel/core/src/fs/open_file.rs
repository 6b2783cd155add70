//! An open file: what descriptors that come from one another by `dup` and `fork` share.

use alloc::sync::Arc;
use pvkernel_abi::{open, DirEntry, Errno, FileKind, Seek, Stat};

use super::file::{File, GiveUp};
use super::filesystem::{At, Cursor};
use super::node::Node;
use super::vfs::Vfs;
use crate::sleep_lock::SleepLock;

/// What is open.
pub(super) enum What {
    /// A file or directory.
    Node(Node),
    /// Anything else.
    File(Arc<dyn File>),
}

/// How far it was read or written.
#[derive(Default)]
struct Position {
    offset: u64,
    /// Of a directory.
    cursor: Cursor,
}

/// An open file. Dropping it may wait for a disk.
pub struct OpenFile {
    vfs: &'static Vfs,
    what: What,
    flags: u64,
    position: SleepLock<Position>,
}

impl OpenFile {
    /// A file that `take_open` has counted.
    pub(super) fn new(vfs: &'static Vfs, what: What, flags: u64) -> Arc<Self> {
        let position = SleepLock::new(Position { offset: 0, cursor: Cursor::Start });
        Arc::new(Self { vfs, what, flags, position })
    }

    fn check(&self, flag: u64) -> Result<(), Errno> {
        match self.flags & flag {
            0 => Err(Errno::EBADF),
            _ => Ok(()),
        }
    }

    /// The file, unless it has positions.
    fn stream(&self) -> Option<&dyn File> {
        match &self.what {
            What::File(file) if file.size().is_none() => Some(&**file),
            _ => None,
        }
    }

    /// Whether reading more never waits for somebody.
    #[must_use]
    pub fn never_waits(&self) -> bool {
        self.stream().is_none_or(File::never_waits)
    }

    /// Reads where the file's position is, and moves it.
    ///
    /// # Errors
    /// `EBADF` if it is not open for reading, `EISDIR`, and what the file says.
    pub fn read(&self, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.check(open::READ)?;
        if to.is_empty() {
            return Ok(0);
        }
        // Who waits for a stream must not keep others from it.
        if let Some(stream) = self.stream() {
            return stream.read(0, to, give_up);
        }
        let mut position = self.position.lock(self.vfs.kernel);
        let count = match &self.what {
            What::Node(node) if node.is_directory() => Err(Errno::EISDIR),
            What::Node(node) => node.fs().read(node.inode, position.offset, to),
            What::File(file) => file.read(position.offset, to, give_up),
        }?;
        position.offset += count as u64;
        Ok(count)
    }

    /// Writes where the file's position is, or behind its end, and moves the position.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing, and what the file says.
    pub fn write(&self, from: &[u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.check(open::WRITE)?;
        if from.is_empty() {
            return Ok(0);
        }
        if let Some(stream) = self.stream() {
            return stream.write(0, from, give_up);
        }
        let mut position = self.position.lock(self.vfs.kernel);
        match &self.what {
            What::Node(node) => {
                let at = match self.flags & open::APPEND {
                    0 => At::Offset(position.offset),
                    _ => At::End,
                };
                let written = node.fs().write(node.inode, at, from)?;
                position.offset = written.end;
                Ok(written.count)
            }
            What::File(file) => {
                let count = file.write(position.offset, from, give_up)?;
                position.offset += count as u64;
                Ok(count)
            }
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As `File::accept`.
    pub fn accept(&self, timeout_ns: u64, give_up: GiveUp<'_>) -> Result<Arc<dyn File>, Errno> {
        match &self.what {
            What::Node(_) => Err(Errno::EINVAL),
            What::File(file) => file.accept(timeout_ns, give_up),
        }
    }

    /// Moves the position; a directory's can only go to its beginning.
    ///
    /// # Errors
    /// `ESPIPE`, `EINVAL` for a position before the beginning, `EOVERFLOW`.
    pub fn seek(&self, offset: i64, from: Seek) -> Result<u64, Errno> {
        if self.stream().is_some() {
            return Err(Errno::ESPIPE);
        }
        let mut position = self.position.lock(self.vfs.kernel);
        if matches!(&self.what, What::Node(node) if node.is_directory()) {
            if offset != 0 || from != Seek::Start {
                return Err(Errno::EINVAL);
            }
            position.cursor = Cursor::Start;
            return Ok(0);
        }
        let base = match from {
            Seek::Start => 0,
            Seek::Current => position.offset,
            Seek::End => self.size()?,
        };
        let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
        let to = base.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
        position.offset = u64::try_from(to).map_err(|_| Errno::EINVAL)?;
        Ok(position.offset)
    }

    fn size(&self) -> Result<u64, Errno> {
        match &self.what {
            What::Node(node) => node.fs().stat(node.inode).map(|stat| stat.size),
            What::File(file) => file.size().ok_or(Errno::ESPIPE),
        }
    }

    /// About the file.
    ///
    /// # Errors
    /// The disk failed.
    pub fn stat(&self) -> Result<Stat, Errno> {
        match &self.what {
            What::Node(node) => self.vfs.stat_node(node),
            What::File(file) => Ok(file.stat()),
        }
    }

    /// Sets the size of a file.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing, `EINVAL` if it is no file, `EFBIG`, `ENOSPC`.
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.check(open::WRITE)?;
        match &self.what {
            What::Node(node) if node.kind == FileKind::File => node.fs().truncate(node.inode, size),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Reads the next entries of a directory; none at the end.
    ///
    /// # Errors
    /// `ENOTDIR`; `EINVAL` without room for one.
    pub fn list(&self, to: &mut [DirEntry]) -> Result<usize, Errno> {
        match &self.what {
            What::Node(node) if node.is_directory() => {
                if to.is_empty() {
                    return Err(Errno::EINVAL);
                }
                super::check_memory()?;
                let mut position = self.position.lock(self.vfs.kernel);
                node.fs().read_dir(node.inode, &mut position.cursor, to)
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `EINVAL` for a stream; the disk failed.
    pub fn sync(&self) -> Result<(), Errno> {
        match &self.what {
            What::Node(node) => node.fs().sync(),
            What::File(file) if file.size().is_some() => file.sync(),
            What::File(_) => Err(Errno::EINVAL),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.vfs.give_open();
    }
}
