//! Layouts of what system calls read and write.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a name in a directory.
pub const NAME_MAX: usize = 255;
/// Bytes of a path.
pub const PATH_MAX: usize = 1024;

/// Bytes somewhere in the program.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Text {
    /// Where.
    pub address: u64,
    /// How many.
    pub len: u64,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FileKind {
    /// Bytes.
    File = 1,
    /// Names of other files.
    Directory = 2,
    /// A device of characters, or one end of a pipe or connection.
    Character = 3,
    /// A disk.
    Block = 4,
    /// Anything else, of which nothing can be read.
    Other = 5,
}

/// About a file.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stat {
    /// Its number, unique on its file system.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 of its last change.
    pub modified: u64,
    /// A `FileKind`.
    pub kind: u32,
    /// Names it has.
    pub links: u32,
    /// The file system it is on, as `statfs` counts them.
    pub mount: u32,
    /// Zero.
    pub reserved: u32,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirEntry {
    /// The file's number.
    pub inode: u64,
    /// A `FileKind`.
    pub kind: u32,
    /// Bytes of the name.
    pub name_len: u32,
    /// The name.
    pub name: [u8; NAME_MAX + 1],
}

/// About a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatFs {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that can still be written.
    pub free: u64,
    /// What it is: `ramfs`, `ext4`, `devfs`; zero bytes behind.
    pub kind: [u8; 16],
    /// The device it is on; zero bytes behind.
    pub device: [u8; 32],
    /// Where it is; zero bytes behind.
    pub path: [u8; 64],
    /// 1 if nothing can be written.
    pub read_only: u64,
}

/// About memory, in pages.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MemoryInfo {
    /// Pages of the machine.
    pub total: u64,
    /// Pages nobody uses.
    pub free: u64,
    /// Pages of the kernel's heap.
    pub heap: u64,
    /// Pages that processes use, shared ones once.
    pub user: u64,
    /// Pages that are page tables of processes.
    pub tables: u64,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProcessState {
    /// Runs, or could.
    Running = 1,
    /// Waits.
    Sleeping = 2,
    /// Has ended; nobody has asked how.
    Ended = 3,
}

/// About a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's, or 0.
    pub parent: u32,
    /// A `ProcessState`.
    pub state: u32,
    /// Open descriptors.
    pub descriptors: u32,
    /// Pages it uses.
    pub pages: u64,
    /// Time it ran in user mode and in the kernel.
    pub run_ns: u64,
    /// Name of its program; zero bytes behind.
    pub name: [u8; 32],
}
