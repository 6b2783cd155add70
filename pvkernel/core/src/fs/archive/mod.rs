//! The boot archive (cpio, format `newc`): files that lie in memory and never change.
//!
//! Nothing is copied: contents and names stay where the boot module is. The module is a claim like any
//! other: what contradicts itself is refused as a whole, with the place.

mod cpio;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::fmt;
use core::ops::Bound;
use pvkernel_abi::{DirEntry, Errno, FileKind, Stat};

pub use self::cpio::BadArchive;
use self::cpio::{Entry, Tree, ROOT};
use super::dir_entry;
use super::filesystem::{At, Cursor, FileSystem, Found, Space, Written};

/// The archive, or one directory of it, as a file system.
pub struct Archive {
    tree: Arc<Tree>,
    root: u64,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archive({} entries)", self.tree.entries.len())
    }
}

impl Archive {
    /// Understands an archive.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(archive: &'static [u8]) -> Result<Self, BadArchive> {
        Ok(Self { tree: Arc::new(Tree::new(archive)?), root: ROOT })
    }

    /// One of its uppermost directories as a file system of its own.
    #[must_use]
    pub fn within(&self, name: &[u8]) -> Option<Self> {
        let inode = *self.entry(self.root).ok()?.children.get(name)?;
        let is_folder = self.entry(inode).ok()?.kind == FileKind::Directory;
        is_folder.then(|| Self { tree: Arc::clone(&self.tree), root: inode })
    }

    fn entry(&self, inode: u64) -> Result<&Entry, Errno> {
        self.tree.get(inode).ok_or(Errno::ENOENT)
    }

    fn folder(&self, inode: u64) -> Result<&Entry, Errno> {
        let entry = self.entry(inode)?;
        match entry.kind {
            FileKind::Directory => Ok(entry),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl FileSystem for Archive {
    fn kind(&self) -> &'static str {
        "archive"
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn root(&self) -> u64 {
        self.root
    }

    fn hold(&self, _: u64) {}

    fn release(&self, _: u64) {}

    fn lookup(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        let folder = self.folder(dir)?;
        let inode = match name {
            b".." if dir == self.root => dir,
            b".." => folder.parent,
            _ => *folder.children.get(name).ok_or(Errno::ENOENT)?,
        };
        Ok(Found { inode, kind: self.entry(inode)?.kind })
    }

    fn stat(&self, inode: u64) -> Result<Stat, Errno> {
        let entry = self.entry(inode)?;
        let is_folder = |child: &&u64| matches!(self.entry(**child), Ok(entry) if entry.kind == FileKind::Directory);
        let links = match entry.kind {
            FileKind::Directory => 2 + entry.children.values().filter(is_folder).count() as u32,
            _ => 1,
        };
        let (size, kind) = (entry.bytes.len() as u64, entry.kind as u32);
        Ok(Stat { inode, size, modified: entry.modified, kind, links, mount: 0, reserved: 0 })
    }

    fn create(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.folder(dir)?.children.get(name).map_or(Err(Errno::EROFS), |_| Err(Errno::EEXIST))
    }

    fn mkdir(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.create(dir, name)
    }

    fn read(&self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let entry = self.entry(inode)?;
        match entry.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        let rest = usize::try_from(at).ok().and_then(|at| entry.bytes.get(at..));
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(to.len());
        to[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write(&self, _: u64, _: At, _: &[u8]) -> Result<Written, Errno> {
        Err(Errno::EROFS)
    }

    fn truncate(&self, _: u64, _: u64) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn remove(&self, dir: u64, name: &[u8]) -> Result<(), Errno> {
        self.lookup(dir, name).and(Err(Errno::EROFS))
    }

    fn link(&self, _: u64, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn rename(&self, from: (u64, &[u8]), _: (u64, &[u8])) -> Result<(), Errno> {
        self.lookup(from.0, from.1).and(Err(Errno::EROFS))
    }

    fn read_dir(&self, dir: u64, from: &mut Cursor, to: &mut [DirEntry]) -> Result<usize, Errno> {
        let folder = self.folder(dir)?;
        let start = match from {
            Cursor::Start => Bound::Unbounded,
            Cursor::Name(name) => Bound::Excluded(name.as_slice()),
            Cursor::Place(_) | Cursor::End => return Ok(0),
        };
        let (mut count, mut last) = (0, None);
        let rest = folder.children.range::<[u8], _>((start, Bound::Unbounded));
        for ((name, inode), place) in rest.zip(to.iter_mut()) {
            *place = dir_entry(*inode, self.entry(*inode)?.kind, name);
            last = Some(*name);
            count += 1;
        }
        if let Some(name) = last {
            *from = Cursor::Name(name.to_vec());
        }
        Ok(count)
    }

    fn space(&self) -> Space {
        Space { bytes: self.tree.bytes, free: 0 }
    }

    fn lend(&self, inode: u64) -> Option<&'static [u8]> {
        let entry = self.entry(inode).ok()?;
        (entry.kind == FileKind::File).then_some(entry.bytes)
    }
}
