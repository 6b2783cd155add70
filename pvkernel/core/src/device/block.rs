//! Disks with many requests in flight.
//!
//! Memory for a transfer comes from the device itself, so that a driver can hand out pages its device
//! reaches without a copy (granted once, or fit for DMA). While a request runs the driver owns the
//! memory: nobody can look at bytes that the device is changing.

use alloc::boxed::Box;
use core::any::Any;

use crate::kernel::Kernel;
use crate::platform::{BlockError, OutOfMemory};
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// Bytes in a sector, the unit of every number of sectors.
pub const SECTOR: usize = 512;

/// What a disk is and can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether `Flush` does something.
    pub can_flush: bool,
    /// Whether `Discard` is understood.
    pub can_discard: bool,
    /// Most sectors in one request.
    pub max_sectors: u32,
    /// Requests that may be in flight; more are refused until one ends.
    pub depth: u32,
}

impl BlockInfo {
    /// Whether the sectors are on the disk.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn check_range(&self, sector: u64, sectors: u32) -> Result<(), BlockError> {
        let end = sector.checked_add(sectors.into());
        match end.is_some_and(|end| end <= self.sectors) {
            true => Ok(()),
            false => Err(BlockError::OutOfRange),
        }
    }

    /// Whether a request can succeed on such a disk; its owner is told if not.
    ///
    /// # Errors
    /// `ReadOnly`, `OutOfRange`, `Device` for what the disk does not understand.
    pub fn check(&self, request: &BlockRequest) -> Result<(), BlockError> {
        let len = request.sectors as usize * SECTOR;
        let fits = request.buffer.as_ref().is_some_and(|buffer| len <= buffer.bytes().len());
        match request.op {
            BlockOp::Flush => return Ok(()),
            BlockOp::Write | BlockOp::Discard if self.read_only => {
                return Err(BlockError::ReadOnly)
            }
            BlockOp::Discard if !self.can_discard => return Err(BlockError::Device),
            BlockOp::Read | BlockOp::Write if !fits || request.sectors > self.max_sectors => {
                return Err(BlockError::OutOfRange);
            }
            BlockOp::Read | BlockOp::Write | BlockOp::Discard => {}
        }
        self.check_range(request.sector, request.sectors)
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOp {
    /// Fills the buffer from the disk.
    Read,
    /// Writes the buffer to the disk.
    Write,
    /// Makes everything that was written durable.
    Flush,
    /// Forgets the sectors.
    Discard,
}

/// Memory for a transfer: whole pages that belong to whoever holds the box.
pub trait IoMemory: Send {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// The bytes.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// For the driver, to find its own kind of memory again.
    fn as_any(&mut self) -> &mut dyn Any;
}

/// Memory for a transfer.
pub type IoBuffer = Box<dyn IoMemory>;

/// How a request ended: its memory comes back with the verdict.
pub type BlockDone = Box<dyn FnOnce(Result<(), BlockError>, Option<IoBuffer>) + Send>;

/// One request.
pub struct BlockRequest {
    /// What to do.
    pub op: BlockOp,
    /// First sector.
    pub sector: u64,
    /// Sectors; 0 for `Flush`.
    pub sectors: u32,
    /// Memory of at least that many sectors for `Read` and `Write`, none otherwise.
    pub buffer: Option<IoBuffer>,
    /// Called once.
    pub done: BlockDone,
}

/// A disk.
pub trait BlockDevice: Send + Sync {
    /// What it is. May change when a front half connects again.
    fn info(&self) -> BlockInfo;

    /// Memory for a transfer of up to `bytes` bytes, at most `max_sectors`.
    ///
    /// # Errors
    /// When there is none left; memory that is dropped becomes free again.
    fn buffer(&self, bytes: usize) -> Result<IoBuffer, OutOfMemory>;

    /// Starts a request, or gives it back when `depth` of them are in flight. A request that cannot
    /// succeed (range, read-only, no such feature) is started and ends with its error. Several
    /// requests may be collected until `kick`.
    ///
    /// # Errors
    /// The request itself: try again when one of those in flight has ended.
    fn submit(&self, request: BlockRequest) -> Result<(), BlockRequest>;

    /// Tells the device of everything that was submitted: one notification at most.
    fn kick(&self);
}

/// Runs one request and waits for its end; for threads that want one thing after another.
///
/// # Errors
/// What the device says; the memory comes back in either case.
pub fn transfer(
    kernel: &'static Kernel,
    device: &dyn BlockDevice,
    op: BlockOp,
    sector: u64,
    sectors: u32,
    buffer: Option<IoBuffer>,
) -> (Result<(), BlockError>, Option<IoBuffer>) {
    type Ended = Option<(Result<(), BlockError>, Option<IoBuffer>)>;
    struct Slot {
        ended: Lock<Ended>,
        queue: WaitQueue,
    }
    let slot = alloc::sync::Arc::new(Slot { ended: Lock::new(None), queue: WaitQueue::new() });
    let told = alloc::sync::Arc::clone(&slot);
    let done: BlockDone = Box::new(move |verdict, buffer| {
        *told.ended.lock() = Some((verdict, buffer));
        told.queue.wake_all(kernel);
    });
    let mut request = BlockRequest { op, sector, sectors, buffer, done };
    while let Err(refused) = device.submit(request) {
        request = refused;
        // Somebody else's requests fill the device; they end by themselves.
        kernel.sleep_until(kernel.now_ns() + 100_000);
    }
    device.kick();
    slot.queue.wait_until(kernel, || slot.ended.lock().is_some());
    let ended = slot.ended.lock().take();
    ended.unwrap_or((Err(BlockError::Device), None))
}
