//! What disks are made of, and who uses which.
//!
//! A `Lease` is the right to use one. As many as like may read one thing, or one may write it; the next
//! is refused with one line. Disks in memory with a name stay when their last user goes, until they are
//! dropped by name; those without are known by their owner, who forgets them.

use crate::{devices, files};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_core::device::block::{BlockDevice, BlockInfo, SECTOR};
use pvkernel_core::device::ram::RamDisk;
use pvkernel_core::sync::Lock;
use pvkernel_xen::iopages::IoPages;
use pvkernel_xen::thread::WaitQueue;
use pvkernel_xen::time;
use zl_backends::blk::source::Source;

/// How long a disk may be in use by a front half that is gone.
const DRAIN_LIMIT_NS: u64 = 5_000_000_000;

/// Bytes that can be a disk.
#[derive(Clone)]
pub enum Backing {
    /// Memory of ours, reached in place.
    Ram(Arc<RamDisk>),
    /// Another disk, through buffers.
    Device(Arc<dyn BlockDevice>),
}

impl Backing {
    /// What it is.
    pub fn info(&self) -> BlockInfo {
        match self {
            Self::Ram(disk) => disk.info(),
            Self::Device(disk) => disk.info(),
        }
    }
}

/// One use.
struct Use {
    key: String,
    is_writer: bool,
    number: u64,
    /// Its front half is gone; what was asked of the disk is not done yet.
    is_ending: bool,
}

struct Uses {
    list: Vec<Use>,
    next: u64,
    /// Disks in memory; the names of those that belong to a device have a '/'.
    named: BTreeMap<String, Arc<RamDisk>>,
}

static USES: Lock<Uses> = Lock::new(Uses { list: Vec::new(), next: 0, named: BTreeMap::new() });
static ENDED: WaitQueue = WaitQueue::new();

/// The right to use a disk until it is dropped.
pub struct Lease {
    backing: Backing,
    number: u64,
}

impl Lease {
    /// Opens a disk for `owner`. May wait until the last requests of an earlier user have ended.
    ///
    /// # Errors
    /// One line.
    pub fn open(source: &Source, owner: &str, writable: bool) -> Result<Self, String> {
        let number = reserve(&key_of(source, owner), writable)?;
        match find(source, owner, writable) {
            Ok(backing) if writable && backing.info().read_only => {
                release(number);
                Err(format!("{source}: cannot be written; give it with ',r'"))
            }
            Ok(backing) => Ok(Self { backing, number }),
            Err(line) => {
                release(number);
                Err(line)
            }
        }
    }

    /// The disk.
    pub const fn backing(&self) -> &Backing {
        &self.backing
    }

    /// The user is gone, but requests are still on their way.
    pub fn end(&self) {
        let mut uses = USES.lock();
        let mine = uses.list.iter_mut().find(|one| one.number == self.number);
        if let Some(one) = mine {
            one.is_ending = true;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        release(self.number);
    }
}

/// What two users must not both write.
fn key_of(source: &Source, owner: &str) -> String {
    match source {
        Source::Ram { name, .. } => format!("ram:{}", name.as_deref().unwrap_or(owner)),
        Source::Physical(name) => format!("phy:{name}"),
        Source::File(path) => format!("file:{path}"),
    }
}

fn reserve(key: &str, is_writer: bool) -> Result<u64, String> {
    let limit_ns = time::now_ns() + DRAIN_LIMIT_NS;
    let mut conflict = None;
    let mut number = 0;
    ENDED.wait_deadline(limit_ns, || {
        let mut uses = USES.lock();
        let clashes = |one: &&Use| one.key == key && (is_writer || one.is_writer);
        conflict = uses.list.iter().find(clashes).map(|one| (one.is_writer, one.is_ending));
        if conflict.is_none() {
            uses.next += 1;
            number = uses.next;
            uses.list.push(Use { key: key.to_string(), is_writer, number, is_ending: false });
        }
        !matches!(conflict, Some((_, true)))
    });
    match conflict {
        None => Ok(number),
        Some((true, _)) => Err(format!("{key}: already in use for writing; detach it there first")),
        Some((false, _)) => Err(format!("{key}: already in use for reading; give it with ',r'")),
    }
}

/// Waits until disks that nobody uses any more have carried out what was asked of them.
pub fn settle() {
    let is_quiet = || !USES.lock().list.iter().any(|one| one.is_ending);
    ENDED.wait_deadline(time::now_ns() + DRAIN_LIMIT_NS, is_quiet);
}

fn release(number: u64) {
    USES.lock().list.retain(|one| one.number != number);
    ENDED.wake_all();
}

fn find(source: &Source, owner: &str, writable: bool) -> Result<Backing, String> {
    match source {
        Source::Ram { name, bytes } => {
            named_ram(name.as_deref().unwrap_or(owner), *bytes).map(Backing::Ram)
        }
        Source::Physical(name) if writable && files::is_mounted_on(name) => {
            Err(format!("phy:{name}: holds dom0's files; give a file of it with file:PATH"))
        }
        Source::Physical(name) => devices::disk(name)
            .map(Backing::Device)
            .ok_or_else(|| format!("phy:{name}: no such disk; 'devices' lists dom0's disks")),
        Source::File(path) => files::open_disk(path, writable).map(Backing::Device),
    }
}

fn ram(bytes: u64) -> Result<Arc<RamDisk>, String> {
    RamDisk::new(bytes / SECTOR as u64, IoPages::source).map(Arc::new).map_err(|_| {
        let free = pvkernel_xen::stats::free_frames() * 4;
        let wanted = bytes / 1024;
        format!("ram:{wanted}K: dom0 has {free}K free; give it more memory with dom0_mem=")
    })
}

fn named_ram(name: &str, bytes: u64) -> Result<Arc<RamDisk>, String> {
    let known = USES.lock().named.get(name).cloned();
    if let Some(disk) = known {
        let has = disk.info().sectors * SECTOR as u64;
        if has != bytes {
            let (has, wanted) = (has / 1024, bytes / 1024);
            return Err(format!("ram:{name}: has {has}K, not {wanted}K; drop it first"));
        }
        return Ok(disk);
    }
    let disk = ram(bytes)?;
    USES.lock().named.insert(name.to_string(), Arc::clone(&disk));
    Ok(disk)
}

/// Drops the disk without a name of an owner that is gone.
pub fn forget_ram(owner: &str) {
    let dropped = USES.lock().named.remove(owner);
    drop(dropped);
}

/// Drops a disk in memory that nobody uses.
///
/// # Errors
/// One line.
pub fn drop_ram(name: &str) -> Result<(), String> {
    let key = format!("ram:{name}");
    let mut uses = USES.lock();
    if uses.list.iter().any(|one| one.key == key) {
        return Err(format!("{key}: in use; detach it first"));
    }
    let dropped = uses.named.remove(name);
    drop(uses);
    match dropped {
        Some(_) => Ok(()),
        None => Err(format!("{key}: no such disk in memory")),
    }
}
