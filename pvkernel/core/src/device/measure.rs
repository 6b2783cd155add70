//! How fast a disk is.
//!
//! The same code measures a disk of dom0's and a guest's front half, so that the figures compare. A run
//! is a number of equal requests, up to `depth` of them in flight, one behind the other on the disk or
//! at places that look random.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::block::{BlockDevice, BlockDone, BlockOp, BlockRequest, IoBuffer, SECTOR};
use crate::kernel::Kernel;
use crate::platform::BlockError;
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Reading or writing.
    pub op: BlockOp,
    /// Bytes of a request, whole sectors.
    pub bytes: usize,
    /// Requests in flight.
    pub depth: usize,
    /// Requests in all.
    pub requests: u64,
    /// At places that look random.
    pub is_random: bool,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Requests.
    pub requests: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Time from the first request to the last end.
    pub ns: u64,
}

impl Figures {
    /// Time for each request.
    #[must_use]
    pub const fn ns_each(&self) -> u64 {
        self.ns / if self.requests == 0 { 1 } else { self.requests }
    }

    /// Millions of bytes a second.
    #[must_use]
    pub const fn megabytes_s(&self) -> u64 {
        self.bytes * 1000 / if self.ns == 0 { 1 } else { self.ns }
    }
}

/// What callbacks and the thread share.
struct Shared {
    free: Lock<Vec<IoBuffer>>,
    error: Lock<Option<BlockError>>,
    queue: WaitQueue,
}

/// Measures.
///
/// # Errors
/// The first error of a request; `Device` without memory or for a disk smaller than a request.
pub fn run(
    kernel: &'static Kernel,
    device: &dyn BlockDevice,
    run: &Run,
) -> Result<Figures, BlockError> {
    let shared = Arc::new(Shared {
        free: Lock::new(Vec::new()),
        error: Lock::new(None),
        queue: WaitQueue::new(),
    });
    let depth = run.depth.min(device.info().depth as usize).max(1);
    for _ in 0..depth {
        let buffer = device.buffer(run.bytes).map_err(|_| BlockError::Device)?;
        shared.free.lock().push(buffer);
    }
    let sectors = (run.bytes / SECTOR) as u32;
    let places = device.info().sectors / u64::from(sectors.max(1));
    if places == 0 {
        return Err(BlockError::Device);
    }
    let start_ns = kernel.now_ns();
    for number in 0..run.requests {
        let buffer = wait_for_buffer(kernel, device, &shared)?;
        let place = if run.is_random { scatter(number) } else { number } % places;
        ask(kernel, device, (run.op, place * u64::from(sectors), sectors), buffer, &shared)?;
    }
    device.kick();
    shared.queue.wait_until(kernel, || shared.free.lock().len() == depth);
    let ns = kernel.now_ns() - start_ns;
    let error = *shared.error.lock();
    match error {
        Some(error) => Err(error),
        None => Ok(Figures { requests: run.requests, bytes: run.requests * run.bytes as u64, ns }),
    }
}

fn wait_for_buffer(
    kernel: &'static Kernel,
    device: &dyn BlockDevice,
    shared: &Shared,
) -> Result<IoBuffer, BlockError> {
    let mut buffer = shared.free.lock().pop();
    if buffer.is_none() {
        device.kick();
        shared.queue.wait_until(kernel, || {
            buffer = shared.free.lock().pop();
            buffer.is_some()
        });
    }
    buffer.ok_or(BlockError::Device)
}

fn ask(
    kernel: &'static Kernel,
    device: &dyn BlockDevice,
    (op, sector, sectors): (BlockOp, u64, u32),
    buffer: IoBuffer,
    shared: &Arc<Shared>,
) -> Result<(), BlockError> {
    let told = Arc::clone(shared);
    let done: BlockDone = Box::new(move |verdict, buffer| {
        if let Err(error) = verdict {
            *told.error.lock() = Some(error);
        }
        told.free.lock().extend(buffer);
        told.queue.wake_all(kernel);
    });
    let mut request = BlockRequest { op, sector, sectors, buffer: Some(buffer), done };
    while let Err(refused) = device.submit(request) {
        // Somebody else uses the disk, too.
        device.kick();
        kernel.sleep_until(kernel.now_ns() + 100_000);
        request = refused;
    }
    let error = *shared.error.lock();
    error.map_or(Ok(()), Err)
}

/// A number that looks random (`splitmix64`).
const fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::{run, Run};
    use crate::device::block::BlockOp;
    use crate::device::ram::{HeapMemory, RamDisk};
    use crate::kernel::Kernel;
    use crate::platform::hosted::Hosted;
    use crate::platform::BlockError;
    use std::boxed::Box;

    #[test]
    fn every_request_is_carried_out_and_errors_are_told() {
        let (_, platform) = Hosted::leak();
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
        let disk = RamDisk::new(64, HeapMemory::source).expect("memory");
        for (op, depth, is_random) in
            [(BlockOp::Read, 1, false), (BlockOp::Write, 4, true), (BlockOp::Read, 200, true)]
        {
            let wanted = Run { op, bytes: 4096, depth, requests: 50, is_random };
            let figures = run(kernel, &disk, &wanted).expect("a good disk");
            assert_eq!((figures.requests, figures.bytes), (50, 50 * 4096));
        }
        let too_much =
            Run { op: BlockOp::Read, bytes: 65536, depth: 1, requests: 1, is_random: false };
        assert_eq!(run(kernel, &disk, &too_much).err(), Some(BlockError::Device));
    }
}
