//! A disk for threads: one request after another, each waited for.
//!
//! Devices lend memory for transfers; one such buffer is kept and used for all of them.

use alloc::sync::Arc;
use pvkernel_abi::Errno;

use crate::device::block::{transfer, BlockDevice, BlockInfo, BlockOp, IoBuffer, SECTOR};
use crate::kernel::Kernel;
use crate::platform::BlockError;

/// Bytes in one request at most.
const LARGEST: usize = 128 << 10;

/// A disk and the buffer it is used with.
pub struct Sectors {
    kernel: &'static Kernel,
    device: Arc<dyn BlockDevice>,
    buffer: Option<IoBuffer>,
    largest: usize,
}

fn failed(error: BlockError) -> Errno {
    match error {
        BlockError::ReadOnly => Errno::EROFS,
        BlockError::OutOfRange | BlockError::Device => Errno::EIO,
    }
}

impl Sectors {
    /// A disk.
    #[must_use]
    pub fn new(kernel: &'static Kernel, device: Arc<dyn BlockDevice>) -> Self {
        let BlockInfo { max_sectors, .. } = device.info();
        let largest = (max_sectors as usize * SECTOR).clamp(SECTOR, LARGEST);
        Self { kernel, device, buffer: None, largest }
    }

    /// What the disk is.
    #[must_use]
    pub fn info(&self) -> BlockInfo {
        self.device.info()
    }

    fn take_buffer(&mut self) -> Result<IoBuffer, Errno> {
        match self.buffer.take() {
            Some(buffer) => Ok(buffer),
            None => self.device.buffer(self.largest).map_err(|_| Errno::ENOMEM),
        }
    }

    /// One request; its memory is kept when it ends.
    fn request(
        &mut self,
        op: BlockOp,
        sector: u64,
        len: usize,
        buffer: Option<IoBuffer>,
    ) -> Result<(), Errno> {
        let sectors = (len / SECTOR) as u32;
        let (done, buffer) = transfer(self.kernel, &*self.device, op, sector, sectors, buffer);
        if buffer.is_some() {
            self.buffer = buffer;
        }
        done.map_err(failed)
    }

    /// Reads whole sectors.
    ///
    /// # Errors
    /// The disk failed, or the range is not on it.
    pub fn read(&mut self, sector: u64, to: &mut [u8]) -> Result<(), Errno> {
        let mut at = sector;
        for piece in to.chunks_mut(self.largest) {
            let buffer = self.take_buffer()?;
            self.request(BlockOp::Read, at, piece.len(), Some(buffer))?;
            let filled = self.buffer.as_ref().and_then(|buffer| buffer.bytes().get(..piece.len()));
            piece.copy_from_slice(filled.ok_or(Errno::EIO)?);
            at += (piece.len() / SECTOR) as u64;
        }
        Ok(())
    }

    /// Writes whole sectors.
    ///
    /// # Errors
    /// The disk failed or is read-only, or the range is not on it.
    pub fn write(&mut self, sector: u64, from: &[u8]) -> Result<(), Errno> {
        let mut at = sector;
        for piece in from.chunks(self.largest) {
            let mut buffer = self.take_buffer()?;
            let to = buffer.bytes_mut().get_mut(..piece.len()).ok_or(Errno::EIO)?;
            to.copy_from_slice(piece);
            self.request(BlockOp::Write, at, piece.len(), Some(buffer))?;
            at += (piece.len() / SECTOR) as u64;
        }
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The disk failed.
    pub fn flush(&mut self) -> Result<(), Errno> {
        match self.device.info().can_flush {
            true => self.request(BlockOp::Flush, 0, 0, None),
            false => Ok(()),
        }
    }

    /// Reads any bytes that are on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read_bytes(&mut self, at: u64, to: &mut [u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < to.len() {
            let (sector, start, len) = piece(at + done as u64, to.len() - done);
            let now = &mut to[done..done + len];
            if len.is_multiple_of(SECTOR) {
                self.read(sector, now)?;
            } else {
                let mut whole = [0; SECTOR];
                self.read(sector, &mut whole)?;
                now.copy_from_slice(&whole[start..start + len]);
            }
            done += len;
        }
        Ok(())
    }

    /// Writes any bytes that are on the disk; parts of sectors are read first.
    ///
    /// # Errors
    /// The disk failed or is read-only.
    pub fn write_bytes(&mut self, at: u64, from: &[u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < from.len() {
            let (sector, start, len) = piece(at + done as u64, from.len() - done);
            let now = &from[done..done + len];
            if len.is_multiple_of(SECTOR) {
                self.write(sector, now)?;
            } else {
                let mut whole = [0; SECTOR];
                self.read(sector, &mut whole)?;
                whole[start..start + len].copy_from_slice(now);
                self.write(sector, &whole)?;
            }
            done += len;
        }
        Ok(())
    }
}

/// The first part of a range that is either whole sectors or within one: its sector, the first byte in
/// it, and the bytes.
fn piece(at: u64, len: usize) -> (u64, usize, usize) {
    let start = (at % SECTOR as u64) as usize;
    let len = match start == 0 && len >= SECTOR {
        true => len - len % SECTOR,
        false => len.min(SECTOR - start),
    };
    (at / SECTOR as u64, start, len)
}
