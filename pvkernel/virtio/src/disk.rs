//! A virtio disk.
//!
//! Each request is a chain of a head, the caller's memory and one byte of status; up to 64 are in
//! flight. The backend calls `interrupt` when the disk's line fired; ends are told from there, or from
//! `kick` for requests that never reached the device, one after another and without the lock.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pvkernel_core::device::block::{
    BlockDevice, BlockDone, BlockInfo, BlockOp, BlockRequest, IoBuffer, SECTOR,
};
use pvkernel_core::platform::{BlockError, OutOfMemory};
use pvkernel_core::sync::Lock;
use virtio_drivers::transport::Transport;

use crate::queue::{Data, Direction, Ended, Queue, Request, HEAD};
use crate::setup::{begin, finish, SetupError};

/// The only queue.
pub const QUEUE: u16 = 0;
/// Most sectors in one request: 256 KiB.
pub const MAX_SECTORS: u32 = 512;
/// Requests in flight; a queue of 256 parts has room for the chains of all.
const DEPTH: u32 = 64;

const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_FLUSH: u64 = 1 << 9;
const FEATURE_DISCARD: u64 = 1 << 13;

/// Places in the registers of a disk.
const CONFIG_CAPACITY: usize = 0;
const CONFIG_MAX_DISCARD: usize = 36;

/// What the head of a request begins with.
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const DISCARD: u32 = 11;
/// Bytes of a head, and of the range behind it that `DISCARD` has.
const HEAD_LEN: usize = 16;
const RANGE_LEN: usize = 16;
/// The status of success.
const STATUS_OK: u8 = 0;

/// Where memory for transfers comes from.
pub type Memory = Box<dyn Fn(usize) -> Result<IoBuffer, OutOfMemory> + Send + Sync>;

/// How a request ended, and who wants to know.
type Telling = (BlockDone, Result<(), BlockError>, Option<IoBuffer>);

/// The disk.
pub struct VirtioDisk<T, Q> {
    info: BlockInfo,
    max_discard: u32,
    memory: Memory,
    inner: Lock<Inner<T, Q>>,
    is_telling: AtomicBool,
}

struct Inner<T, Q> {
    transport: T,
    queue: Q,
    /// Who wants to know of the requests in flight, by tag.
    waiting: Vec<Option<BlockDone>>,
    free_tags: Vec<u32>,
    /// Requests that need no device.
    told_by_kick: VecDeque<Telling>,
    is_added: bool,
}

impl<T: Transport, Q: Queue> VirtioDisk<T, Q> {
    /// Sets a disk up. `make_queue` makes its queue of at least 192 parts.
    ///
    /// # Errors
    /// What is wrong with the device.
    pub fn new(
        mut transport: T,
        make_queue: impl FnOnce(&mut T) -> Result<Q, SetupError>,
        memory: Memory,
    ) -> Result<Self, SetupError> {
        let wanted = FEATURE_READ_ONLY | FEATURE_FLUSH | FEATURE_DISCARD;
        let features = begin(&mut transport, wanted)?;
        let sectors = transport.read_consistent(|| {
            let low: u32 = transport.read_config_space(CONFIG_CAPACITY)?;
            let high: u32 = transport.read_config_space(CONFIG_CAPACITY + 4)?;
            Ok(u64::from(high) << 32 | u64::from(low))
        });
        let max_discard = match features & FEATURE_DISCARD {
            0 => Ok(0),
            _ => transport.read_config_space(CONFIG_MAX_DISCARD),
        };
        let queue = make_queue(&mut transport)?;
        let info = BlockInfo {
            sectors: sectors.map_err(|_| SetupError::Registers)?,
            read_only: features & FEATURE_READ_ONLY != 0,
            can_flush: features & FEATURE_FLUSH != 0,
            can_discard: features & FEATURE_DISCARD != 0,
            max_sectors: MAX_SECTORS,
            depth: DEPTH,
        };
        finish(&mut transport);
        let inner = Inner {
            transport,
            queue,
            waiting: (0..DEPTH).map(|_| None).collect(),
            free_tags: (0..DEPTH).rev().collect(),
            told_by_kick: VecDeque::with_capacity(DEPTH as usize),
            is_added: false,
        };
        Ok(Self {
            info,
            max_discard: max_discard.map_err(|_| SetupError::Registers)?,
            memory,
            inner: Lock::new(inner),
            is_telling: AtomicBool::new(false),
        })
    }

    /// The disk's line fired. The line may be another device's as well; then nothing happens.
    pub fn interrupt(&self) {
        let mut inner = self.inner.lock();
        inner.transport.ack_interrupt();
        drop(inner);
        self.tell();
    }

    /// Tells of everything that has ended. A callback that gets here is served by the loop that called it.
    fn tell(&self) {
        if self.is_telling.swap(true, Ordering::Acquire) {
            return;
        }
        loop {
            let next = self.inner.lock().next_end();
            let Some((done, verdict, buffer)) = next else { break };
            done(verdict, buffer);
        }
        self.is_telling.store(false, Ordering::Release);
    }

    /// What can be said about a request without the device, if anything.
    fn settled(&self, request: &BlockRequest) -> Option<Result<(), BlockError>> {
        if let Err(error) = self.info.check(request) {
            return Some(Err(error));
        }
        let is_nothing = match request.op {
            BlockOp::Flush => !self.info.can_flush,
            BlockOp::Read | BlockOp::Write | BlockOp::Discard => request.sectors == 0,
        };
        is_nothing.then_some(Ok(()))
    }
}

impl<T: Transport, Q: Queue> Inner<T, Q> {
    fn next_end(&mut self) -> Option<Telling> {
        if let Some(telling) = self.told_by_kick.pop_front() {
            return Some(telling);
        }
        while let Some(Ended { tag, buffer, tail, .. }) = self.queue.take() {
            let done = self.waiting.get_mut(tag as usize).and_then(Option::take);
            let Some(done) = done else { continue };
            self.free_tags.push(tag);
            let verdict = match tail {
                [STATUS_OK, ..] => Ok(()),
                _ => Err(BlockError::Device),
            };
            return Some((done, verdict, buffer));
        }
        None
    }

    fn tell_later(
        &mut self,
        request: BlockRequest,
        verdict: Result<(), BlockError>,
    ) -> Result<(), BlockRequest> {
        if self.told_by_kick.len() >= DEPTH as usize {
            return Err(request);
        }
        self.told_by_kick.push_back((request.done, verdict, request.buffer));
        Ok(())
    }

    fn start(&mut self, request: BlockRequest, max_discard: u32) -> Result<(), BlockRequest> {
        let Some(tag) = self.free_tags.pop() else { return Err(request) };
        let BlockRequest { op, sector, sectors, buffer, done } = request;
        let (head, head_len) = head(op, sector, sectors, max_discard);
        let direction = match op {
            BlockOp::Read => Direction::FromDevice,
            _ => Direction::ToDevice,
        };
        let moves = matches!(op, BlockOp::Read | BlockOp::Write);
        let (given, kept) = if moves { (buffer, None) } else { (None, buffer) };
        drop(kept);
        let len = sectors as usize * SECTOR;
        let data = given.map(|buffer| Data { buffer, len, direction });
        let added = self.queue.add(Request { tag, head, head_len, data, tail_len: 1 });
        let Err(refused) = added else {
            self.waiting[tag as usize] = Some(done);
            self.is_added = true;
            return Ok(());
        };
        // There is room for as many chains as there are tags, so the memory is not of this device.
        self.free_tags.push(tag);
        let buffer = refused.data.map(|data| data.buffer);
        let request = BlockRequest { op, sector, sectors, buffer, done };
        self.tell_later(request, Err(BlockError::Device))
    }
}

/// The head of a request: kind, a reserved word, first sector; the range of a `DISCARD` behind it.
/// Discarding is a wish: what is beyond the most the device takes at once is left as it is.
fn head(op: BlockOp, sector: u64, sectors: u32, max_discard: u32) -> ([u8; HEAD], usize) {
    let (kind, first) = match op {
        BlockOp::Read => (READ, sector),
        BlockOp::Write => (WRITE, sector),
        BlockOp::Flush => (FLUSH, 0),
        BlockOp::Discard => (DISCARD, 0),
    };
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&kind.to_le_bytes());
    head[8..16].copy_from_slice(&first.to_le_bytes());
    if op != BlockOp::Discard {
        return (head, HEAD_LEN);
    }
    head[16..24].copy_from_slice(&sector.to_le_bytes());
    head[24..28].copy_from_slice(&sectors.min(max_discard).to_le_bytes());
    (head, HEAD_LEN + RANGE_LEN)
}

impl<T: Transport + Send, Q: Queue> BlockDevice for VirtioDisk<T, Q> {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn buffer(&self, bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        match bytes <= MAX_SECTORS as usize * SECTOR {
            true => (self.memory)(bytes),
            false => Err(OutOfMemory),
        }
    }

    fn submit(&self, request: BlockRequest) -> Result<(), BlockRequest> {
        let settled = self.settled(&request);
        let mut inner = self.inner.lock();
        match settled {
            Some(verdict) => inner.tell_later(request, verdict),
            None => inner.start(request, self.max_discard),
        }
    }

    fn kick(&self) {
        let mut inner = self.inner.lock();
        if core::mem::take(&mut inner.is_added) && inner.queue.wants_notify() {
            inner.transport.notify(QUEUE);
        }
        let has_news = !inner.told_by_kick.is_empty();
        drop(inner);
        if has_news {
            self.tell();
        }
    }
}

#[cfg(test)]
mod tests;
