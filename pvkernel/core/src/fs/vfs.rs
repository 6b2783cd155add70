//! The tree of all files: what is done by path.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use pvkernel_abi::{open, Errno, FileKind, Stat};

use super::filesystem::FileSystem;
use super::mount::{MakeFileSystem, Mount};
use super::node::Node;
use super::open_file::{OpenFile, What};
use super::walk::Place;
use crate::kernel::Kernel;
use crate::sync::Lock;

/// Attempts to open a file that others make and remove at the same time.
const ATTEMPTS: u32 = 8;
/// All bits of `open`'s flags.
const ALL_FLAGS: u64 = open::READ
    | open::WRITE
    | open::CREATE
    | open::EXCLUSIVE
    | open::TRUNCATE
    | open::APPEND
    | open::CLOSE_ON_EXEC
    | open::DIRECTORY;

/// What all processes together may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open files; those that `dup` and `fork` share count once.
    pub open_files: usize,
    /// Bytes of a program.
    pub program: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_files: 1024, program: 16 << 20 }
    }
}

/// The contents of a program: where they lie in the boot module, or a copy.
pub type Program = Cow<'static, [u8]>;

/// The tree.
pub struct Vfs {
    pub(super) kernel: &'static Kernel,
    pub(super) root: Arc<Mount>,
    pub(super) mounts: Lock<Vec<Arc<Mount>>>,
    pub(super) make: Option<MakeFileSystem>,
    open_files: AtomicUsize,
    limits: Limits,
}

impl Vfs {
    /// A tree of one file system. `make` understands disks, for `mount`.
    #[must_use]
    pub fn new(
        kernel: &'static Kernel,
        root: Arc<dyn FileSystem>,
        make: Option<MakeFileSystem>,
        limits: Limits,
    ) -> Self {
        let root = Mount::uppermost(root);
        let mounts = Lock::new(alloc::vec![Arc::clone(&root)]);
        Self { kernel, root, mounts, make, open_files: AtomicUsize::new(0), limits }
    }

    /// Open files of all processes.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.open_files.load(Ordering::Relaxed)
    }

    /// Counts a file that is about to be open.
    pub(super) fn take_open(&self) -> Result<(), Errno> {
        super::check_memory()?;
        if self.open_files.fetch_add(1, Ordering::Relaxed) >= self.limits.open_files {
            self.give_open();
            return Err(Errno::ENFILE);
        }
        Ok(())
    }

    pub(super) fn give_open(&self) {
        self.open_files.fetch_sub(1, Ordering::Relaxed);
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As POSIX has them; `EINVAL` for flags that contradict each other.
    pub fn open(
        &'static self,
        from: &Node,
        path: &[u8],
        flags: u64,
    ) -> Result<Arc<OpenFile>, Errno> {
        check_flags(flags)?;
        self.take_open()?;
        let what = self.open_what(from, path, flags).inspect_err(|_| self.give_open())?;
        Ok(OpenFile::new(self, what, flags))
    }

    fn open_what(&self, from: &Node, path: &[u8], flags: u64) -> Result<What, Errno> {
        let node = match flags & open::CREATE {
            0 => self.walk(from, path)?,
            _ => self.find_or_make(from, path, flags)?,
        };
        let writes = flags & (open::WRITE | open::TRUNCATE) != 0;
        if flags & open::DIRECTORY != 0 && !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        match node.kind {
            FileKind::Directory if writes => Err(Errno::EISDIR),
            FileKind::Character | FileKind::Block => {
                node.fs().device(node.inode).map(What::File).ok_or(Errno::ENODEV)
            }
            FileKind::File if writes && node.fs().is_read_only() => Err(Errno::EROFS),
            FileKind::File if flags & open::TRUNCATE != 0 => {
                node.fs().truncate(node.inode, 0)?;
                Ok(What::Node(node))
            }
            FileKind::File | FileKind::Directory => Ok(What::Node(node)),
            FileKind::Other => Err(Errno::ELOOP),
        }
    }

    fn find_or_make(&self, from: &Node, path: &[u8], flags: u64) -> Result<Node, Errno> {
        let place = self.place(from, path)?;
        if !place.is_named() || place.wants_folder {
            return self.walk(from, path).and(Err(Errno::EISDIR));
        }
        let is_exclusive = flags & open::EXCLUSIVE != 0;
        for _ in 0..ATTEMPTS {
            match self.step(place.folder.clone(), place.name) {
                Ok(_) if is_exclusive => return Err(Errno::EEXIST),
                Err(Errno::ENOENT) => {}
                other => return other,
            }
            match place.folder.fs().create(place.folder.inode, place.name) {
                Err(Errno::EEXIST) if !is_exclusive => {}
                made => return Ok(Node::of(place.folder.mount.clone(), made?)),
            }
        }
        Err(Errno::EAGAIN)
    }

    /// About the file at a path.
    ///
    /// # Errors
    /// It is not there.
    pub fn stat(&self, from: &Node, path: &[u8]) -> Result<Stat, Errno> {
        self.stat_node(&self.walk(from, path)?)
    }

    pub(super) fn stat_node(&self, node: &Node) -> Result<Stat, Errno> {
        let stat = node.fs().stat(node.inode)?;
        Ok(Stat { mount: self.index_of(&node.mount), ..stat })
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// The name is taken, or there is no room.
    pub fn mkdir(&self, from: &Node, path: &[u8]) -> Result<(), Errno> {
        super::check_memory()?;
        let place = self.place(from, path)?;
        if !place.is_named() {
            return Err(Errno::EEXIST);
        }
        let made = place.folder.fs().mkdir(place.folder.inode, place.name)?;
        drop(Node::of(place.folder.mount.clone(), made));
        Ok(())
    }

    /// Removes the name of a file, or an empty directory.
    ///
    /// # Errors
    /// `ENOTEMPTY`; `EBUSY` where something is mounted; `EINVAL` for `.` and `..`.
    pub fn unlink(&self, from: &Node, path: &[u8]) -> Result<(), Errno> {
        let place = self.place(from, path)?;
        self.check_removable(&place)?;
        place.folder.fs().remove(place.folder.inode, place.name)
    }

    fn check_removable(&self, place: &Place<'_>) -> Result<(), Errno> {
        match place.name {
            b"" => Err(Errno::EBUSY),
            b"." | b".." => Err(Errno::EINVAL),
            _ => {
                self.check_not_covered(place)?;
                self.check_folder(place, place.wants_folder)
            }
        }
    }

    /// A name with a slash behind it is a directory's.
    fn check_folder(&self, place: &Place<'_>, wants_folder: bool) -> Result<(), Errno> {
        if !wants_folder {
            return Ok(());
        }
        match self.step(place.folder.clone(), place.name)?.is_directory() {
            true => Ok(()),
            false => Err(Errno::ENOTDIR),
        }
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// `EPERM` for a directory, `EXDEV`, `EEXIST`.
    pub fn link(&self, from: &Node, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        super::check_memory()?;
        let node = self.walk(from, old)?;
        if node.is_directory() {
            return Err(Errno::EPERM);
        }
        let place = self.place(from, new)?;
        if !place.is_named() {
            return Err(Errno::EEXIST);
        }
        if !Arc::ptr_eq(&node.mount, &place.folder.mount) {
            return Err(Errno::EXDEV);
        }
        if place.wants_folder {
            return Err(Errno::ENOENT);
        }
        node.fs().link(node.inode, place.folder.inode, place.name)
    }

    /// Moves a file or directory, over what has the name if it is of the same kind and, if a directory, empty.
    ///
    /// # Errors
    /// `EXDEV`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`; `EINVAL` into itself; `EBUSY` where something is mounted.
    pub fn rename(&self, from: &Node, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        super::check_memory()?;
        let old = self.place(from, old)?;
        let new = self.place(from, new)?;
        self.check_removable(&old)?;
        match new.name {
            b"" => return Err(Errno::EBUSY),
            b"." | b".." => return Err(Errno::EINVAL),
            _ => self.check_not_covered(&new)?,
        }
        if !Arc::ptr_eq(&old.folder.mount, &new.folder.mount) {
            return Err(Errno::EXDEV);
        }
        self.check_folder(&old, new.wants_folder)?;
        let (one, two) = ((old.folder.inode, old.name), (new.folder.inode, new.name));
        old.folder.fs().rename(one, two)
    }

    /// The contents of a program.
    ///
    /// # Errors
    /// It is no file, or larger than programs may be.
    pub fn program(&self, from: &Node, path: &[u8]) -> Result<Program, Errno> {
        let node = self.walk(from, path)?;
        match node.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::ENOEXEC),
        }
        if let Some(bytes) = node.fs().lend(node.inode) {
            return Ok(Cow::Borrowed(bytes));
        }
        let size = node.fs().stat(node.inode)?.size;
        if size > self.limits.program {
            return Err(Errno::EFBIG);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size as usize).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(size as usize, 0);
        let mut len = 0;
        while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match node.fs().read(node.inode, len as u64, rest)? {
                0 => break,
                more => len += more,
            }
        }
        bytes.truncate(len);
        Ok(Cow::Owned(bytes))
    }
}

fn check_flags(flags: u64) -> Result<(), Errno> {
    let has = |bit| flags & bit != 0;
    let is_known = flags & !ALL_FLAGS == 0;
    let is_used = has(open::READ) || has(open::WRITE);
    let changes = has(open::TRUNCATE) || has(open::APPEND);
    let is_whole = (!changes || has(open::WRITE))
        && (!has(open::EXCLUSIVE) || has(open::CREATE))
        && !(has(open::CREATE) && has(open::DIRECTORY));
    match is_known && is_used && is_whole {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}
