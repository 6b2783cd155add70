//! The file system.

use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_abi::{DirEntry, Errno, FileKind, Stat};
use pvkernel_core::fs::{dir_entry, At, Cursor, FileSystem, Found, Space, Written};
use pvkernel_core::kernel::Kernel;
use pvkernel_core::sync::Lock;
use zl_files::{FileError, FileId, Files, Kind, What};

use crate::errors::errno;
use crate::holds::Holds;
use crate::worker::Worker;

/// Changes after which the journal is written: until then it is in memory.
const CHANGES_TO_SYNC: u32 = 64;
/// Largest file: what extents of blocks of 4 KiB can number.
const MAX_SIZE: u64 = 1 << 44;
/// Most bytes written in one step of the journal.
const WRITE_MOST: usize = 256 << 10;
/// Most bytes read at once.
const READ_MOST: usize = 256 << 10;
/// Most entries of a directory read at once.
const ENTRIES_MOST: usize = 64;

/// What the thread owns.
struct State {
    files: Files,
    changes: u32,
    holds: Arc<Lock<Holds>>,
}

/// A mounted ext4.
pub struct Ext4 {
    kernel: &'static Kernel,
    worker: Worker<State>,
    holds: Arc<Lock<Holds>>,
    root: u64,
    is_read_only: bool,
}

fn failed(error: FileError) -> Errno {
    errno(error.what)
}

fn id(inode: u64) -> Result<FileId, Errno> {
    FileId::from_number(inode).ok_or(Errno::ENOENT)
}

const fn kind_of(kind: Kind) -> FileKind {
    match kind {
        Kind::File => FileKind::File,
        Kind::Folder => FileKind::Directory,
        Kind::Other => FileKind::Other,
    }
}

/// Bytes that a thread may keep; they may be many.
fn copy_of(from: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(from.len()).map_err(|_| Errno::ENOMEM)?;
    bytes.extend_from_slice(from);
    Ok(bytes)
}

impl State {
    /// A directory that has not been removed.
    fn folder(&self, inode: u64) -> Result<FileId, Errno> {
        match self.holds.lock().is_nameless(inode) {
            true => Err(Errno::ENOENT),
            false => id(inode),
        }
    }

    fn found(&self, file: FileId, kind: FileKind) -> Found {
        self.holds.lock().add(file.number());
        Found { inode: file.number(), kind }
    }

    /// Frees what lost its last name, if nobody uses it.
    fn lose_name(&mut self, file: Option<FileId>) -> Result<(), Errno> {
        let Some(file) = file else { return Ok(()) };
        let is_free = self.holds.lock().lose_name(file.number());
        match is_free {
            true => self.files.reap_file(file).map_err(errno),
            false => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), Errno> {
        self.changes = 0;
        self.files.sync().map_err(failed)
    }

    fn write(&mut self, inode: u64, at: At, from: &[u8]) -> Result<Written, Errno> {
        let file = id(inode)?;
        let at = match at {
            At::Offset(at) => at,
            At::End => self.files.about(file).map_err(errno)?.size,
        };
        let room = MAX_SIZE.saturating_sub(at).min(WRITE_MOST as u64) as usize;
        let from = from.get(..from.len().min(room)).unwrap_or_default();
        if room == 0 {
            return Err(Errno::EFBIG);
        }
        self.files.write(file, at, from).map_err(failed)?;
        Ok(Written { count: from.len(), end: at + from.len() as u64 })
    }
}

impl Ext4 {
    pub(crate) fn start(
        kernel: &'static Kernel,
        is_read_only: bool,
        mount: impl FnOnce() -> Result<Files, Errno> + Send + 'static,
    ) -> Result<Self, Errno> {
        let holds = Arc::new(Lock::new(Holds::default()));
        let theirs = Arc::clone(&holds);
        let make = move || Ok(State { files: mount()?, changes: 0, holds: theirs });
        let worker = Worker::start(kernel, make)?;
        let root = worker.call(|state| Ok(state.files.root().number()))?;
        Ok(Self { kernel, worker, holds, root, is_read_only })
    }

    /// Changes something.
    fn change<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        if self.is_read_only {
            return Err(Errno::EROFS);
        }
        let now_s = self.kernel.platform().clock.wall_clock().0;
        self.worker.call(move |state| {
            state.files.set_time(now_s);
            let result = f(state);
            state.changes += 1;
            if state.changes >= CHANGES_TO_SYNC {
                let synced = state.sync();
                return result.and_then(|value| synced.map(|()| value));
            }
            result
        })
    }

    /// A name for the thread.
    fn with_name<T: Send + 'static>(
        &self,
        name: &[u8],
        f: impl FnOnce(&mut State, &[u8]) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let name = copy_of(name)?;
        self.change(move |state| f(state, &name))
    }
}

impl FileSystem for Ext4 {
    fn kind(&self) -> &'static str {
        "ext4"
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn root(&self) -> u64 {
        self.root
    }

    fn hold(&self, inode: u64) {
        self.holds.lock().add(inode);
    }

    fn release(&self, inode: u64) {
        let is_free = self.holds.lock().remove(inode);
        if is_free {
            // If the disk fails now, the next mount finds the file among those without names.
            let _ = self.change(move |state| state.files.reap_file(id(inode)?).map_err(errno));
        }
    }

    fn lookup(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        let name = copy_of(name)?;
        self.worker.call(move |state| {
            let dir = state.folder(dir)?;
            let found = state.files.find_in(dir, &name).map_err(errno)?;
            Ok(state.found(found.id, kind_of(found.kind)))
        })
    }

    fn stat(&self, inode: u64) -> Result<Stat, Errno> {
        let about = self.worker.call(move |state| state.files.about(id(inode)?).map_err(errno))?;
        let links = if self.holds.lock().is_nameless(inode) { 0 } else { about.links.into() };
        let kind = kind_of(about.kind) as u32;
        let modified = about.changed_s;
        Ok(Stat { inode, size: about.size, modified, kind, links, mount: 0, reserved: 0 })
    }

    fn create(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.with_name(name, move |state, name| {
            let dir = state.folder(dir)?;
            let made = state.files.create_in(dir, name).map_err(errno)?;
            Ok(state.found(made, FileKind::File))
        })
    }

    fn mkdir(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.with_name(name, move |state, name| {
            let dir = state.folder(dir)?;
            let made = state.files.make_folder_in(dir, name).map_err(errno)?;
            Ok(state.found(made, FileKind::Directory))
        })
    }

    fn read(&self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let len = to.len().min(READ_MOST);
        let bytes = self.worker.call(move |state| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
            bytes.resize(len, 0);
            let count = state.files.read(id(inode)?, at, &mut bytes).map_err(failed)?;
            bytes.truncate(count);
            Ok(bytes)
        })?;
        let place = to.get_mut(..bytes.len()).ok_or(Errno::EIO)?;
        place.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write(&self, inode: u64, at: At, from: &[u8]) -> Result<Written, Errno> {
        let bytes = copy_of(&from[..from.len().min(WRITE_MOST)])?;
        self.change(move |state| state.write(inode, at, &bytes))
    }

    fn truncate(&self, inode: u64, size: u64) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        self.change(move |state| state.files.set_size(id(inode)?, size).map_err(failed))
    }

    fn remove(&self, dir: u64, name: &[u8]) -> Result<(), Errno> {
        self.with_name(name, move |state, name| {
            let dir = state.folder(dir)?;
            let gone = state.files.remove_in(dir, name).map_err(errno)?;
            state.lose_name(gone)
        })
    }

    fn link(&self, inode: u64, dir: u64, name: &[u8]) -> Result<(), Errno> {
        self.with_name(name, move |state, name| {
            let (file, dir) = (state.folder(inode)?, state.folder(dir)?);
            match state.files.link_in(file, dir, name) {
                Err(What::TooLarge) => Err(Errno::EMLINK),
                linked => linked.map_err(errno),
            }
        })
    }

    fn rename(&self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Errno> {
        let (old_name, old, new) = (copy_of(from.1)?, from.0, to.0);
        self.with_name(to.1, move |state, new_name| {
            let (old, new) = (state.folder(old)?, state.folder(new)?);
            let gone = state.files.rename_in((old, &old_name), (new, new_name)).map_err(errno)?;
            state.lose_name(gone)
        })
    }

    fn read_dir(&self, dir: u64, from: &mut Cursor, to: &mut [DirEntry]) -> Result<usize, Errno> {
        let place = match from {
            Cursor::Start => None,
            Cursor::Place(place) => Some(*place),
            Cursor::Name(_) | Cursor::End => return Ok(0),
        };
        if self.holds.lock().is_nameless(dir) {
            return Ok(0);
        }
        let most = to.len().min(ENTRIES_MOST);
        let names = self
            .worker
            .call(move |state| state.files.list_in(id(dir)?, place, most).map_err(errno))?;
        for (named, entry) in names.iter().zip(to.iter_mut()) {
            *entry = dir_entry(named.file.number(), kind_of(named.kind), &named.name);
        }
        *from = match names.last() {
            Some(last) => last.next.map_or(Cursor::End, Cursor::Place),
            None => Cursor::End,
        };
        Ok(names.len())
    }

    fn space(&self) -> Space {
        let space = self.worker.call(|state| Ok(state.files.space()));
        space.map_or(Space::default(), |space| Space { bytes: space.total, free: space.free })
    }

    fn sync(&self) -> Result<(), Errno> {
        match self.is_read_only {
            true => Ok(()),
            false => self.worker.call(State::sync),
        }
    }

    fn end(&self) -> Result<(), Errno> {
        let ended = self.worker.call(|state| state.files.unmount().map_err(failed));
        self.worker.close();
        ended
    }
}
