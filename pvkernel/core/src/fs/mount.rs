//! Mounted file systems: which there are, and which directory each one covers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use pvkernel_abi::{Errno, StatFs};

use super::devfs::Claim;
use super::filesystem::FileSystem;
use super::node::Node;
use super::vfs::Vfs;
use super::walk::Place;
use crate::device::block::BlockDevice;
use crate::kernel::Kernel;

/// File systems at one time.
const MOST_MOUNTS: usize = 16;

/// Makes a file system of what is on a disk, for the system call `mount`.
pub type MakeFileSystem =
    fn(&'static Kernel, Arc<dyn BlockDevice>) -> Result<Arc<dyn FileSystem>, Errno>;

/// A mounted file system. The list has it once; each held file of it, once more.
pub(super) struct Mount {
    pub(super) fs: Arc<dyn FileSystem>,
    /// The directory it covers, and where that one stands. Nothing for the root.
    pub(super) over: Option<Over>,
    device: Vec<u8>,
    path: Vec<u8>,
    /// Of the disk below, which is free again when this is dropped.
    _claim: Option<Claim>,
}

/// A covered directory. It keeps its name and its parent as long as it is covered.
pub(super) struct Over {
    pub(super) node: Node,
    parent: u64,
    name: Vec<u8>,
}

impl Mount {
    pub(super) fn uppermost(fs: Arc<dyn FileSystem>) -> Arc<Self> {
        Arc::new(Self { fs, over: None, device: Vec::new(), path: b"/".to_vec(), _claim: None })
    }
}

/// Copies what fits, and leaves a zero byte behind it.
fn fill(to: &mut [u8], from: &[u8]) {
    let len = from.len().min(to.len().saturating_sub(1));
    to[..len].copy_from_slice(&from[..len]);
}

impl Vfs {
    /// Mounts a file system over a directory. `device` is what it is on, for people.
    ///
    /// # Errors
    /// There is no such directory, or something is mounted there.
    pub fn mount(
        &self,
        from: &Node,
        path: &[u8],
        fs: Arc<dyn FileSystem>,
        device: &[u8],
    ) -> Result<(), Errno> {
        self.mount_claimed(from, path, fs, (device, None))
    }

    fn mount_claimed(
        &self,
        from: &Node,
        path: &[u8],
        fs: Arc<dyn FileSystem>,
        (device, claim): (&[u8], Option<Claim>),
    ) -> Result<(), Errno> {
        super::check_memory()?;
        let place = self.place(from, path)?;
        let (parent, name) = match place.is_named() {
            true => (place.folder.inode, place.name.to_vec()),
            false => return Err(Errno::EBUSY),
        };
        let mut full = self.path_of(&place.folder)?;
        if full != b"/" {
            full.push(b'/');
        }
        full.extend_from_slice(place.name);
        let node = self.step(place.folder.clone(), place.name)?;
        if !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if node.is_root() {
            return Err(Errno::EBUSY);
        }
        let over = Some(Over { node, parent, name });
        let mount =
            Arc::new(Mount { fs, over, device: device.to_vec(), path: full, _claim: claim });
        self.add_mount(&mount)
    }

    /// Mounts what is on a disk of `/dev`.
    ///
    /// # Errors
    /// As `mount`; `ENODEV` if the device is no disk, `EBUSY` if it is mounted, and what its file system says.
    pub fn mount_device(&self, from: &Node, device: &[u8], path: &[u8]) -> Result<(), Errno> {
        let make = self.make.ok_or(Errno::ENODEV)?;
        // What can be refused is refused before the disk is touched.
        let target = self.walk(from, path)?;
        if !target.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if target.is_root() {
            return Err(Errno::EBUSY);
        }
        drop(target);
        let node = self.walk(from, device)?;
        let file = node.fs().device(node.inode).ok_or(Errno::ENODEV)?;
        let (disk, claim) = file.disk().ok_or(Errno::ENODEV)?.claim()?;
        let fs = make(self.kernel, disk)?;
        let mounted = self.mount_claimed(from, path, Arc::clone(&fs), (device, Some(claim)));
        if mounted.is_err() {
            fs.end()?;
        }
        mounted
    }

    fn add_mount(&self, mount: &Arc<Mount>) -> Result<(), Errno> {
        let mut mounts = self.mounts.lock();
        let is_same = |other: &Arc<Mount>| match (&other.over, &mount.over) {
            (Some(one), Some(two)) => {
                Arc::ptr_eq(&one.node.mount, &two.node.mount) && one.node.inode == two.node.inode
            }
            _ => false,
        };
        let is_full = mounts.len() >= MOST_MOUNTS;
        if is_full || mounts.iter().any(is_same) {
            return Err(Errno::EBUSY);
        }
        mounts.push(Arc::clone(mount));
        Ok(())
    }

    /// Takes a file system away that nobody uses.
    ///
    /// # Errors
    /// `EINVAL` where none is mounted, `EBUSY` while a file of it is open or another is mounted on it. Any
    /// other error is the disk's: it is not mounted any more, but may have lost what was written last.
    pub fn unmount(&self, from: &Node, path: &[u8]) -> Result<(), Errno> {
        let node = self.walk(from, path)?;
        if !node.is_root() {
            return Err(Errno::EINVAL);
        }
        let mount = Arc::downgrade(&node.mount);
        drop(node);
        let taken = {
            let mut mounts = self.mounts.lock();
            let at = mounts.iter().position(|other| Arc::as_ptr(other) == mount.as_ptr());
            let at = at.ok_or(Errno::EINVAL)?;
            if mounts[at].over.is_none() || Arc::strong_count(&mounts[at]) > 1 {
                return Err(Errno::EBUSY);
            }
            mounts.remove(at)
        };
        taken.fs.end()
    }

    /// Makes everything on all file systems durable; each is tried.
    ///
    /// # Errors
    /// The first of the disks' errors.
    pub fn sync(&self) -> Result<(), Errno> {
        let all: Vec<Arc<Mount>> = self.mounts.lock().clone();
        let results = all.iter().map(|mount| mount.fs.sync());
        results.fold(Ok(()), Result::and)
    }

    /// Ends all file systems, whoever uses them: the machine is about to end. Each is tried.
    ///
    /// # Errors
    /// The first of the disks' errors.
    pub fn end(&self) -> Result<(), Errno> {
        let all: Vec<Arc<Mount>> = self.mounts.lock().clone();
        let results = all.iter().rev().map(|mount| mount.fs.end());
        results.fold(Ok(()), Result::and)
    }

    /// What is mounted over a directory, from the innermost on.
    pub(super) fn enter(&self, mut node: Node) -> Node {
        while node.is_directory() {
            let Some(mount) = self.covering(&node) else { break };
            node = Node::root(&mount);
        }
        node
    }

    fn covering(&self, node: &Node) -> Option<Arc<Mount>> {
        let mounts = self.mounts.lock();
        let covers = |mount: &&Arc<Mount>| {
            mount.over.as_ref().is_some_and(|over| {
                over.node.inode == node.inode && Arc::ptr_eq(&over.node.mount, &node.mount)
            })
        };
        mounts.iter().find(covers).cloned()
    }

    /// Refuses to change a name over which something is mounted.
    pub(super) fn check_not_covered(&self, place: &Place<'_>) -> Result<(), Errno> {
        let mounts = self.mounts.lock();
        let covers = |mount: &Arc<Mount>| {
            mount.over.as_ref().is_some_and(|over| {
                over.parent == place.folder.inode
                    && over.name == place.name
                    && Arc::ptr_eq(&over.node.mount, &place.folder.mount)
            })
        };
        match mounts.iter().any(covers) {
            true => Err(Errno::EBUSY),
            false => Ok(()),
        }
    }

    /// The number of a mount, as `statfs` counts them.
    pub(super) fn index_of(&self, mount: &Arc<Mount>) -> u32 {
        let mounts = self.mounts.lock();
        mounts.iter().position(|other| Arc::ptr_eq(other, mount)).unwrap_or(0) as u32
    }

    /// About the mounted file system with a number.
    ///
    /// # Errors
    /// `ENOENT` behind the last.
    pub fn statfs(&self, index: u64) -> Result<StatFs, Errno> {
        let index = usize::try_from(index).map_err(|_| Errno::ENOENT)?;
        let mount = self.mounts.lock().get(index).cloned().ok_or(Errno::ENOENT)?;
        let space = mount.fs.space();
        let mut about = StatFs {
            bytes: space.bytes,
            free: space.free,
            kind: [0; 16],
            device: [0; 32],
            path: [0; 64],
            read_only: mount.fs.is_read_only().into(),
        };
        fill(&mut about.kind, mount.fs.kind().as_bytes());
        // What is on no device is named after itself, as people expect of `mount`.
        let device =
            if mount.device.is_empty() { mount.fs.kind().as_bytes() } else { &mount.device };
        fill(&mut about.device, device);
        fill(&mut about.path, &mount.path);
        Ok(about)
    }
}
