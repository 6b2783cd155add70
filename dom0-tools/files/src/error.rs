//! Why something could not be done with a file: one line for a person.

use alloc::string::String;
use core::fmt;
use rsext4::{Ext4Error, Ext4ErrorKind};

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing has this name.
    Missing,
    /// Something has this name already.
    Exists,
    /// A folder where a file is wanted.
    IsFolder,
    /// A file where a folder is wanted.
    NotFolder,
    /// A folder with something in it.
    NotEmpty,
    /// A path that is not absolute, or has `.`, `..` or an impossible name in it.
    BadPath,
    /// No room on the disk.
    Full,
    /// The file would be larger than the format allows.
    TooLarge,
    /// The disk or its mount is read-only.
    ReadOnly,
    /// There is no ext4 on the disk.
    NotFormatted,
    /// The disk is smaller than a file system.
    TooSmall,
    /// What is on the disk contradicts itself.
    Corrupt,
    /// The disk failed.
    Io,
    /// The file system has features that are not supported.
    Unsupported,
    /// There is no memory for it.
    NoMemory,
    /// A domain uses the file as its disk.
    InUse,
}

/// A path and the rule it broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The path, or what stands for it.
    pub path: String,
    /// The rule.
    pub what: What,
}

impl FileError {
    /// A failure.
    #[must_use]
    pub fn new(path: &str, what: What) -> Self {
        Self { path: String::from(path), what }
    }

    pub(crate) fn of(path: &str, error: Ext4Error) -> Self {
        Self::new(path, what(error.kind()))
    }
}

pub(crate) fn what(kind: Ext4ErrorKind) -> What {
    use Ext4ErrorKind as Kind;
    match kind {
        Kind::NotFound => What::Missing,
        Kind::AlreadyExists => What::Exists,
        Kind::IsDirectory => What::IsFolder,
        Kind::NotDirectory => What::NotFolder,
        Kind::NotEmpty => What::NotEmpty,
        Kind::NoSpace | Kind::QuotaExceeded => What::Full,
        Kind::FileTooLarge | Kind::Overflow | Kind::TooManyLinks => What::TooLarge,
        Kind::ReadOnly | Kind::PermissionDenied => What::ReadOnly,
        Kind::InvalidMagic => What::NotFormatted,
        Kind::Corrupted | Kind::ChecksumMismatch | Kind::BadSuperblock | Kind::JournalAborted => {
            What::Corrupt
        }
        Kind::UnsupportedFeature | Kind::UnsupportedCapability | Kind::Unsupported => {
            What::Unsupported
        }
        Kind::NoMemory => What::NoMemory,
        Kind::InvalidInput | Kind::BadFileDescriptor => What::BadPath,
        Kind::Io | Kind::Busy | Kind::Timeout => What::Io,
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.what {
            What::Missing => "no such file or folder",
            What::Exists => "exists already",
            What::IsFolder => "is a folder, a file is wanted",
            What::NotFolder => "is no folder",
            What::NotEmpty => "the folder is not empty",
            What::BadPath => "expected an absolute path of names without '.' and '..'",
            What::Full => "the disk is full; 'df' shows the room, 'rm' makes some",
            What::TooLarge => "larger than the file system allows",
            What::ReadOnly => "the disk is read-only",
            What::NotFormatted => "there is no ext4 on it; 'format-disk' makes one",
            What::TooSmall => "too small for a file system; 24 MiB are enough",
            What::Corrupt => {
                "what is on the disk contradicts itself; 'e2fsck' on the host repairs it"
            }
            What::Io => "the disk failed",
            What::Unsupported => "made with features of ext4 that are not supported here",
            What::NoMemory => "not enough memory; give dom0 more with dom0_mem=",
            What::InUse => "in use as the disk of a domain; 'zl block-detach' ends that",
        };
        write!(f, "{}: {text}", self.path)
    }
}

impl core::error::Error for FileError {}
