//! What a process has open: its descriptors and its directory.
//!
//! The methods are the system calls of `pvkernel-abi` on slices of the kernel. Many threads may call them,
//! although a process has one. Dropping a table closes everything.

use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_abi::{open, DirEntry, Errno, Seek, Stat, OPEN_MAX};

use super::file::{File, GiveUp};
use super::node::Node;
use super::open_file::{OpenFile, What};
use super::pipe;
use super::vfs::{Program, Vfs};
use crate::sync::Lock;

#[derive(Clone)]
struct Slot {
    file: Arc<OpenFile>,
    closes_on_exec: bool,
}

#[derive(Clone)]
struct Inner {
    slots: Vec<Option<Slot>>,
    folder: Arc<Node>,
}

impl Inner {
    /// The lowest free descriptor.
    fn free(&self) -> Result<usize, Errno> {
        let hole = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        match hole < OPEN_MAX {
            true => Ok(hole),
            false => Err(Errno::EMFILE),
        }
    }

    /// Puts a file at a descriptor; returns what was there.
    fn put(&mut self, fd: usize, slot: Slot) -> Option<Slot> {
        while self.slots.len() <= fd {
            self.slots.push(None);
        }
        self.slots.get_mut(fd).and_then(|place| place.replace(slot))
    }
}

/// Descriptors of one process.
pub struct FileTable {
    vfs: &'static Vfs,
    inner: Lock<Inner>,
}

/// A descriptor as a place in the table.
fn place(fd: u64) -> Result<usize, Errno> {
    usize::try_from(fd).ok().filter(|fd| *fd < OPEN_MAX).ok_or(Errno::EBADF)
}

#[allow(clippy::missing_errors_doc)] // An errno, as POSIX has it.
impl FileTable {
    /// Nothing is open; the directory is the root.
    #[must_use]
    pub fn new(vfs: &'static Vfs) -> Self {
        let folder = Arc::new(vfs.root());
        Self { vfs, inner: Lock::new(Inner { slots: Vec::new(), folder }) }
    }

    /// The same files for a child; positions are shared.
    pub fn fork(&self) -> Result<Self, Errno> {
        super::check_memory()?;
        let inner = self.inner.lock().clone();
        Ok(Self { vfs: self.vfs, inner: Lock::new(inner) })
    }

    /// Closes what `exec` closes.
    pub fn close_for_exec(&self) {
        let closing = |place: &mut Option<Slot>| {
            place.take_if(|slot| slot.closes_on_exec).map(|slot| slot.file)
        };
        let has_any = self.inner.lock().slots.iter().flatten().any(|slot| slot.closes_on_exec);
        if has_any {
            let closed: Vec<_> = self.inner.lock().slots.iter_mut().filter_map(closing).collect();
            drop(closed);
        }
    }

    /// Closes everything, for a process that has ended but is still listed.
    pub fn close_all(&self) {
        let (slots, folder) = {
            let mut inner = self.inner.lock();
            let root = Arc::new(self.vfs.root());
            (core::mem::take(&mut inner.slots), core::mem::replace(&mut inner.folder, root))
        };
        drop((slots, folder));
    }

    /// Open descriptors.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.lock().slots.iter().flatten().count()
    }

    /// The tree.
    #[must_use]
    pub const fn vfs(&self) -> &'static Vfs {
        self.vfs
    }

    /// The file behind a descriptor.
    pub fn get(&self, fd: u64) -> Result<Arc<OpenFile>, Errno> {
        let fd = place(fd)?;
        let inner = self.inner.lock();
        let slot = inner.slots.get(fd).and_then(Option::as_ref);
        slot.map(|slot| Arc::clone(&slot.file)).ok_or(Errno::EBADF)
    }

    fn folder(&self) -> Arc<Node> {
        Arc::clone(&self.inner.lock().folder)
    }

    fn add(&self, file: Arc<OpenFile>, flags: u64) -> Result<u64, Errno> {
        let slot = Slot { file, closes_on_exec: flags & open::CLOSE_ON_EXEC != 0 };
        let mut inner = self.inner.lock();
        let fd = match inner.free() {
            Ok(fd) => fd,
            Err(error) => {
                drop(inner);
                return Err(error);
            }
        };
        inner.put(fd, slot);
        Ok(fd as u64)
    }

    fn check_free(&self) -> Result<(), Errno> {
        self.inner.lock().free().map(drop)
    }

    /// Opens something that has no name: a connection, the console.
    pub fn install(&self, file: Arc<dyn File>, flags: u64) -> Result<u64, Errno> {
        self.check_free()?;
        self.vfs.take_open()?;
        self.add(OpenFile::new(self.vfs, What::File(file), flags), flags)
    }

    /// `open`.
    pub fn open(&self, path: &[u8], flags: u64) -> Result<u64, Errno> {
        self.check_free()?;
        let file = self.vfs.open(&self.folder(), path, flags)?;
        self.add(file, flags)
    }

    /// `close`.
    pub fn close(&self, fd: u64) -> Result<(), Errno> {
        let fd = place(fd)?;
        let closed = self.inner.lock().slots.get_mut(fd).and_then(Option::take);
        closed.map(drop).ok_or(Errno::EBADF)
    }

    /// `read`.
    pub fn read(&self, fd: u64, to: &mut [u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.get(fd)?.read(to, give_up)
    }

    /// `write`.
    pub fn write(&self, fd: u64, from: &[u8], give_up: GiveUp<'_>) -> Result<usize, Errno> {
        self.get(fd)?.write(from, give_up)
    }

    /// `accept`: a descriptor of the connection.
    pub fn accept(&self, fd: u64, timeout_ns: u64, give_up: GiveUp<'_>) -> Result<u64, Errno> {
        let listener = self.get(fd)?;
        self.check_free()?;
        self.install(listener.accept(timeout_ns, give_up)?, open::READ | open::WRITE)
    }

    /// `dup`; `to` is the descriptor wanted. It survives `exec`.
    pub fn dup(&self, fd: u64, to: Option<u64>) -> Result<u64, Errno> {
        let file = self.get(fd)?;
        let Some(to) = to else { return self.add(file, 0) };
        let to = place(to)?;
        if to as u64 == fd {
            return Ok(fd);
        }
        let slot = Slot { file, closes_on_exec: false };
        let replaced = self.inner.lock().put(to, slot);
        drop(replaced);
        Ok(to as u64)
    }

    /// `lseek`.
    pub fn lseek(&self, fd: u64, offset: i64, from: Seek) -> Result<u64, Errno> {
        self.get(fd)?.seek(offset, from)
    }

    /// `fstat`.
    pub fn fstat(&self, fd: u64) -> Result<Stat, Errno> {
        self.get(fd)?.stat()
    }

    /// `stat`.
    pub fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        self.vfs.stat(&self.folder(), path)
    }

    /// `mkdir`.
    pub fn mkdir(&self, path: &[u8]) -> Result<(), Errno> {
        self.vfs.mkdir(&self.folder(), path)
    }

    /// `unlink`.
    pub fn unlink(&self, path: &[u8]) -> Result<(), Errno> {
        self.vfs.unlink(&self.folder(), path)
    }

    /// `link`.
    pub fn link(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        self.vfs.link(&self.folder(), old, new)
    }

    /// `rename`.
    pub fn rename(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        self.vfs.rename(&self.folder(), old, new)
    }

    /// `chdir`.
    pub fn chdir(&self, path: &[u8]) -> Result<(), Errno> {
        super::check_memory()?;
        let node = self.vfs.walk(&self.folder(), path)?;
        if !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let before = core::mem::replace(&mut self.inner.lock().folder, Arc::new(node));
        drop(before);
        Ok(())
    }

    /// `getcwd`: the bytes of the path.
    pub fn getcwd(&self, to: &mut [u8]) -> Result<usize, Errno> {
        super::check_memory()?;
        let path = self.vfs.path_of(&self.folder())?;
        let place = to.get_mut(..path.len()).ok_or(Errno::ENAMETOOLONG)?;
        place.copy_from_slice(&path);
        Ok(path.len())
    }

    /// `getdents`: the number of entries.
    pub fn getdents(&self, fd: u64, to: &mut [DirEntry]) -> Result<usize, Errno> {
        self.get(fd)?.list(to)
    }

    /// `fsync`.
    pub fn fsync(&self, fd: u64) -> Result<(), Errno> {
        self.get(fd)?.sync()
    }

    /// `truncate`.
    pub fn truncate(&self, fd: u64, size: u64) -> Result<(), Errno> {
        self.get(fd)?.truncate(size)
    }

    /// `pipe`: the end to read, the end to write.
    pub fn pipe(&self) -> Result<(u64, u64), Errno> {
        super::check_memory()?;
        let (reader, writer) = pipe::ends(self.vfs.kernel);
        let read = self.install(reader, open::READ)?;
        match self.install(writer, open::WRITE) {
            Ok(write) => Ok((read, write)),
            Err(error) => self.close(read).and(Err(error)),
        }
    }

    /// `mount`: a block device with a file system on it.
    pub fn mount(&self, device: &[u8], path: &[u8]) -> Result<(), Errno> {
        self.vfs.mount_device(&self.folder(), device, path)
    }

    /// `umount`.
    pub fn umount(&self, path: &[u8]) -> Result<(), Errno> {
        self.vfs.unmount(&self.folder(), path)
    }

    /// The contents of a program, for `exec`.
    pub fn program(&self, path: &[u8]) -> Result<Program, Errno> {
        self.vfs.program(&self.folder(), path)
    }
}
