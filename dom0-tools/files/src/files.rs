//! A mounted file system.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use rsext4::{
    DirectoryCursor, Ext4, Ext4Error, FileName, FilePermissions, InodeInfo, InodeNumber,
    MountOptions, MountServices, MountedServices, MutationContext, NoopObserver,
};

use crate::disk::{Adapter, Disk, SetClock};
use crate::error::{FileError, What};
use crate::held::Holds;
use crate::numbers::kind_of;
use crate::path::{names, split};

/// Entries of a folder read at a time.
const LIST_BATCH: usize = 64;
/// Most entries that one listing returns.
const LIST_MOST: usize = 4096;
/// Bytes of the unit in which the format counts what a file takes.
const SECTOR: u64 = 512;

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// Something else: a link, a device.
    Other,
}

/// About a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Which file.
    pub id: FileId,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Bytes on the disk; less than `size` where nothing was written yet.
    pub used: u64,
    /// Last change, seconds since 1970.
    pub changed_s: u64,
    /// Names it has.
    pub links: u16,
}

/// Names a file while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(pub(crate) InodeNumber);

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// About it.
    pub stat: Stat,
}

/// Room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
}

/// A part of a file that lies in one piece on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the file.
    pub offset: u64,
    /// First byte on the disk.
    pub place: u64,
    /// Bytes.
    pub len: u64,
}

type Mounted = Ext4<Adapter, MountedServices<(), NoopObserver, ()>>;

/// A mounted file system.
pub struct Files {
    pub(crate) fs: Mounted,
    pub(crate) holds: Holds,
    pub(crate) syncs: u32,
    clock: Arc<AtomicU64>,
}

fn mounted(disk: Box<dyn Disk + Send>, clock: &Arc<AtomicU64>) -> Result<Mounted, FileError> {
    let services = MountServices::new(SetClock(Arc::clone(clock)), (), NoopObserver);
    let mut options = MountOptions::read_write();
    options.readonly = disk.is_read_only();
    let fs = Ext4::mount(Adapter(disk), services, options);
    fs.map_err(|error| FileError::of("the disk", error))
}

impl Files {
    /// Mounts a disk. A journal that was left in use is replayed first.
    ///
    /// # Errors
    /// There is no ext4 on the disk, it is broken, or the disk failed.
    pub fn mount(disk: Box<dyn Disk + Send>, now_s: u64) -> Result<Self, FileError> {
        let clock = Arc::new(AtomicU64::new(now_s));
        let fs = mounted(disk, &clock)?;
        Ok(Self { fs, holds: Holds::default(), syncs: 0, clock })
    }

    /// Unmounts and mounts again: nothing of the disk is remembered.
    pub(crate) fn mount_again(&mut self, disk: Box<dyn Disk + Send>) -> Result<(), FileError> {
        self.unmount()?;
        self.fs = mounted(disk, &self.clock)?;
        Ok(())
    }

    /// Sets the time that changes are given from now on, in seconds since 1970.
    pub fn set_time(&self, now_s: u64) {
        self.clock.store(now_s, Ordering::Relaxed);
    }

    pub(crate) fn find(&mut self, path: &str) -> Result<InodeInfo, FileError> {
        let failed = |error| FileError::of(path, error);
        let mut here = self.fs.inode(self.fs.root_inode()).map_err(failed)?;
        for name in names(path)? {
            if !here.is_directory() {
                return Err(FileError::new(path, What::NotFolder));
            }
            let name = FileName::new(name.as_bytes()).map_err(failed)?;
            let child = self.fs.lookup_child(here.number, name).map_err(failed)?;
            here = child.ok_or_else(|| FileError::new(path, What::Missing))?;
        }
        Ok(here)
    }

    /// The folder in which a path's last name stands or would stand, and that name.
    pub(crate) fn place<'p>(
        &mut self,
        path: &'p str,
    ) -> Result<(InodeNumber, FileName<'p>), FileError> {
        let (folder, name) = split(path)?;
        let parent = self.find(folder)?;
        if !parent.is_directory() {
            return Err(FileError::new(folder, What::NotFolder));
        }
        let name = FileName::new(name.as_bytes()).map_err(|error| FileError::of(path, error))?;
        Ok((parent.number, name))
    }

    /// About a file or folder.
    ///
    /// # Errors
    /// It does not exist.
    pub fn stat(&mut self, path: &str) -> Result<Stat, FileError> {
        self.find(path).map(|info| stat(&info))
    }

    /// About a file that was found before.
    ///
    /// # Errors
    /// It does not exist any more.
    pub fn stat_of(&mut self, file: FileId) -> Result<Stat, FileError> {
        self.fs.inode(file.0).map(|info| stat(&info)).map_err(|error| failed_id(file, error))
    }

    /// A file by its path.
    ///
    /// # Errors
    /// It does not exist, or is a folder.
    pub fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        let found = self.stat(path)?;
        match found.kind {
            Kind::File => Ok(found.id),
            Kind::Folder => Err(FileError::new(path, What::IsFolder)),
            Kind::Other => Err(FileError::new(path, What::Unsupported)),
        }
    }

    /// What is in a folder, sorted by name; a bounded number of entries.
    ///
    /// # Errors
    /// It is no folder.
    pub fn list(&mut self, path: &str) -> Result<Vec<Entry>, FileError> {
        let folder = self.find(path)?;
        if !folder.is_directory() {
            return Err(FileError::new(path, What::NotFolder));
        }
        let failed = |error| FileError::of(path, error);
        let (mut entries, mut cursor) = (Vec::new(), DirectoryCursor::Start);
        while entries.len() < LIST_MOST {
            let batch =
                self.fs.read_directory(folder.number, cursor, LIST_BATCH).map_err(failed)?;
            let Some(last) = batch.last() else { break };
            cursor = last.next_cursor;
            for record in &batch {
                let Ok(name) = core::str::from_utf8(&record.name) else { continue };
                if name != "." && name != ".." {
                    let info = self.fs.inode(record.inode).map_err(failed)?;
                    entries.push(Entry { name: String::from(name), stat: stat(&info) });
                }
            }
            if cursor == DirectoryCursor::End {
                break;
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// The name is taken, its folder does not exist, or there is no room.
    pub fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        self.check_spare(path)?;
        let (parent, name) = self.place(path)?;
        let failed = |error| FileError::of(path, error);
        let permissions = FilePermissions::new(0o644).map_err(failed)?;
        let made = self.fs.create_regular_file(AS_ROOT, parent, name, permissions);
        made.map(|info| FileId(info.number)).map_err(failed)
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// The name is taken, its parent does not exist, or there is no room.
    pub fn make_folder(&mut self, path: &str) -> Result<(), FileError> {
        self.check_spare(path)?;
        let (parent, name) = self.place(path)?;
        let failed = |error| FileError::of(path, error);
        let permissions = FilePermissions::new(0o755).map_err(failed)?;
        self.fs.create_directory(AS_ROOT, parent, name, permissions).map(drop).map_err(failed)
    }

    /// Reads into `buffer`; returns how much there was.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read(
        &mut self,
        file: FileId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, FileError> {
        self.fs.read_inode(file.0, offset, buffer).map_err(|error| failed_id(file, error))
    }

    /// Writes all of `bytes`; the file grows as needed.
    ///
    /// # Errors
    /// There is no room (what was there before is unharmed), a domain uses the file as its disk, or
    /// the disk failed.
    pub fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.check_free(file)?;
        self.note_write(file, offset, bytes.len() as u64)?;
        self.put(file, offset, bytes)
    }

    /// Writes where there is room.
    pub(crate) fn put(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.check_room(file, offset, bytes.len() as u64)?;
        self.fs.write_inode(file.0, offset, bytes).map_err(|error| failed_id(file, error))
    }

    /// Sets the size of a file; what is added reads as zeros and takes no room yet.
    ///
    /// # Errors
    /// A domain uses the file as its disk, or the disk failed.
    pub fn set_size(&mut self, file: FileId, size: u64) -> Result<(), FileError> {
        self.check_free(file)?;
        self.note_size(file, size)?;
        self.fs.truncate_inode(file.0, size).map_err(|error| failed_id(file, error))
    }
}

/// Everything belongs to root; there is nobody else.
pub(crate) const AS_ROOT: MutationContext = MutationContext::new(0, 0, 0, 0);

pub(crate) fn stat(info: &InodeInfo) -> Stat {
    Stat {
        id: FileId(info.number),
        kind: kind_of(info.file_type()),
        size: info.size,
        used: info.blocks * SECTOR,
        changed_s: u64::from(info.mtime),
        links: info.links,
    }
}

/// A failure about a file whose path is not known here.
pub(crate) fn failed_id(file: FileId, error: Ext4Error) -> FileError {
    FileError::of(&format!("file {}", file.0), error)
}
