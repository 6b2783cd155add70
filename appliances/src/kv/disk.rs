//! A disk of the kernel's as the store uses it: one request after another.

use alloc::sync::Arc;

use pvkernel_core::device::block::{transfer, BlockDevice, BlockOp, SECTOR};
use pvkernel_core::kernel::Kernel;

use super::log::{Disk, DiskError};

/// Most bytes in one request.
const PIECE: usize = 128 << 10;

/// A disk whose user waits for each request.
pub struct BlockDisk {
    kernel: &'static Kernel,
    device: Arc<dyn BlockDevice>,
}

impl BlockDisk {
    /// The disk `device`; the threads that use it are the kernel's.
    #[must_use]
    pub fn new(kernel: &'static Kernel, device: Arc<dyn BlockDevice>) -> Self {
        Self { kernel, device }
    }

    fn piece(&self) -> usize {
        PIECE.min(self.device.info().max_sectors as usize * SECTOR).max(SECTOR)
    }
}

impl Disk for BlockDisk {
    fn sectors(&self) -> u64 {
        self.device.info().sectors
    }

    fn read(&mut self, mut sector: u64, to: &mut [u8]) -> Result<(), DiskError> {
        for part in to.chunks_mut(self.piece()) {
            let sectors = (part.len() / SECTOR) as u32;
            let buffer = self.device.buffer(part.len()).map_err(|_| DiskError)?;
            let op = BlockOp::Read;
            let (verdict, buffer) =
                transfer(self.kernel, &*self.device, op, sector, sectors, Some(buffer));
            verdict.map_err(|_| DiskError)?;
            let buffer = buffer.ok_or(DiskError)?;
            part.copy_from_slice(buffer.bytes().get(..part.len()).ok_or(DiskError)?);
            sector += u64::from(sectors);
        }
        Ok(())
    }

    fn write(&mut self, mut sector: u64, from: &[u8]) -> Result<(), DiskError> {
        for part in from.chunks(self.piece()) {
            let sectors = (part.len() / SECTOR) as u32;
            let mut buffer = self.device.buffer(part.len()).map_err(|_| DiskError)?;
            buffer.bytes_mut().get_mut(..part.len()).ok_or(DiskError)?.copy_from_slice(part);
            let op = BlockOp::Write;
            let (verdict, _) =
                transfer(self.kernel, &*self.device, op, sector, sectors, Some(buffer));
            verdict.map_err(|_| DiskError)?;
            sector += u64::from(sectors);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        if !self.device.info().can_flush {
            // What was written stays, as far as this disk can tell.
            return Ok(());
        }
        transfer(self.kernel, &*self.device, BlockOp::Flush, 0, 0, None).0.map_err(|_| DiskError)
    }
}
