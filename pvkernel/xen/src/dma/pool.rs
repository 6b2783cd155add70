//! Pools of memory for devices.
//!
//! A pool is made once, of chunks of 64 units, each contiguous for devices, and stays. A buffer is a
//! run of units in one chunk; it returns to its pool when it is dropped.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::NonNull;

use pvkernel_core::device::block::{IoBuffer, IoMemory};
use pvkernel_core::platform::OutOfMemory;
use pvkernel_core::sync::Lock;
use pvkernel_virtio::runs::{Runs, UNITS};

use super::{address, contiguous};
use crate::layout::{Pfn, PAGE};
use crate::{frames, mmu};

struct Chunk {
    base: NonNull<u8>,
    runs: Runs,
}

// SAFETY: the chunk's memory belongs to the pool and to the buffers cut from it, which are apart.
unsafe impl Send for Chunk {}

/// Memory of one owner: a disk, a network card.
pub struct Pool {
    unit: usize,
    chunks: Lock<Vec<Chunk>>,
}

impl Pool {
    /// A pool of `chunks` times 64 units of `unit` bytes, for ever.
    ///
    /// # Errors
    /// When there is not so much memory; nothing stays taken.
    pub fn new(unit: usize, chunks: usize) -> Result<&'static Self, OutOfMemory> {
        let pages = (unit * UNITS).div_ceil(PAGE as usize).next_power_of_two();
        let mut taken = Vec::with_capacity(chunks);
        for _ in 0..chunks {
            match contiguous::alloc(pages) {
                Ok(first) => taken.push(first),
                Err(_) => {
                    taken.into_iter().for_each(|first| frames::free(first, pages));
                    return Err(OutOfMemory);
                }
            }
        }
        let chunk = |first: Pfn| {
            let all = first.get()..first.get() + pages as u64;
            // A device may show what lies in its memory to somebody else.
            all.for_each(|pfn| mmu::zero_frame(Pfn::new(pfn)));
            Chunk { base: address(first), runs: Runs::default() }
        };
        let chunks = taken.into_iter().map(chunk).collect();
        Ok(Box::leak(Box::new(Self { unit, chunks: Lock::new(chunks) })))
    }

    /// Memory of at least `bytes` bytes, in whole units.
    ///
    /// # Errors
    /// When no chunk has a run of that many left.
    pub fn take(&'static self, bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        let units = bytes.div_ceil(self.unit).max(1);
        let mut chunks = self.chunks.lock();
        let mut found = chunks.iter_mut().enumerate();
        let place = found.find_map(|(at, chunk)| Some((at, chunk.base, chunk.runs.take(units)?)));
        drop(chunks);
        let (chunk, start, first) = place.ok_or(OutOfMemory)?;
        // SAFETY: the run lies within the chunk's 64 units.
        let base = unsafe { start.byte_add(first * self.unit) };
        Ok(Box::new(Buffer { pool: self, chunk, first, units, base }))
    }
}

/// Memory for a device, contiguous for it; nobody else has it.
pub struct Buffer {
    pool: &'static Pool,
    chunk: usize,
    first: usize,
    units: usize,
    base: NonNull<u8>,
}

// SAFETY: the memory belongs to the buffer alone, until it is dropped.
unsafe impl Send for Buffer {}

impl Buffer {
    fn len(&self) -> usize {
        self.units * self.pool.unit
    }

    /// The memory as a whole, for a queue, which keeps the buffer while the device uses it.
    pub(super) fn memory(&mut self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.base, self.len())
    }
}

impl IoMemory for Buffer {
    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for ever, initialized, and the buffer's alone: while a device has it, a queue
        // owns the buffer and does not look.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len()) }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut chunks = self.pool.chunks.lock();
        if let Some(chunk) = chunks.get_mut(self.chunk) {
            chunk.runs.release(self.first, self.units);
        }
    }
}
