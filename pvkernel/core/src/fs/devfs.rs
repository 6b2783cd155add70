//! `/dev`: the console, nothing, zeros, and disks.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use pvkernel_abi::{DirEntry, Errno, FileKind, Stat};

use super::dir_entry;
use super::file::{File, GiveUp};
use super::filesystem::{At, Cursor, FileSystem, Found, Space, Written};
use super::sectors::Sectors;
use crate::device::block::{BlockDevice, SECTOR};
use crate::kernel::Kernel;
use crate::sleep_lock::SleepLock;

/// The number of the directory; devices have those behind it.
const ROOT: u64 = 1;

struct Device {
    name: String,
    file: Arc<dyn File>,
}

/// The file system. Its devices are named before it is mounted and stay.
#[derive(Default)]
pub struct DevFs {
    devices: Vec<Device>,
}

impl DevFs {
    /// `null` and `zero`.
    #[must_use]
    pub fn new() -> Self {
        let mut devices = Self::default();
        devices.add("null", Arc::new(Null));
        devices.add("zero", Arc::new(Zero));
        devices
    }

    /// Names a device.
    pub fn add(&mut self, name: &str, file: Arc<dyn File>) {
        self.devices.push(Device { name: String::from(name), file });
    }

    /// Names a disk.
    pub fn add_disk(&mut self, kernel: &'static Kernel, name: &str, device: Arc<dyn BlockDevice>) {
        self.add(name, Arc::new(BlockNode::new(kernel, device)));
    }

    fn find(&self, inode: u64) -> Result<&Device, Errno> {
        let place = usize::try_from(inode.wrapping_sub(ROOT + 1)).ok();
        place.and_then(|place| self.devices.get(place)).ok_or(Errno::ENOENT)
    }
}

fn kind_of(file: &dyn File) -> FileKind {
    match file.disk() {
        Some(_) => FileKind::Block,
        None => FileKind::Character,
    }
}

impl FileSystem for DevFs {
    fn kind(&self) -> &'static str {
        "devfs"
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn root(&self) -> u64 {
        ROOT
    }

    fn hold(&self, _: u64) {}

    fn release(&self, _: u64) {}

    fn lookup(&self, dir: u64, name: &[u8]) -> Result<Found, Errno> {
        match (dir, name) {
            (ROOT, b"..") => return Ok(Found { inode: ROOT, kind: FileKind::Directory }),
            (ROOT, _) => {}
            _ => return Err(Errno::ENOTDIR),
        }
        let place = self.devices.iter().position(|device| device.name.as_bytes() == name);
        let place = place.ok_or(Errno::ENOENT)?;
        Ok(Found { inode: place as u64 + ROOT + 1, kind: kind_of(&*self.devices[place].file) })
    }

    fn stat(&self, inode: u64) -> Result<Stat, Errno> {
        if inode == ROOT {
            let kind = FileKind::Directory as u32;
            return Ok(Stat { inode, kind, links: 2, ..Stat::default() });
        }
        Ok(Stat { inode, ..self.find(inode)?.file.stat() })
    }

    fn create(&self, _: u64, _: &[u8]) -> Result<Found, Errno> {
        Err(Errno::EROFS)
    }

    fn mkdir(&self, _: u64, _: &[u8]) -> Result<Found, Errno> {
        Err(Errno::EROFS)
    }

    fn read(&self, _: u64, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn write(&self, _: u64, _: At, _: &[u8]) -> Result<Written, Errno> {
        Err(Errno::EROFS)
    }

    fn truncate(&self, _: u64, _: u64) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn remove(&self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn link(&self, _: u64, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn rename(&self, _: (u64, &[u8]), _: (u64, &[u8])) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn read_dir(&self, dir: u64, from: &mut Cursor, to: &mut [DirEntry]) -> Result<usize, Errno> {
        if dir != ROOT {
            return Err(Errno::ENOTDIR);
        }
        let first = match from {
            Cursor::Start => 0,
            Cursor::Place([next, _]) => *next,
            Cursor::Name(_) | Cursor::End => return Ok(0),
        };
        let rest = self.devices.iter().enumerate().skip(first as usize);
        let mut count = 0;
        for ((place, device), entry) in rest.zip(to.iter_mut()) {
            let inode = place as u64 + ROOT + 1;
            *entry = dir_entry(inode, kind_of(&*device.file), device.name.as_bytes());
            count += 1;
        }
        *from = Cursor::Place([first + count as u64, 0]);
        Ok(count)
    }

    fn space(&self) -> Space {
        Space::default()
    }

    fn device(&self, inode: u64) -> Option<Arc<dyn File>> {
        let file = &self.find(inode).ok()?.file;
        Some(file.opened().unwrap_or_else(|| Arc::clone(file)))
    }
}

fn character() -> Stat {
    Stat { kind: FileKind::Character as u32, links: 1, ..Stat::default() }
}

struct Null;

impl File for Null {
    fn read(&self, _: u64, _: &mut [u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Ok(0)
    }

    fn write(&self, _: u64, from: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Ok(from.len())
    }

    fn stat(&self) -> Stat {
        character()
    }
}

struct Zero;

impl File for Zero {
    fn never_waits(&self) -> bool {
        true
    }

    fn read(&self, _: u64, to: &mut [u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        to.fill(0);
        Ok(to.len())
    }

    fn write(&self, _: u64, from: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        Ok(from.len())
    }

    fn stat(&self) -> Stat {
        character()
    }
}

/// A disk as a file. While a file system on it is mounted it cannot be written.
pub struct BlockNode {
    kernel: &'static Kernel,
    device: Arc<dyn BlockDevice>,
    sectors: SleepLock<Sectors>,
    is_mounted: Arc<AtomicBool>,
}

/// The right to have a disk's file system, until it is dropped.
pub struct Claim(Arc<AtomicBool>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl BlockNode {
    fn new(kernel: &'static Kernel, device: Arc<dyn BlockDevice>) -> Self {
        let sectors = SleepLock::new(Sectors::new(kernel, Arc::clone(&device)));
        Self { kernel, device, sectors, is_mounted: Arc::new(AtomicBool::new(false)) }
    }

    /// The disk, for the one who mounts it.
    pub(super) fn claim(&self) -> Result<(Arc<dyn BlockDevice>, Claim), Errno> {
        match self.is_mounted.swap(true, Ordering::Relaxed) {
            true => Err(Errno::EBUSY),
            false => Ok((Arc::clone(&self.device), Claim(Arc::clone(&self.is_mounted)))),
        }
    }

    fn bytes(&self) -> u64 {
        self.device.info().sectors.saturating_mul(SECTOR as u64)
    }

    /// What of a range is on the disk.
    fn clip(&self, at: u64, len: usize) -> usize {
        (len as u64).min(self.bytes().saturating_sub(at)) as usize
    }
}

impl File for BlockNode {
    fn read(&self, at: u64, to: &mut [u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        let len = self.clip(at, to.len());
        self.sectors.lock(self.kernel).read_bytes(at, &mut to[..len])?;
        Ok(len)
    }

    fn write(&self, at: u64, from: &[u8], _: GiveUp<'_>) -> Result<usize, Errno> {
        if self.device.info().read_only {
            return Err(Errno::EROFS);
        }
        if self.is_mounted.load(Ordering::Relaxed) {
            return Err(Errno::EBUSY);
        }
        let len = self.clip(at, from.len());
        if len == 0 {
            return Err(Errno::ENOSPC);
        }
        self.sectors.lock(self.kernel).write_bytes(at, &from[..len])?;
        Ok(len)
    }

    fn stat(&self) -> Stat {
        let kind = FileKind::Block as u32;
        Stat { size: self.bytes(), kind, links: 1, ..Stat::default() }
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes())
    }

    fn sync(&self) -> Result<(), Errno> {
        self.sectors.lock(self.kernel).flush()
    }

    fn disk(&self) -> Option<&BlockNode> {
        Some(self)
    }
}
