//! Files: one tree of names, made of file systems, and the descriptors of processes.
//!
//! `Vfs` walks paths over the mounted file systems; a `FileSystem` knows files by number; `FileTable` is
//! what a process has open, with the calls of `pvkernel-abi` on slices of the kernel. Who serves system
//! calls copies to and from the program. `RamFs` keeps files on the heap, `Archive` shows the boot
//! module, `DevFs` has the devices; ext4 is in `pvkernel-ext4`.
//!
//! What always holds: a number of a file stays valid while somebody holds it; nothing is dropped under a
//! short lock, because the last one to let go of a file may wait for a disk; who waits for bytes stops
//! when its caller gives up.
//!
//! What it does not do: users and permissions, symbolic links, a cache of blocks.

mod archive;
#[cfg(feature = "net")]
mod connection;
mod devfs;
#[cfg(any(test, feature = "hosted"))]
pub mod exercise;
mod file;
mod filesystem;
mod keys;
mod line;
#[cfg(test)]
mod model;
mod mount;
mod node;
mod open_file;
mod pipe;
#[cfg(test)]
mod pipe_tests;
mod ramfs;
mod sectors;
mod table;
#[cfg(test)]
mod tests;
mod tty;
#[cfg(test)]
mod tty_tests;
mod vfs;
mod walk;

pub use archive::{Archive, BadArchive};
#[cfg(feature = "net")]
pub use connection::{connect, listen, ping, resolve};
pub use devfs::{BlockNode, DevFs};
pub use file::{File, GiveUp};
pub use filesystem::{At, Cursor, FileSystem, Found, Space, Written};
pub use keys::Keys;
pub use mount::MakeFileSystem;
pub use node::Node;
pub use open_file::OpenFile;
pub use pipe::PIPE_BYTES;
pub use ramfs::RamFs;
pub use sectors::Sectors;
pub use table::FileTable;
pub use tty::Tty;
pub use vfs::{Limits, Program, Vfs};

use pvkernel_abi::{DirEntry, Errno, FileKind, NAME_MAX};

/// Bytes that small allocations of one call take at most.
const SMALL_BYTES: usize = 4096;

/// Whether there is memory for the small things of one call, which cannot be refused one by one.
pub(crate) fn check_memory() -> Result<(), Errno> {
    let mut probe: alloc::vec::Vec<u8> = alloc::vec::Vec::new();
    probe.try_reserve_exact(SMALL_BYTES).map_err(|_| Errno::ENOMEM)
}

/// An entry of a directory as programs see it.
#[must_use]
pub fn dir_entry(inode: u64, kind: FileKind, name: &[u8]) -> DirEntry {
    let len = name.len().min(NAME_MAX);
    let mut entry =
        DirEntry { inode, kind: kind as u32, name_len: len as u32, name: [0; NAME_MAX + 1] };
    entry.name[..len].copy_from_slice(&name[..len]);
    entry
}
