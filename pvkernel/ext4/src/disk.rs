//! The disk below.

use alloc::boxed::Box;
use alloc::sync::Arc;
use pvkernel_abi::Errno;
use pvkernel_core::device::block::{BlockDevice, BlockInfo};
use pvkernel_core::fs::{FileSystem, Sectors};
use pvkernel_core::kernel::Kernel;
use zl_files::{Disk, DiskError, Files};

use crate::errors::errno;
use crate::fs::Ext4;
use crate::worker::Worker;

struct Device(Sectors);

impl Disk for Device {
    fn sectors(&self) -> u64 {
        self.0.info().sectors
    }

    fn is_read_only(&self) -> bool {
        let BlockInfo { read_only, .. } = self.0.info();
        read_only
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.0.read(sector, buffer).map_err(|_| DiskError)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DiskError> {
        self.0.write(sector, buffer).map_err(|_| DiskError)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.0.flush().map_err(|_| DiskError)
    }
}

fn open(kernel: &'static Kernel, device: Arc<dyn BlockDevice>) -> Box<dyn Disk + Send> {
    Box::new(Device(Sectors::new(kernel, device)))
}

/// Mounts the ext4 on a disk. A journal that was left in use is replayed first.
///
/// # Errors
/// `EINVAL` if there is none, `ENODEV` for features that are not supported, `EIO`.
pub fn mount(
    kernel: &'static Kernel,
    device: Arc<dyn BlockDevice>,
) -> Result<Arc<dyn FileSystem>, Errno> {
    Ok(Arc::new(Ext4::start(kernel, device.info().read_only, move || {
        let now_s = kernel.platform().clock.wall_clock().0;
        Files::mount(open(kernel, device), now_s).map_err(|error| errno(error.what))
    })?))
}

/// Makes an empty file system. Everything that was on the disk is lost.
///
/// # Errors
/// `EINVAL` if the disk is too small, `EROFS`, `EIO`.
pub fn format(kernel: &'static Kernel, device: Arc<dyn BlockDevice>) -> Result<(), Errno> {
    let make = move || {
        let now_s = kernel.platform().clock.wall_clock().0;
        zl_files::format(open(kernel, device), now_s).map_err(|error| errno(error.what))
    };
    Worker::start(kernel, make).map(drop)
}
