//! What a ramfs keeps: files by number, names, and the budget of both.
//!
//! Each function is a step that leaves everything in order; `RamFs` puts them together under its lock.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use pvkernel_abi::{Errno, FileKind};

use super::contents::{Budget, Contents};

/// Most names of a file.
pub(super) const MAX_LINKS: u32 = 65_000;
/// What a file takes at least.
pub(super) const INODE_BYTES: u64 = 192;
/// What a name takes besides its bytes.
pub(super) const NAME_BYTES: u64 = 64;
/// The number of the uppermost directory.
pub(super) const ROOT: u64 = 1;

#[derive(Default)]
pub(super) struct Directory {
    /// 0 when it was removed.
    pub(super) parent: u64,
    pub(super) entries: BTreeMap<Box<[u8]>, u64>,
    /// Directories among them.
    pub(super) folders: u32,
}

pub(super) enum Body {
    File(Contents),
    Directory(Directory),
}

pub(super) struct Inode {
    pub(super) links: u32,
    pub(super) holds: u32,
    pub(super) modified: u64,
    pub(super) body: Body,
}

impl Inode {
    pub(super) const fn kind(&self) -> FileKind {
        match self.body {
            Body::File(_) => FileKind::File,
            Body::Directory(_) => FileKind::Directory,
        }
    }
}

/// All files. A number is a place in the list, and one more.
pub(super) struct Tree {
    pub(super) inodes: Vec<Option<Inode>>,
    pub(super) free: Vec<u64>,
    pub(super) budget: Budget,
}

impl Tree {
    pub(super) fn get(&self, inode: u64) -> Result<&Inode, Errno> {
        let place = (inode as usize).wrapping_sub(1);
        self.inodes.get(place).and_then(Option::as_ref).ok_or(Errno::ENOENT)
    }

    pub(super) fn get_mut(&mut self, inode: u64) -> Result<&mut Inode, Errno> {
        let place = (inode as usize).wrapping_sub(1);
        self.inodes.get_mut(place).and_then(Option::as_mut).ok_or(Errno::ENOENT)
    }

    pub(super) fn directory(&self, inode: u64) -> Result<&Directory, Errno> {
        match &self.get(inode)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn directory_mut(&mut self, inode: u64) -> Result<&mut Directory, Errno> {
        match &mut self.get_mut(inode)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// A directory that has not been removed.
    pub(super) fn live_directory(&self, inode: u64) -> Result<&Directory, Errno> {
        let directory = self.directory(inode)?;
        match directory.parent {
            0 => Err(Errno::ENOENT),
            _ => Ok(directory),
        }
    }

    pub(super) fn file_mut(
        &mut self,
        inode: u64,
    ) -> Result<(&mut Contents, &mut u64, &mut Budget), Errno> {
        let place = (inode as usize).wrapping_sub(1);
        let found = self.inodes.get_mut(place).and_then(Option::as_mut).ok_or(Errno::ENOENT)?;
        match &mut found.body {
            Body::File(contents) => Ok((contents, &mut found.modified, &mut self.budget)),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    pub(super) fn is_folder(&self, inode: u64) -> bool {
        matches!(self.get(inode), Ok(inode) if inode.kind() == FileKind::Directory)
    }

    /// A directory is named in each of its directories.
    pub(super) fn check_links(&self, dir: u64, kind: FileKind) -> Result<(), Errno> {
        match kind == FileKind::Directory && self.directory(dir)?.folders + 2 >= MAX_LINKS {
            true => Err(Errno::EMLINK),
            false => Ok(()),
        }
    }

    pub(super) fn add(&mut self, inode: Inode) -> Result<u64, Errno> {
        if !self.budget.take(INODE_BYTES) {
            return Err(Errno::ENOSPC);
        }
        if let Some(number) = self.free.pop() {
            self.inodes[number as usize - 1] = Some(inode);
            return Ok(number);
        }
        // Room for its number when it is free again comes with it.
        let count = self.inodes.len() + 1 - self.free.len();
        let room = self.inodes.try_reserve(1).and_then(|()| self.free.try_reserve(count));
        if room.is_err() {
            self.budget.give(INODE_BYTES);
            return Err(Errno::ENOSPC);
        }
        self.inodes.push(Some(inode));
        Ok(self.inodes.len() as u64)
    }

    /// Frees a file without names and holders.
    pub(super) fn forget(&mut self, inode: u64) {
        let place = (inode as usize).wrapping_sub(1);
        let Some(mut gone) = self.inodes.get_mut(place).and_then(Option::take) else { return };
        if let Body::File(contents) = &mut gone.body {
            contents.clear(&mut self.budget);
        }
        self.budget.give(INODE_BYTES);
        self.free.push(inode);
    }

    pub(super) fn forget_unused(&mut self, inode: u64) {
        if matches!(self.get(inode), Ok(found) if found.links == 0 && found.holds == 0) {
            self.forget(inode);
        }
    }

    /// Adds a name that is not there.
    pub(super) fn enter(
        &mut self,
        dir: u64,
        name: &[u8],
        inode: u64,
        now: u64,
    ) -> Result<(), Errno> {
        if !self.budget.take(name.len() as u64 + NAME_BYTES) {
            return Err(Errno::ENOSPC);
        }
        let is_folder = self.is_folder(inode);
        if is_folder {
            self.directory_mut(inode)?.parent = dir;
        }
        let directory = self.directory_mut(dir)?;
        directory.folders += u32::from(is_folder);
        directory.entries.insert(Box::from(name), inode);
        self.get_mut(dir)?.modified = now;
        Ok(())
    }

    /// Takes a name away that is there; what it named keeps its links.
    pub(super) fn leave(
        &mut self,
        dir: u64,
        name: &[u8],
        inode: u64,
        now: u64,
    ) -> Result<(), Errno> {
        let is_folder = self.is_folder(inode);
        let directory = self.directory_mut(dir)?;
        directory.entries.remove(name);
        directory.folders -= u32::from(is_folder);
        self.budget.give(name.len() as u64 + NAME_BYTES);
        self.get_mut(dir)?.modified = now;
        Ok(())
    }

    /// Takes away a name and the link it was.
    pub(super) fn unlink(
        &mut self,
        dir: u64,
        name: &[u8],
        inode: u64,
        now: u64,
    ) -> Result<(), Errno> {
        self.leave(dir, name, inode, now)?;
        let found = self.get_mut(inode)?;
        found.links -= 1;
        if let Body::Directory(directory) = &mut found.body {
            directory.parent = 0;
        }
        self.forget_unused(inode);
        Ok(())
    }

    pub(super) fn check_empty(&self, inode: u64) -> Result<(), Errno> {
        match &self.get(inode)?.body {
            Body::Directory(directory) if !directory.entries.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    /// Whether `inode` is `dir` or above it.
    pub(super) fn is_above(&self, inode: u64, dir: u64) -> Result<bool, Errno> {
        let mut here = dir;
        while here != inode {
            if here == ROOT {
                return Ok(false);
            }
            here = self.live_directory(here)?.parent;
        }
        Ok(true)
    }

    pub(super) fn check_rename(
        &self,
        moved: u64,
        target: Option<u64>,
        to: u64,
    ) -> Result<(), Errno> {
        let is_folder = self.is_folder(moved);
        if is_folder && self.is_above(moved, to)? {
            return Err(Errno::EINVAL);
        }
        match target.map(|target| (self.is_folder(target), self.check_empty(target))) {
            Some((false, _)) if is_folder => Err(Errno::ENOTDIR),
            Some((true, _)) if !is_folder => Err(Errno::EISDIR),
            Some((true, empty)) => empty,
            Some((false, _)) => Ok(()),
            None => {
                self.check_links(to, if is_folder { FileKind::Directory } else { FileKind::File })
            }
        }
    }
}
