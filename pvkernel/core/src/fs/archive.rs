//! The boot archive (cpio, format `newc`): files that lie in memory and never change.
//!
//! Nothing is copied: contents and names stay where the boot module is. The module is a claim like any
//! other: what contradicts itself is refused as a whole, with the place.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;
use pvkernel_abi::{DirEntry, Errno, FileKind, Stat, NAME_MAX, PATH_MAX};

use super::dir_entry;
use super::filesystem::{At, Cursor, FileSystem, Found, Space, Written};

/// Bytes of a header: six of magic, then thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 110;
/// The name behind the last file.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The number of the uppermost directory of the whole archive.
const ROOT: u64 = 1;
/// Directories below each other.
const DEEPEST: usize = 32;

/// What is wrong with an archive, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArchive {
    /// The byte.
    pub at: usize,
    /// The rule.
    pub what: &'static str,
}

impl fmt::Display for BadArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the boot archive is broken at byte {}: {}", self.at, self.what)
    }
}

struct Entry {
    parent: u64,
    modified: u64,
    kind: FileKind,
    bytes: &'static [u8],
    children: BTreeMap<&'static [u8], u64>,
}

impl Entry {
    const fn new(parent: u64, kind: FileKind, modified: u64, bytes: &'static [u8]) -> Self {
        Self { parent, modified, kind, bytes, children: BTreeMap::new() }
    }
}

/// A number is a place in the list, and one more.
struct Tree {
    entries: Vec<Entry>,
    bytes: u64,
}

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

/// A file as it is stored.
struct Record {
    name: &'static [u8],
    kind: FileKind,
    modified: u64,
    bytes: &'static [u8],
    /// Where the next one begins.
    next: usize,
}

fn number(header: &[u8], index: usize) -> Option<usize> {
    let start = 6 + 8 * index;
    let digits = core::str::from_utf8(header.get(start..start + 8)?).ok()?;
    // `from_str_radix` would take a sign.
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_plain.then(|| usize::from_str_radix(digits, 16).ok()).flatten()
}

fn kind_of(mode: usize) -> FileKind {
    match mode & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        _ => FileKind::Other,
    }
}

fn record(archive: &'static [u8], at: usize) -> Result<Record, &'static str> {
    let header = archive.get(at..).and_then(|rest| rest.get(..HEADER));
    let header = header.ok_or("it ends within a header; 'TRAILER!!!' was expected")?;
    if !header.starts_with(b"070701") && !header.starts_with(b"070702") {
        return Err("not the beginning of a file of the format 'newc'");
    }
    let field = |index| number(header, index).ok_or("a number that is none");
    let (mode, modified, size, name_len) = (field(1)?, field(5)?, field(6)?, field(11)?);
    let name_start = at + HEADER;
    let bytes_start = (name_start.saturating_add(name_len)).next_multiple_of(4);
    let bytes_end = bytes_start.saturating_add(size);
    let name = archive.get(name_start..name_start.saturating_add(name_len));
    let name = name.and_then(|name| name.strip_suffix(&[0])).ok_or("a name without end")?;
    let bytes = archive.get(bytes_start..bytes_end).ok_or("a file longer than the archive")?;
    let kind = kind_of(mode);
    let modified = modified as u64;
    Ok(Record { name, kind, modified, bytes, next: bytes_end.saturating_add(3) & !3 })
}

impl Tree {
    fn get(&self, inode: u64) -> Option<&Entry> {
        self.entries.get((inode as usize).wrapping_sub(1))
    }

    /// The child of a directory, made if it is not there.
    fn child(&mut self, dir: u64, name: &'static [u8], entry: Entry) -> Result<u64, &'static str> {
        let next = self.entries.len() as u64 + 1;
        let place = (dir as usize).wrapping_sub(1);
        let folder = self.entries.get_mut(place).ok_or("a name without directory")?;
        let Some(there) = folder.children.get(name).copied() else {
            folder.children.insert(name, next);
            self.entries.push(entry);
            return Ok(next);
        };
        let old = self.entries.get_mut(there as usize - 1).ok_or("a name without file")?;
        match (old.kind, entry.kind) {
            (FileKind::Directory, FileKind::Directory) => {}
            (FileKind::Directory, _) | (_, FileKind::Directory) => {
                return Err("a name of both a file and a directory");
            }
            // The later one is meant.
            _ => *old = entry,
        }
        Ok(there)
    }

    fn add(&mut self, record: &Record) -> Result<(), &'static str> {
        let names = || record.name.split(|byte| *byte == b'/').filter(|name| *name != b"");
        let names = || names().filter(|name| *name != b".");
        let is_good = |name: &[u8]| name != b".." && name.len() <= NAME_MAX && !name.contains(&0);
        let count = names().count();
        if record.name.len() > PATH_MAX || count > DEEPEST || !names().all(is_good) {
            return Err("a name that no file can have");
        }
        let mut dir = ROOT;
        for (place, name) in names().enumerate() {
            let entry = match place + 1 == count {
                true => Entry::new(dir, record.kind, record.modified, record.bytes),
                false => Entry::new(dir, FileKind::Directory, record.modified, b""),
            };
            dir = self.child(dir, name, entry)?;
        }
        Ok(())
    }
}

impl Archive {
    /// Understands an archive.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(archive: &'static [u8]) -> Result<Self, BadArchive> {
        let root = Entry::new(ROOT, FileKind::Directory, 0, b"");
        let mut tree = Tree { entries: alloc::vec![root], bytes: archive.len() as u64 };
        let mut at = 0;
        loop {
            let bad = |what| BadArchive { at, what };
            let record = record(archive, at).map_err(bad)?;
            if record.name == TRAILER {
                return Ok(Self { tree: Arc::new(tree), root: ROOT });
            }
            tree.add(&record).map_err(bad)?;
            at = record.next;
        }
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
