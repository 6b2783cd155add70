//! The disk below: whole sectors, one thing after another.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use rsext4::{
    BlockIo, Clock, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4ErrorKind, Ext4Result,
    Ext4Timestamp, MkfsOptions, SectorId,
};

use crate::error::{FileError, What};

/// Bytes of a sector.
const SECTOR: u32 = 512;

/// The disk failed; what it said is in its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError;

/// A disk with sectors of 512 bytes. Buffers are whole sectors.
pub trait Disk {
    /// Sectors.
    fn sectors(&self) -> u64;
    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;
    /// Reads sectors.
    ///
    /// # Errors
    /// The disk failed, or the range is not on it.
    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DiskError>;
    /// Writes sectors.
    ///
    /// # Errors
    /// The disk failed, or the range is not on it.
    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DiskError>;
    /// Makes what was written durable.
    ///
    /// # Errors
    /// The disk failed.
    fn flush(&mut self) -> Result<(), DiskError>;
}

/// A disk as the file system wants it.
pub(crate) struct Adapter(pub(crate) Box<dyn Disk + Send>);

impl BlockIo for Adapter {
    fn write(&mut self, buffer: &[u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let part = buffer.get(..count as usize * SECTOR as usize);
        let part = part.ok_or_else(Ext4Error::invalid_input)?;
        self.0.write(sector.raw(), part).map_err(|DiskError| Ext4Error::io())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let part = buffer.get_mut(..count as usize * SECTOR as usize);
        let part = part.ok_or_else(Ext4Error::invalid_input)?;
        self.0.read(sector.raw(), part).map_err(|DiskError| Ext4Error::io())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR, self.0.sectors())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let read_only = self.0.is_read_only();
        DeviceCapabilities { read_only, flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        self.0.flush().map_err(|DiskError| Ext4Error::io())
    }
}

/// Seconds since 1970, set from outside: this crate reads no clock.
#[derive(Clone, Default)]
pub(crate) struct SetClock(pub(crate) Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let seconds = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        Ok(Ext4Timestamp::new(seconds, 0))
    }
}

/// Makes an empty file system on a disk. Everything that was on it is lost.
///
/// # Errors
/// The disk is too small, read-only, or failed.
pub fn format(disk: Box<dyn Disk + Send>, now_s: u64) -> Result<(), FileError> {
    if disk.is_read_only() {
        return Err(FileError::new("the disk", What::ReadOnly));
    }
    let clock = SetClock(Arc::new(AtomicU64::new(now_s)));
    let made = rsext4::format(Adapter(disk), clock, MkfsOptions::default());
    match made.map_err(|error| (error.kind(), error)) {
        Ok(mut adapter) => {
            adapter.0.flush().map_err(|DiskError| FileError::new("the disk", What::Io))
        }
        Err((Ext4ErrorKind::NoSpace | Ext4ErrorKind::BadSuperblock, _)) => {
            Err(FileError::new("the disk", What::TooSmall))
        }
        Err((_, error)) => Err(FileError::of("the disk", error)),
    }
}
