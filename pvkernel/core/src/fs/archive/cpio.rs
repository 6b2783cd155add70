//! The format `newc`: from bytes to a tree.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use pvkernel_abi::{FileKind, NAME_MAX, PATH_MAX};

/// Bytes of a header: six of magic, then thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 110;
/// The name behind the last file.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The number of the uppermost directory of the whole archive.
pub(super) const ROOT: u64 = 1;
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

pub(super) struct Entry {
    pub(super) parent: u64,
    pub(super) modified: u64,
    pub(super) kind: FileKind,
    pub(super) bytes: &'static [u8],
    pub(super) children: BTreeMap<&'static [u8], u64>,
}

impl Entry {
    const fn new(parent: u64, kind: FileKind, modified: u64, bytes: &'static [u8]) -> Self {
        Self { parent, modified, kind, bytes, children: BTreeMap::new() }
    }
}

/// A number is a place in the list, and one more.
pub(super) struct Tree {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: u64,
}

/// A file as it is stored.
struct Record {
    name: &'static [u8],
    pub(super) kind: FileKind,
    pub(super) modified: u64,
    pub(super) bytes: &'static [u8],
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
    /// Understands an archive.
    pub(super) fn new(archive: &'static [u8]) -> Result<Self, BadArchive> {
        let root = Entry::new(ROOT, FileKind::Directory, 0, b"");
        let mut tree = Self { entries: alloc::vec![root], bytes: archive.len() as u64 };
        let mut at = 0;
        loop {
            let bad = |what| BadArchive { at, what };
            let record = record(archive, at).map_err(bad)?;
            if record.name == TRAILER {
                return Ok(tree);
            }
            tree.add(&record).map_err(bad)?;
            at = record.next;
        }
    }

    pub(super) fn get(&self, inode: u64) -> Option<&Entry> {
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
