//! The file system.

use pvkernel_abi::{DirEntry, Errno, FileKind, Stat};
use pvkernel_core::fs::{dir_entry, At, Cursor, FileSystem, Found, Space, Written};
use pvkernel_core::kernel::Kernel;
use pvkernel_core::sleep_lock::{SleepGuard, SleepLock};
use pvkernel_core::sync::Lock;
use zl_files::{FileError, FileId, Files, Kind, What};

use crate::errors::errno;
use crate::holds::Holds;

/// Changes after which the journal is written: until then it is in memory.
const CHANGES_TO_SYNC: u32 = 64;
/// Largest file: what extents of blocks of 4 KiB can number.
const MAX_SIZE: u64 = 1 << 44;
/// Most bytes written in one step of the journal.
const WRITE_MOST: usize = 256 << 10;

struct State {
    files: Files,
    changes: u32,
}

/// A mounted ext4.
pub struct Ext4 {
    kernel: &'static Kernel,
    state: SleepLock<State>,
    holds: Lock<Holds>,
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

impl Ext4 {
    pub(crate) fn new(kernel: &'static Kernel, files: Files, is_read_only: bool) -> Self {
        let root = files.root().number();
        let state = SleepLock::new(State { files, changes: 0 });
        Self { kernel, state, holds: Lock::new(Holds::default()), root, is_read_only }
    }

    fn look(&self) -> SleepGuard<'_, State> {
        self.state.lock(self.kernel)
    }

    /// Changes something.
    fn change<T>(&self, f: impl FnOnce(&mut Files) -> Result<T, Errno>) -> Result<T, Errno> {
        if self.is_read_only {
            return Err(Errno::EROFS);
        }
        let mut state = self.look();
        state.files.set_time(self.kernel.platform().clock.wall_clock().0);
        let result = f(&mut state.files);
        state.changes += 1;
        if state.changes >= CHANGES_TO_SYNC {
            state.changes = 0;
            let synced = state.files.sync().map_err(failed);
            return result.and_then(|value| synced.map(|()| value));
        }
        result
    }

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
    fn lose_name(&self, files: &mut Files, file: Option<FileId>) -> Result<(), Errno> {
        let Some(file) = file else { return Ok(()) };
        match self.holds.lock().lose_name(file.number()) {
            true => {}
            false => return Ok(()),
        }
        files.reap_file(file).map_err(errno)
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
            let _ = self.change(|files| files.reap_file(id(inode)?).map_err(errno));
        }
    }

    fn lookup(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        let mut state = self.look();
        let found = state.files.find_in(self.folder(dir)?, name).map_err(errno)?;
        Ok(self.found(found.id, kind_of(found.kind)))
    }

    fn stat(&self, inode: u64) -> Result<Stat, Errno> {
        let about = self.look().files.about(id(inode)?).map_err(errno)?;
        let links = if self.holds.lock().is_nameless(inode) { 0 } else { about.links.into() };
        let kind = kind_of(about.kind) as u32;
        let modified = about.changed_s;
        Ok(Stat { inode, size: about.size, modified, kind, links, mount: 0, reserved: 0 })
    }

    fn create(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.change(|files| {
            let made = files.create_in(self.folder(dir)?, name).map_err(errno)?;
            Ok(self.found(made, FileKind::File))
        })
    }

    fn mkdir(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        self.change(|files| {
            let made = files.make_folder_in(self.folder(dir)?, name).map_err(errno)?;
            Ok(self.found(made, FileKind::Directory))
        })
    }

    fn read(&self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        self.look().files.read(id(inode)?, at, to).map_err(failed)
    }

    fn write(&self, inode: u64, at: At, from: &[u8]) -> Result<Written, Errno> {
        self.change(|files| {
            let file = id(inode)?;
            let at = match at {
                At::Offset(at) => at,
                At::End => files.about(file).map_err(errno)?.size,
            };
            let room = MAX_SIZE.saturating_sub(at).min(WRITE_MOST as u64) as usize;
            let from = from.get(..from.len().min(room)).unwrap_or_default();
            if room == 0 {
                return Err(Errno::EFBIG);
            }
            files.write(file, at, from).map_err(failed)?;
            Ok(Written { count: from.len(), end: at + from.len() as u64 })
        })
    }

    fn truncate(&self, inode: u64, size: u64) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        self.change(|files| files.set_size(id(inode)?, size).map_err(failed))
    }

    fn remove(&self, dir: u64, name: &[u8]) -> Result<(), Errno> {
        self.change(|files| {
            let gone = files.remove_in(self.folder(dir)?, name).map_err(errno)?;
            self.lose_name(files, gone)
        })
    }

    fn link(&self, inode: u64, dir: u64, name: &[u8]) -> Result<(), Errno> {
        self.change(|files| {
            let (file, dir) = (self.folder(inode)?, self.folder(dir)?);
            match files.link_in(file, dir, name) {
                Err(What::TooLarge) => Err(Errno::EMLINK),
                linked => linked.map_err(errno),
            }
        })
    }

    fn rename(&self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Errno> {
        self.change(|files| {
            let (old, new) = (self.folder(from.0)?, self.folder(to.0)?);
            let gone = files.rename_in((old, from.1), (new, to.1)).map_err(errno)?;
            self.lose_name(files, gone)
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
        let names = self.look().files.list_in(id(dir)?, place, to.len()).map_err(errno)?;
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
        let space = self.look().files.space();
        Space { bytes: space.total, free: space.free }
    }

    fn sync(&self) -> Result<(), Errno> {
        if self.is_read_only {
            return Ok(());
        }
        let mut state = self.look();
        state.changes = 0;
        state.files.sync().map_err(failed)
    }

    fn end(&self) -> Result<(), Errno> {
        self.look().files.unmount().map_err(failed)
    }
}
