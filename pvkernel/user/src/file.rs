//! Files, directories, pipes and connections. A `File` closes its descriptor when it goes.

use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_abi::{open, DirEntry, FileKind, Seek, Stat};

use crate::{sys, Result};

/// An open file.
#[derive(Debug)]
pub struct File(u32);

impl File {
    /// Opens with flags of `abi::open`.
    ///
    /// # Errors
    /// Those of the system call, as everywhere here.
    pub fn open(path: impl AsRef<[u8]>, flags: u64) -> Result<Self> {
        sys::open(path.as_ref(), flags).map(Self)
    }

    /// Opens to read.
    ///
    /// # Errors
    /// As above.
    pub fn read_only(path: impl AsRef<[u8]>) -> Result<Self> {
        Self::open(path, open::READ)
    }

    /// Makes or empties a file and opens it to write.
    ///
    /// # Errors
    /// As above.
    pub fn create(path: impl AsRef<[u8]>) -> Result<Self> {
        Self::open(path, open::READ | open::WRITE | open::CREATE | open::TRUNCATE)
    }

    /// Takes a descriptor that is nobody else's.
    #[must_use]
    pub const fn of(fd: u32) -> Self {
        Self(fd)
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> u32 {
        self.0
    }

    /// Gives the descriptor away.
    #[must_use]
    pub fn into_fd(self) -> u32 {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }

    /// Reads up to a full buffer; 0 at the end.
    ///
    /// # Errors
    /// As above.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        sys::read(self.0, buffer)
    }

    /// Reads until the buffer is full or the end comes.
    ///
    /// # Errors
    /// As above.
    pub fn read_full(&self, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Reads up to the end.
    ///
    /// # Errors
    /// As above; `EFBIG` for more than `limit` bytes.
    pub fn rest(&self, limit: usize) -> Result<Vec<u8>> {
        let (mut bytes, mut part) = (Vec::new(), [0; 1024]);
        loop {
            let count = self.read(&mut part)?;
            if count == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(part.get(..count).unwrap_or_default());
            if bytes.len() > limit {
                return Err(crate::Errno::EFBIG);
            }
        }
    }

    /// Writes a part.
    ///
    /// # Errors
    /// As above.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        sys::write(self.0, bytes)
    }

    /// Writes all.
    ///
    /// # Errors
    /// As above.
    pub fn write_all(&self, bytes: &[u8]) -> Result<()> {
        crate::io::write_all(self.0, bytes)
    }

    /// Moves the position.
    ///
    /// # Errors
    /// As above.
    pub fn seek(&self, offset: i64, from: Seek) -> Result<u64> {
        sys::lseek(self.0, offset, from)
    }

    /// What it is.
    ///
    /// # Errors
    /// As above.
    pub fn stat(&self) -> Result<Stat> {
        sys::fstat(self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing to do about it.
        let _ = sys::close(self.0);
    }
}

/// All of a file, or an error; at most `limit` bytes.
///
/// # Errors
/// Those of opening and reading; `EFBIG` beyond the limit.
pub fn read_whole(path: impl AsRef<[u8]>, limit: usize) -> Result<Vec<u8>> {
    File::read_only(path)?.rest(limit)
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// The file's number.
    pub inode: u64,
    /// A `FileKind`.
    pub kind: u32,
}

impl Entry {
    fn of(entry: &DirEntry) -> Self {
        let name = entry.name.get(..entry.name_len as usize).unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        Self { name, inode: entry.inode, kind: entry.kind }
    }
}

/// The names in a directory but `.` and `..`, sorted.
///
/// # Errors
/// As above.
pub fn entries(path: impl AsRef<[u8]>) -> Result<Vec<Entry>> {
    let folder = File::open(path, open::READ | open::DIRECTORY)?;
    let (mut found, mut part) = (Vec::new(), alloc::vec![sys::NO_ENTRY; 16]);
    loop {
        let count = sys::getdents(folder.fd(), &mut part)?;
        if count == 0 {
            break;
        }
        found.extend(part.iter().take(count).map(Entry::of));
    }
    found.retain(|entry| entry.name != "." && entry.name != "..");
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether a path leads to a directory.
#[must_use]
pub fn is_directory(path: &str) -> bool {
    sys::stat(path.as_bytes()).is_ok_and(|stat| stat.kind == FileKind::Directory as u32)
}

/// A TCP connection to somebody.
///
/// # Errors
/// As above.
pub fn connect(address: u32, port: u16, timeout_ns: u64) -> Result<File> {
    sys::connect(address, port, timeout_ns).map(File)
}

/// A TCP connection that came to a descriptor of `sys::listen`.
///
/// # Errors
/// As above.
pub fn accept(listener: u32, timeout_ns: u64) -> Result<File> {
    sys::accept(listener, timeout_ns).map(File)
}

/// A pipe: the end to read, the end to write.
///
/// # Errors
/// As above.
pub fn pipe() -> Result<(File, File)> {
    let [read, write] = sys::pipe()?;
    Ok((File(read), File(write)))
}
