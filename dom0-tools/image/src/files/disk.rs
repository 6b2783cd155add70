//! A block device as the file system wants it: one request after another, each waited for.
//!
//! One buffer of the device is kept and used for all of them, so that nothing is allocated meanwhile.

use alloc::sync::Arc;
use pvkernel_core::device::block::{transfer, BlockDevice, BlockInfo, BlockOp, IoBuffer, SECTOR};
use pvkernel_xen::thread;
use zl_files::{Disk, DiskError};

/// Bytes in one request at most.
const LARGEST: usize = 128 << 10;

/// A disk and the buffer it is used with.
pub struct Blocking {
    device: Arc<dyn BlockDevice>,
    buffer: Option<IoBuffer>,
    largest: usize,
}

impl Blocking {
    /// A disk.
    pub fn new(device: Arc<dyn BlockDevice>) -> Self {
        let BlockInfo { max_sectors, .. } = device.info();
        let largest = (max_sectors as usize * SECTOR).clamp(SECTOR, LARGEST);
        Self { device, buffer: None, largest }
    }

    /// Takes the memory now, so that it is not missing later.
    ///
    /// # Errors
    /// There is none.
    pub fn reserve(&mut self) -> Result<(), DiskError> {
        self.buffer = Some(self.take_buffer()?);
        Ok(())
    }

    fn take_buffer(&mut self) -> Result<IoBuffer, DiskError> {
        match self.buffer.take() {
            Some(buffer) => Ok(buffer),
            None => self.device.buffer(self.largest).map_err(|_| DiskError),
        }
    }

    /// One request of up to `largest` bytes; the buffer comes back and is kept.
    fn request(&mut self, op: BlockOp, sector: u64, len: usize) -> Result<(), DiskError> {
        let buffer = match op {
            BlockOp::Read | BlockOp::Write => Some(self.take_buffer()?),
            BlockOp::Flush | BlockOp::Discard => None,
        };
        let sectors = (len / SECTOR) as u32;
        let (done, buffer) = transfer(thread::kernel(), &*self.device, op, sector, sectors, buffer);
        if buffer.is_some() {
            self.buffer = buffer;
        }
        done.map_err(|_| DiskError)
    }
}

impl Disk for Blocking {
    fn sectors(&self) -> u64 {
        self.device.info().sectors
    }

    fn is_read_only(&self) -> bool {
        self.device.info().read_only
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let mut at = sector;
        for piece in buffer.chunks_mut(self.largest) {
            self.request(BlockOp::Read, at, piece.len())?;
            let filled = self.buffer.as_ref().and_then(|buffer| buffer.bytes().get(..piece.len()));
            piece.copy_from_slice(filled.ok_or(DiskError)?);
            at += (piece.len() / SECTOR) as u64;
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DiskError> {
        let mut at = sector;
        for piece in buffer.chunks(self.largest) {
            let mut memory = self.take_buffer()?;
            let to = memory.bytes_mut().get_mut(..piece.len()).ok_or(DiskError)?;
            to.copy_from_slice(piece);
            self.buffer = Some(memory);
            self.request(BlockOp::Write, at, piece.len())?;
            at += (piece.len() / SECTOR) as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        match self.device.info().can_flush {
            true => self.request(BlockOp::Flush, 0, 0),
            false => Ok(()),
        }
    }
}
