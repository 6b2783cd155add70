//! The boot archive: a cpio file in the `newc` format, read in place.
//!
//! The control domain gets it as its ramdisk; it holds guest kernels and configurations. The shell
//! lists it, `zl create` opens files of it.
//!
//! The bytes are untrusted: every length is checked against what is left, and a damaged archive
//! gives an error that says where, never a panic. Only regular files count; directories, links and
//! devices are skipped. Nothing is copied.

use alloc::collections::BTreeMap;
use core::fmt;

const HEADER_LEN: usize = 110;
const TRAILER: &str = "TRAILER!!!";
const FILE_TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;

/// Files by name.
#[derive(Clone, Debug, Default)]
pub struct Archive<'a> {
    files: BTreeMap<&'a str, &'a [u8]>,
}

/// Why an archive cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// No archive header where one is needed.
    BadMagic {
        /// Offset in the archive.
        at: usize,
    },
    /// A header field is not hexadecimal.
    BadNumber {
        /// Offset in the archive.
        at: usize,
    },
    /// A name or a file ends beyond the archive.
    Truncated {
        /// Offset in the archive.
        at: usize,
    },
    /// A name that is not text or does not end with a NUL.
    BadName {
        /// Offset in the archive.
        at: usize,
    },
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, at) = match self {
            Self::BadMagic { at } => ("no cpio newc header", at),
            Self::BadNumber { at } => ("a header field is not hexadecimal", at),
            Self::Truncated { at } => ("the archive ends early, in the file that starts", at),
            Self::BadName { at } => ("a file name is not text", at),
        };
        write!(f, "{what} at byte {at}; make the archive with 'cpio -o -H newc'")
    }
}

impl core::error::Error for ArchiveError {}

impl<'a> Archive<'a> {
    /// Reads the table of an archive. Of two files with one name the later one counts.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let mut files = BTreeMap::new();
        let mut at = 0;
        loop {
            let entry = Entry::parse(bytes, at)?;
            if entry.name == TRAILER {
                return Ok(Self { files });
            }
            if entry.mode & FILE_TYPE_MASK == REGULAR_FILE {
                files.insert(plain_name(entry.name), entry.data);
            }
            at = entry.next;
        }
    }

    /// An archive of these files, for places that have no cpio file.
    #[must_use]
    pub fn from_files<const N: usize>(files: [(&'a str, &'a [u8]); N]) -> Self {
        Self { files: BTreeMap::from(files) }
    }

    /// The bytes of a file; `./` and `/` in front of its name mean nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.files.get(plain_name(name)).copied()
    }

    /// Takes a file out, so that nobody finds it any more.
    pub fn take(&mut self, name: &str) -> Option<&'a [u8]> {
        self.files.remove(plain_name(name))
    }

    /// Names and bytes of all files, by name.
    pub fn files(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.files.iter().map(|(name, data)| (*name, *data))
    }
}

fn plain_name(name: &str) -> &str {
    let name = name.strip_prefix("./").unwrap_or(name);
    name.trim_start_matches('/')
}

struct Entry<'a> {
    mode: u32,
    name: &'a str,
    data: &'a [u8],
    next: usize,
}

impl<'a> Entry<'a> {
    fn parse(bytes: &'a [u8], at: usize) -> Result<Self, ArchiveError> {
        let truncated = ArchiveError::Truncated { at };
        let header = slice(bytes, at, HEADER_LEN).ok_or(ArchiveError::BadMagic { at })?;
        if !header.starts_with(b"070701") && !header.starts_with(b"070702") {
            return Err(ArchiveError::BadMagic { at });
        }
        // Field numbers: mode 1, file size 6, name size 11; eight digits each behind the magic.
        let mode = field(header, 1, at)?;
        let data_len = field(header, 6, at)? as usize;
        let name_len = field(header, 11, at)? as usize;
        let name_at = at.checked_add(HEADER_LEN).ok_or(truncated)?;
        let raw_name = slice(bytes, name_at, name_len).ok_or(truncated)?;
        let data_at = align4(name_at.checked_add(name_len).ok_or(truncated)?).ok_or(truncated)?;
        let data = slice(bytes, data_at, data_len).ok_or(truncated)?;
        let next = data_at.checked_add(data_len).and_then(align4).ok_or(truncated)?;
        let name = raw_name.strip_suffix(&[0]).ok_or(ArchiveError::BadName { at })?;
        let name = core::str::from_utf8(name).map_err(|_| ArchiveError::BadName { at })?;
        Ok(Self { mode, name, data, next })
    }
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

fn align4(offset: usize) -> Option<usize> {
    offset.checked_next_multiple_of(4)
}

fn field(header: &[u8], number: usize, at: usize) -> Result<u32, ArchiveError> {
    let bad = ArchiveError::BadNumber { at };
    let digits = slice(header, 6 + number * 8, 8).ok_or(bad)?;
    let text = core::str::from_utf8(digits).map_err(|_| bad)?;
    if text.starts_with('+') {
        return Err(bad);
    }
    u32::from_str_radix(text, 16).map_err(|_| bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn entry(mode: u32, name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = format!("070701{:08x}{mode:08x}", 1).into_bytes();
        for number in [0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            out.extend(format!("{number:08x}").bytes());
        }
        out.extend(name.bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn archive() -> Vec<u8> {
        let mut bytes = entry(0o40755, ".", b"");
        bytes.extend(entry(0o100_644, "./hello.cfg", b"name = \"hello\""));
        bytes.extend(entry(0o100_755, "hello", &[0x7f, b'E']));
        bytes.extend(entry(0, TRAILER, b""));
        bytes.resize(1024, 0);
        bytes
    }

    #[test]
    fn files_are_found_with_and_without_leading_dots() {
        let bytes = archive();
        let archive = Archive::parse(&bytes).unwrap();
        assert_eq!(archive.get("hello"), Some(&[0x7f, b'E'][..]));
        assert_eq!(archive.get("/hello.cfg"), Some(&b"name = \"hello\""[..]));
        assert_eq!(archive.get("./hello.cfg"), archive.get("hello.cfg"));
        assert_eq!(archive.get("."), None);
        let names: Vec<_> = archive.files().map(|(name, _)| name).collect();
        assert_eq!(names, ["hello", "hello.cfg"]);
    }

    #[test]
    fn every_cut_is_an_error_and_says_where() {
        let bytes = archive();
        let whole = bytes.windows(10).position(|w| w == TRAILER.as_bytes()).unwrap() + 11;
        for len in 0..whole {
            let cut = bytes.get(..len).unwrap();
            assert!(Archive::parse(cut).is_err(), "a cut at {len} passed");
        }
        let error = Archive::parse(b"hello").unwrap_err();
        assert_eq!(error, ArchiveError::BadMagic { at: 0 });
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..600, byte: u8, cut in 0usize..1024) {
            let mut bytes = archive();
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = Archive::parse(&bytes).map(|archive| archive.files().count());
        }
    }
}
