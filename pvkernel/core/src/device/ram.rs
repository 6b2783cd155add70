//! A disk in memory.
//!
//! Its contents are whole pages of the backend's, in chunks, so that each chunk lies at consecutive
//! addresses; they come back when the disk is dropped. What is asked of it is done at once; the ends
//! are told by `kick`, one after another, so that a caller that asks again from its callback does not
//! pile up calls. `with_pages` lends the contents where they lie, for who would only copy once more.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::block::{
    BlockDevice, BlockDone, BlockInfo, BlockOp, BlockRequest, IoBuffer, IoMemory, SECTOR,
};
use crate::platform::{BlockError, OutOfMemory};
use crate::sync::Lock;

/// Where memory comes from: whole pages at consecutive addresses, at least as many bytes as asked.
pub type PageSource = fn(usize) -> Result<IoBuffer, OutOfMemory>;

/// Bytes at consecutive addresses.
const CHUNK: usize = 256 << 10;
/// Bytes behind a chunk that are not used. Chunks at a distance of a power of two would mostly lie at the
/// same distance from a buffer of that size, and the two would compete for the same entries of the
/// TLB, page by page: a copy becomes several times slower.
const GAP: usize = 4096;
/// Ends that may wait for `kick`.
const DEPTH: u32 = 64;
/// Most sectors in one request: 1 MiB.
const MAX_SECTORS: u32 = 2048;

/// A request that has been carried out, whose owner does not know yet.
struct Ended {
    verdict: Result<(), BlockError>,
    buffer: Option<IoBuffer>,
    done: BlockDone,
}

/// The disk.
pub struct RamDisk {
    info: BlockInfo,
    source: PageSource,
    chunks: Lock<Vec<IoBuffer>>,
    ended: Lock<VecDeque<Ended>>,
    is_telling: AtomicBool,
}

impl RamDisk {
    /// A disk of `sectors` sectors, all zero.
    ///
    /// # Errors
    /// When there is not that much memory; nothing stays taken.
    pub fn new(sectors: u64, source: PageSource) -> Result<Self, OutOfMemory> {
        let bytes = usize::try_from(sectors).ok().and_then(|sectors| sectors.checked_mul(SECTOR));
        let bytes = bytes.ok_or(OutOfMemory)?;
        let mut chunks = Vec::new();
        chunks.try_reserve_exact(bytes.div_ceil(CHUNK)).map_err(|_| OutOfMemory)?;
        for start in (0..bytes).step_by(CHUNK) {
            let mut chunk = source(CHUNK.min(bytes - start) + GAP)?;
            chunk.bytes_mut().fill(0);
            chunks.push(chunk);
        }
        let info = BlockInfo {
            sectors,
            read_only: false,
            can_flush: true,
            can_discard: true,
            max_sectors: MAX_SECTORS,
            depth: DEPTH,
        };
        let ended = VecDeque::with_capacity(DEPTH as usize);
        Ok(Self {
            info,
            source,
            chunks: Lock::new(chunks),
            ended: Lock::new(ended),
            is_telling: AtomicBool::new(false),
        })
    }

    /// Lends the memory of `sectors` sectors, in order, in as few pieces as it has. The closure runs
    /// under the disk's lock: it must neither wait nor use this disk.
    ///
    /// # Errors
    /// `OutOfRange`, before anything is lent.
    pub fn with_pages(
        &self,
        sector: u64,
        sectors: u32,
        lend: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), BlockError> {
        self.info.check_range(sector, sectors)?;
        let mut at = sector as usize * SECTOR;
        let end = at + sectors as usize * SECTOR;
        let mut chunks = self.chunks.lock();
        while at < end {
            let start = at % CHUNK;
            let len = (CHUNK - start).min(end - at);
            let chunk = chunks.get_mut(at / CHUNK).map(|chunk| chunk.bytes_mut());
            let piece = chunk.and_then(|bytes| bytes.get_mut(start..start + len));
            lend(piece.ok_or(BlockError::OutOfRange)?);
            at += len;
        }
        Ok(())
    }

    fn carry_out(&self, request: &mut BlockRequest) -> Result<(), BlockError> {
        self.info.check(request)?;
        let (sector, sectors) = (request.sector, request.sectors);
        let mut at = 0;
        let mut next = |len: usize| {
            at += len;
            at - len..at
        };
        match (request.op, request.buffer.as_mut().map(|buffer| buffer.bytes_mut())) {
            (BlockOp::Flush, _) => Ok(()),
            (BlockOp::Discard, _) => self.with_pages(sector, sectors, &mut |piece| piece.fill(0)),
            (BlockOp::Read, Some(bytes)) => self.with_pages(sector, sectors, &mut |piece| {
                bytes[next(piece.len())].copy_from_slice(piece);
            }),
            (BlockOp::Write, Some(bytes)) => self.with_pages(sector, sectors, &mut |piece| {
                piece.copy_from_slice(&bytes[next(piece.len())]);
            }),
            (BlockOp::Read | BlockOp::Write, None) => Err(BlockError::OutOfRange),
        }
    }
}

impl BlockDevice for RamDisk {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn buffer(&self, bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        (self.source)(bytes)
    }

    fn submit(&self, mut request: BlockRequest) -> Result<(), BlockRequest> {
        if self.ended.lock().len() >= DEPTH as usize {
            return Err(request);
        }
        let verdict = self.carry_out(&mut request);
        let BlockRequest { buffer, done, .. } = request;
        self.ended.lock().push_back(Ended { verdict, buffer, done });
        Ok(())
    }

    fn kick(&self) {
        // A callback that kicks is served by the loop that called it.
        if self.is_telling.swap(true, Ordering::Acquire) {
            return;
        }
        loop {
            let next = self.ended.lock().pop_front();
            let Some(Ended { verdict, buffer, done }) = next else { break };
            done(verdict, buffer);
        }
        self.is_telling.store(false, Ordering::Release);
    }
}

/// Memory of the heap, for tests and for backends without a better kind.
pub struct HeapMemory(Vec<u8>);

impl HeapMemory {
    /// A [`PageSource`].
    ///
    /// # Errors
    /// Without memory.
    pub fn source(bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(bytes).map_err(|_| OutOfMemory)?;
        memory.resize(bytes, 0);
        Ok(alloc::boxed::Box::new(Self(memory)))
    }
}

impl IoMemory for HeapMemory {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn as_any(&mut self) -> &mut dyn core::any::Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec;
    use proptest::prelude::*;

    type Ends = Arc<Lock<Vec<(Result<(), BlockError>, Option<IoBuffer>)>>>;

    fn request(disk: &RamDisk, op: BlockOp, at: (u64, u32), fill: u8) -> (BlockRequest, Ends) {
        let ends: Ends = Arc::new(Lock::new(Vec::new()));
        let told = Arc::clone(&ends);
        let has_data = matches!(op, BlockOp::Read | BlockOp::Write);
        let buffer = has_data.then(|| disk.buffer(at.1 as usize * SECTOR).expect("memory"));
        let buffer = buffer.map(|mut buffer| {
            buffer.bytes_mut().fill(fill);
            buffer
        });
        let done: BlockDone = Box::new(move |verdict, buffer| told.lock().push((verdict, buffer)));
        (BlockRequest { op, sector: at.0, sectors: at.1, buffer, done }, ends)
    }

    fn run(disk: &RamDisk, op: BlockOp, at: (u64, u32), fill: u8) -> Result<Vec<u8>, BlockError> {
        let (request, ends) = request(disk, op, at, fill);
        assert!(disk.submit(request).is_ok());
        assert!(ends.lock().is_empty(), "the end is told by kick");
        disk.kick();
        let (verdict, buffer) = ends.lock().pop().expect("told once");
        assert!(ends.lock().is_empty(), "told once");
        let bytes = buffer.map(|buffer| buffer.bytes().to_vec()).unwrap_or_default();
        verdict.map(|()| bytes)
    }

    proptest! {
        #[test]
        fn behaves_like_a_row_of_sectors(
            sectors in 1_u64..1600,
            ops in prop::collection::vec((0_u8..4, 0_u64..1700, 0_u32..600, any::<u8>()), 0..20),
        ) {
            let disk = RamDisk::new(sectors, HeapMemory::source).expect("memory");
            let mut model = vec![0_u8; sectors as usize * SECTOR];
            for (op, sector, count, fill) in ops {
                let op = [BlockOp::Read, BlockOp::Write, BlockOp::Discard, BlockOp::Flush][usize::from(op)];
                let got = run(&disk, op, (sector, count), fill);
                let start = sector as usize * SECTOR;
                let place = model.get_mut(start..start + count as usize * SECTOR);
                let Some(place) = place.filter(|_| op != BlockOp::Flush) else {
                    prop_assert_eq!(got.is_ok(), op == BlockOp::Flush);
                    continue;
                };
                match op {
                    BlockOp::Write => place.fill(fill),
                    BlockOp::Discard => place.fill(0),
                    _ => prop_assert_eq!(got.as_deref(), Ok(&*place)),
                }
                let mut lent = Vec::new();
                disk.with_pages(sector, count, &mut |piece| lent.extend_from_slice(piece)).expect("in range");
                prop_assert_eq!(&lent, place);
            }
        }
    }

    #[test]
    fn more_than_its_depth_is_given_back_until_a_kick() {
        let disk = RamDisk::new(8, HeapMemory::source).expect("memory");
        let add = || disk.submit(request(&disk, BlockOp::Read, (0, 1), 0).0).is_ok();
        assert_eq!((0..100).filter(|_| add()).count(), DEPTH as usize);
        disk.kick();
        assert!(add());
    }

    #[test]
    fn asking_again_from_the_callback_does_not_nest() {
        let disk = Arc::new(RamDisk::new(8, HeapMemory::source).expect("memory"));
        let depth = Arc::new(Lock::new((0, 0, 0)));
        fn ask(disk: &Arc<RamDisk>, depth: &Arc<Lock<(u32, u32, u32)>>) {
            let (again, count) = (Arc::clone(disk), Arc::clone(depth));
            let done: BlockDone = Box::new(move |_, _| {
                let mut guard = count.lock();
                (guard.0, guard.1) = (guard.0 + 1, guard.1 + 1);
                guard.2 = guard.2.max(guard.1);
                let more = guard.0 < 10_000;
                drop(guard);
                if more {
                    ask(&again, &count);
                }
                count.lock().1 -= 1;
            });
            let op = BlockOp::Flush;
            let asked = disk.submit(BlockRequest { op, sector: 0, sectors: 0, buffer: None, done });
            assert!(asked.is_ok());
            disk.kick();
        }
        ask(&disk, &depth);
        assert_eq!(*depth.lock(), (10_000, 0, 1), "all told, none inside another");
    }

    #[test]
    fn a_buffer_that_is_too_small_or_missing_is_an_error_of_the_request() {
        let disk = RamDisk::new(64, HeapMemory::source).expect("memory");
        for buffer in [None, Some(disk.buffer(SECTOR).expect("memory"))] {
            let (mut request, ends) = request(&disk, BlockOp::Write, (0, 2), 1);
            request.buffer = buffer;
            assert!(disk.submit(request).is_ok());
            disk.kick();
            assert_eq!(ends.lock()[0].0, Err(BlockError::OutOfRange));
        }
        assert!(RamDisk::new(u64::MAX, HeapMemory::source).is_err());
    }
}
