//! A file of a mounted file system that somebody holds.

use alloc::sync::Arc;
use pvkernel_abi::FileKind;

use super::filesystem::{FileSystem, Found};
use super::mount::Mount;

/// A file, held as long as this lives. Dropping it may wait for a disk.
pub struct Node {
    pub(super) mount: Arc<Mount>,
    pub(super) inode: u64,
    pub(super) kind: FileKind,
}

impl Node {
    /// Takes over what a file system found.
    pub(super) const fn of(mount: Arc<Mount>, found: Found) -> Self {
        Self { mount, inode: found.inode, kind: found.kind }
    }

    /// The uppermost directory of a file system.
    pub(super) fn root(mount: &Arc<Mount>) -> Self {
        let inode = mount.fs.root();
        mount.fs.hold(inode);
        Self { mount: Arc::clone(mount), inode, kind: FileKind::Directory }
    }

    pub(super) fn fs(&self) -> &dyn FileSystem {
        &*self.mount.fs
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    pub(super) fn is_root(&self) -> bool {
        self.inode == self.fs().root()
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> FileKind {
        self.kind
    }
}

impl Clone for Node {
    fn clone(&self) -> Self {
        self.fs().hold(self.inode);
        Self { mount: Arc::clone(&self.mount), inode: self.inode, kind: self.kind }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.fs().release(self.inode);
    }
}
