//! Files on the heap.
//!
//! Everything it keeps is counted in bytes and limited, empty files and names included, so that programs
//! cannot take the kernel's memory by files. Its lock is short: nothing here waits.

mod contents;
mod tree;

use core::ops::Bound;
use pvkernel_abi::{DirEntry, Errno, FileKind, Stat};

use self::contents::{Budget, Contents};
use self::tree::{Body, Directory, Inode, Tree, INODE_BYTES, MAX_LINKS, ROOT};
use super::dir_entry;
use super::filesystem::{At, Cursor, FileSystem, Found, Space, Written};
use crate::platform::Clock;
use crate::sync::{Lock, LockGuard};

/// Largest size of a file.
const MAX_SIZE: u64 = 1 << 40;

/// The file system.
pub struct RamFs {
    clock: &'static dyn Clock,
    tree: Lock<Tree>,
}

impl RamFs {
    /// An empty one that takes at most so many bytes.
    #[must_use]
    pub fn new(clock: &'static dyn Clock, limit: u64) -> Self {
        let body = Body::Directory(Directory { parent: ROOT, ..Directory::default() });
        let root = Inode { links: 1, holds: 0, modified: clock.wall_clock().0, body };
        let budget = Budget { limit: limit.saturating_add(INODE_BYTES), used: INODE_BYTES };
        let tree = Tree { inodes: alloc::vec![Some(root)], free: alloc::vec![], budget };
        Self { clock, tree: Lock::new(tree) }
    }

    /// The tree, and the time for what changes.
    fn change(&self) -> (LockGuard<'_, Tree>, u64) {
        let now = self.clock.wall_clock().0;
        (self.tree.lock(), now)
    }

    fn make(&self, dir: u64, name: &[u8], kind: FileKind) -> Result<Found, Errno> {
        super::check_memory()?;
        let (mut tree, now) = self.change();
        if tree.live_directory(dir)?.entries.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let body = match kind {
            FileKind::Directory => Body::Directory(Directory { parent: dir, ..Default::default() }),
            _ => Body::File(Contents::default()),
        };
        tree.check_links(dir, kind)?;
        let inode = tree.add(Inode { links: 1, holds: 1, modified: now, body })?;
        if let Err(error) = tree.enter(dir, name, inode, now) {
            tree.forget(inode);
            return Err(error);
        }
        Ok(Found { inode, kind })
    }
}

impl FileSystem for RamFs {
    fn kind(&self) -> &'static str {
        "ramfs"
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn root(&self) -> u64 {
        ROOT
    }

    fn hold(&self, inode: u64) {
        if let Ok(found) = self.tree.lock().get_mut(inode) {
            found.holds += 1;
        }
    }

    fn release(&self, inode: u64) {
        let mut tree = self.tree.lock();
        if let Ok(found) = tree.get_mut(inode) {
            found.holds = found.holds.saturating_sub(1);
        }
        tree.forget_unused(inode);
    }

    fn lookup(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        let mut tree = self.tree.lock();
        let directory = tree.live_directory(dir)?;
        let inode = match name {
            b".." => directory.parent,
            _ => *directory.entries.get(name).ok_or(Errno::ENOENT)?,
        };
        let found = tree.get_mut(inode)?;
        found.holds += 1;
        Ok(Found { inode, kind: found.kind() })
    }

    fn stat(&self, inode: u64) -> Result<Stat, Errno> {
        let tree = self.tree.lock();
        let found = tree.get(inode)?;
        let (size, links) = match &found.body {
            Body::File(contents) => (contents.size(), found.links),
            Body::Directory(directory) if directory.parent == 0 => (0, 0),
            Body::Directory(directory) => (0, directory.folders + 2),
        };
        let kind = found.kind() as u32;
        Ok(Stat { inode, size, modified: found.modified, kind, links, mount: 0, reserved: 0 })
    }

    fn create(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.make(dir, name, FileKind::File)
    }

    fn mkdir(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.make(dir, name, FileKind::Directory)
    }

    fn read(&self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        match &self.tree.lock().get(inode)?.body {
            Body::File(contents) => Ok(contents.read(at, to)),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    fn write(&self, inode: u64, at: At, from: &[u8]) -> Result<Written, Errno> {
        super::check_memory()?;
        let (mut tree, now) = self.change();
        let (contents, modified, budget) = tree.file_mut(inode)?;
        let at = match at {
            At::Offset(at) => at,
            At::End => contents.size(),
        };
        let most = usize::try_from(MAX_SIZE.saturating_sub(at)).unwrap_or(usize::MAX);
        let from = &from[..from.len().min(most)];
        if most == 0 {
            return Err(Errno::EFBIG);
        }
        let count = contents.write(at, from, budget);
        if count == 0 && !from.is_empty() {
            return Err(Errno::ENOSPC);
        }
        *modified = now;
        Ok(Written { count, end: at + count as u64 })
    }

    fn truncate(&self, inode: u64, size: u64) -> Result<(), Errno> {
        super::check_memory()?;
        let (mut tree, now) = self.change();
        let (contents, modified, budget) = tree.file_mut(inode)?;
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        contents.resize(size, budget);
        *modified = now;
        Ok(())
    }

    fn remove(&self, dir: u64, name: &[u8]) -> Result<(), Errno> {
        let (mut tree, now) = self.change();
        let inode = *tree.live_directory(dir)?.entries.get(name).ok_or(Errno::ENOENT)?;
        tree.check_empty(inode)?;
        tree.unlink(dir, name, inode, now)
    }

    fn link(&self, inode: u64, dir: u64, name: &[u8]) -> Result<(), Errno> {
        super::check_memory()?;
        let (mut tree, now) = self.change();
        if tree.live_directory(dir)?.entries.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let found = tree.get_mut(inode)?;
        match found.links {
            _ if found.kind() == FileKind::Directory => return Err(Errno::EPERM),
            0 => return Err(Errno::ENOENT),
            MAX_LINKS.. => return Err(Errno::EMLINK),
            links => found.links = links + 1,
        }
        let entered = tree.enter(dir, name, inode, now);
        if entered.is_err() {
            tree.get_mut(inode)?.links -= 1;
        }
        entered
    }

    fn rename(&self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Errno> {
        super::check_memory()?;
        let (mut tree, now) = self.change();
        let moved = *tree.live_directory(from.0)?.entries.get(from.1).ok_or(Errno::ENOENT)?;
        let target = tree.live_directory(to.0)?.entries.get(to.1).copied();
        if target == Some(moved) {
            return Ok(());
        }
        tree.check_rename(moved, target, to.0)?;
        if let Some(target) = target {
            tree.unlink(to.0, to.1, target, now)?;
        } else if !tree.budget.take(to.1.len() as u64) {
            // What the name is longer must fit before the old one is taken away.
            return Err(Errno::ENOSPC);
        } else {
            tree.budget.give(to.1.len() as u64);
        }
        tree.leave(from.0, from.1, moved, now)?;
        tree.enter(to.0, to.1, moved, now)
    }

    fn read_dir(&self, dir: u64, from: &mut Cursor, to: &mut [DirEntry]) -> Result<usize, Errno> {
        let tree = self.tree.lock();
        let entries = &tree.directory(dir)?.entries;
        let start = match from {
            Cursor::Start => Bound::Unbounded,
            Cursor::Name(name) => Bound::Excluded(name.as_slice()),
            Cursor::Place(_) | Cursor::End => return Ok(0),
        };
        let mut count = 0;
        let mut last = None;
        let rest = entries.range::<[u8], _>((start, Bound::Unbounded));
        for ((name, inode), place) in rest.zip(to.iter_mut()) {
            *place = dir_entry(*inode, tree.get(*inode)?.kind(), name);
            last = Some(name);
            count += 1;
        }
        if let Some(name) = last {
            *from = Cursor::Name(name.to_vec());
        }
        Ok(count)
    }

    fn space(&self) -> Space {
        let tree = self.tree.lock();
        let Budget { limit, used } = tree.budget;
        Space { bytes: limit, free: limit - used }
    }
}
