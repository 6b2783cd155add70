//! Random histories of a tree of files, for tests of file systems against a model or each other.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use pvkernel_abi::{open, DirEntry, Errno, Seek};

use super::{dir_entry, FileTable};

/// Files kept open over several steps.
pub const KEPT: usize = 3;

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // They are system calls.
pub enum Op {
    Open { path: String, flags: u64 },
    Write { path: String, at: u64, len: usize, fill: u8 },
    Append { path: String, len: usize, fill: u8 },
    Truncate { path: String, size: u64 },
    Read { path: String, at: u64, len: usize },
    Mkdir { path: String },
    Unlink { path: String },
    Link { old: String, new: String },
    Rename { old: String, new: String },
    Chdir { path: String },
    Getcwd,
    List { path: String },
    Stat { path: String },
    Keep { slot: usize, path: String },
    KeptWrite { slot: usize, len: usize, fill: u8 },
    KeptRead { slot: usize },
    KeptClose { slot: usize },
}

/// What a step gave.
pub type Outcome = Result<Vec<u8>, Errno>;

/// Names that meet often.
const NAMES: [&str; 8] = ["a", "b", "c", "a", "b", "..", ".", "dd"];

/// A path from some bits: absolute or not, with repeated and trailing slashes.
fn path(bits: u32) -> String {
    let mut path = String::from(if bits & 1 == 0 { "/" } else { "" });
    for step in 0..=(bits >> 1) % 3 {
        let name = NAMES[(bits >> (4 + 4 * step)) as usize % NAMES.len()];
        path.push_str(name);
        path.push('/');
    }
    if bits >> 28 != 0 {
        path.pop();
    }
    path
}

impl Op {
    /// A step from random numbers.
    #[must_use]
    pub fn from_numbers(code: u8, one: u32, two: u32, number: u16) -> Self {
        let (slot, fill) = (usize::from(number) % KEPT, (number % 251) as u8 + 1);
        let (at, len) = (u64::from(two % 12_000), usize::from(number) % 6000);
        let old = path(one);
        match code % 20 {
            0 | 1 => {
                let exclusive = if two.is_multiple_of(3) { open::EXCLUSIVE } else { 0 };
                let truncate = if two.is_multiple_of(5) { open::TRUNCATE } else { 0 };
                Self::Open { path: old, flags: open::WRITE | open::CREATE | exclusive | truncate }
            }
            2 => Self::Open { path: old, flags: open::READ },
            3 => Self::Open { path: old, flags: open::READ | open::DIRECTORY },
            4 => Self::Write { path: old, at, len, fill },
            5 => Self::Append { path: old, len, fill },
            6 => Self::Truncate { path: old, size: at },
            7 => Self::Read { path: old, at, len },
            8 | 9 => Self::Mkdir { path: old },
            10 => Self::Unlink { path: old },
            11 => Self::Link { old, new: path(two) },
            12 | 13 => Self::Rename { old, new: path(two) },
            14 => Self::Chdir { path: old },
            15 if two.is_multiple_of(2) => Self::Getcwd,
            15 => Self::List { path: old },
            16 => Self::Stat { path: old },
            17 => Self::Keep { slot, path: old },
            18 if two.is_multiple_of(2) => Self::KeptWrite { slot, len, fill },
            18 => Self::KeptRead { slot },
            _ => Self::KeptClose { slot },
        }
    }
}

/// A table of descriptors that goes through a history.
pub struct Player {
    table: FileTable,
    kept: [Option<u64>; KEPT],
}

impl Player {
    /// Nothing is kept open.
    #[must_use]
    pub const fn new(table: FileTable) -> Self {
        Self { table, kept: [None; KEPT] }
    }

    /// The table.
    #[must_use]
    pub const fn table(&self) -> &FileTable {
        &self.table
    }

    /// Opens, does something, closes.
    fn with(&self, path: &str, flags: u64, f: impl FnOnce(u64) -> Outcome) -> Outcome {
        let fd = self.table.open(path.as_bytes(), flags)?;
        let outcome = f(fd);
        self.table.close(fd)?;
        outcome
    }

    fn write(&self, fd: u64, len: usize, fill: u8) -> Outcome {
        let bytes = vec![fill; len];
        let count = self.table.write(fd, &bytes, &|| false)?;
        Ok(format!("{count} bytes").into_bytes())
    }

    fn read(&self, fd: u64, len: usize) -> Outcome {
        let mut bytes = vec![0; len];
        let count = self.table.read(fd, &mut bytes, &|| false)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Names and kinds, in order of the names.
    fn list(&self, fd: u64) -> Outcome {
        let mut names = Vec::new();
        loop {
            let mut entries: [DirEntry; 2] = [dir_entry(0, pvkernel_abi::FileKind::Other, b""); 2];
            let count = self.table.getdents(fd, &mut entries)?;
            if count == 0 {
                break;
            }
            for entry in entries.iter().take(count) {
                let name = entry.name.get(..entry.name_len as usize).unwrap_or_default();
                names.push(format!("{} {}\n", String::from_utf8_lossy(name), entry.kind));
            }
        }
        names.sort();
        Ok(names.concat().into_bytes())
    }

    fn kept(&self, slot: usize) -> Result<u64, Errno> {
        self.kept.get(slot).copied().flatten().ok_or(Errno::EBADF)
    }

    /// Does a step.
    ///
    /// # Errors
    /// What the step gave.
    pub fn apply(&mut self, op: &Op) -> Outcome {
        let nothing = |()| Vec::new();
        let table = &self.table;
        match op {
            Op::Open { path, flags } => self.with(path, *flags, |_| Ok(Vec::new())),
            Op::Write { path, at, len, fill } => self.with(path, open::WRITE, |fd| {
                table.lseek(fd, *at as i64, Seek::Start)?;
                self.write(fd, *len, *fill)
            }),
            Op::Append { path, len, fill } => {
                self.with(path, open::WRITE | open::APPEND, |fd| self.write(fd, *len, *fill))
            }
            Op::Truncate { path, size } => {
                self.with(path, open::WRITE, |fd| table.truncate(fd, *size).map(nothing))
            }
            Op::Read { path, at, len } => self.with(path, open::READ, |fd| {
                table.lseek(fd, *at as i64, Seek::Start)?;
                self.read(fd, *len)
            }),
            Op::Mkdir { path } => table.mkdir(path.as_bytes()).map(nothing),
            Op::Unlink { path } => table.unlink(path.as_bytes()).map(nothing),
            Op::Link { old, new } => table.link(old.as_bytes(), new.as_bytes()).map(nothing),
            Op::Rename { old, new } => table.rename(old.as_bytes(), new.as_bytes()).map(nothing),
            Op::Chdir { path } => table.chdir(path.as_bytes()).map(nothing),
            Op::Getcwd => {
                let mut path = vec![0; 1024];
                let len = table.getcwd(&mut path)?;
                path.truncate(len);
                Ok(path)
            }
            Op::List { path } => self.with(path, open::READ | open::DIRECTORY, |fd| self.list(fd)),
            Op::Stat { path } => {
                let stat = table.stat(path.as_bytes())?;
                // The size of a directory is its file system's own affair.
                let size = if stat.kind == 2 { 0 } else { stat.size };
                Ok(format!("{} {size} {}", stat.kind, stat.links).into_bytes())
            }
            Op::Keep { slot, path } => {
                let fd = table.open(path.as_bytes(), open::READ | open::WRITE)?;
                let old = self.kept.get_mut(*slot).and_then(|kept| kept.replace(fd));
                old.map_or(Ok(()), |old| self.table.close(old)).map(nothing)
            }
            Op::KeptWrite { slot, len, fill } => self.write(self.kept(*slot)?, *len, *fill),
            Op::KeptRead { slot } => {
                let fd = self.kept(*slot)?;
                self.table.lseek(fd, 0, Seek::Start)?;
                self.read(fd, 20_000)
            }
            Op::KeptClose { slot } => {
                let fd = self.kept(*slot)?;
                self.kept[*slot] = None;
                self.table.close(fd).map(nothing)
            }
        }
    }
}
