//! One connected front half.
//!
//! `turn` does a bounded piece of work: what has ended is answered, requests are taken and carried out
//! or started, the answers are published, and the front half is notified if it asked to be. On a disk in
//! memory a request is done when it was taken; on others up to the disk's depth are on their way, each
//! with a buffer the disk reaches.

use super::backing::{Backing, Lease};
use super::frames::Frames;
use super::wake;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use hypercall_abi::io::block::{RSP_EOPNOTSUPP, RSP_ERROR, RSP_OKAY};
use hypercall_abi::{DomId, Errno, EvtchnPort, GrantRef};
use pv_ring::RingCorrupt;
use pvkernel_core::device::block::{
    BlockDevice, BlockDone, BlockOp, BlockRequest, IoBuffer, SECTOR,
};
use pvkernel_core::device::ram::RamDisk;
use pvkernel_core::platform::BlockError;
use pvkernel_core::sync::Lock;
use pvkernel_xen::blkring::BlkRing;
use pvkernel_xen::event;
use pvkernel_xen::grants::GrantMapping;
use zl_backends::blk::{indirect, Direction, Disk, Job, Link, Open, Refusal, Step, Transfer};
use zl_toolstack::devices::DiskCounts;

/// Requests in one turn.
const TURN_REQUESTS: u32 = 32;
/// Sectors in one turn: 1 MiB, and what the last request is beyond.
const TURN_SECTORS: u32 = 2048;

/// What a front half says when it connects.
pub struct Offer {
    /// Its domain.
    pub peer: DomId,
    /// The number of the disk there.
    pub devid: u32,
    /// Its ring.
    pub ring: GrantRef,
    /// Its port.
    pub port: EvtchnPort,
    /// Whether it uses the same frames again and again.
    pub is_persistent: bool,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// What others see of a device.
pub struct News {
    peer: DomId,
    devid: u32,
    lease: Arc<Lease>,
    /// There is something to do.
    is_ready: AtomicBool,
    ended: Lock<VecDeque<Ended>>,
    /// Reads, writes, sectors read, sectors written, times the disk took nothing.
    counters: [AtomicU64; 5],
}

impl News {
    /// Whose it is.
    pub const fn peer(&self) -> DomId {
        self.peer
    }

    /// What was done.
    pub fn counts(&self) -> DiskCounts {
        let [reads, writes, read_sectors, written_sectors, out_of_room] =
            self.counters.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        let devid = self.devid;
        DiskCounts { devid, out_of_room, reads, writes, read_sectors, written_sectors }
    }

    /// Notes that there is something to do.
    pub fn note(&self) {
        self.is_ready.store(true, Ordering::Release);
        wake();
    }
}

/// A request that the disk has carried out.
struct Ended {
    open: Open,
    kind: Kind,
    verdict: Result<(), BlockError>,
    buffer: Option<IoBuffer>,
}

/// What the disk was asked to do.
enum Kind {
    /// Move bytes.
    Transfer(Transfer),
    /// Anything without bytes.
    Other(Job),
}

impl Kind {
    fn into_job(self) -> Job {
        match self {
            Self::Transfer(transfer) => Job::Transfer(transfer),
            Self::Other(job) => job,
        }
    }
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is more to do.
    More,
    /// Nothing until there is news: the ring is empty, and the front half was asked to tell.
    Idle,
    /// Nothing until the disk has done something of what is on its way, whatever the ring holds.
    Busy,
    /// The disk takes nothing now although nothing of this device is on its way.
    Starved,
}

/// A connected front half.
pub struct Device {
    peer: DomId,
    port: EvtchnPort,
    ring: GrantMapping,
    link: Link,
    disk: Disk,
    frames: Frames,
    news: Arc<News>,
    /// Requests the disk works on.
    sent: u32,
    /// Times the disk took nothing.
    starved: u64,
    /// Taken from the ring, to be started when the disk takes more.
    waiting: VecDeque<(Open, Job)>,
}

impl Device {
    /// Connects.
    ///
    /// # Errors
    /// One line.
    pub fn connect(offer: &Offer, lease: Arc<Lease>) -> Result<Self, String> {
        let Offer { peer, ring, port, .. } = *offer;
        let said = |what: &str, errno: Errno| format!("{what}: {}", errno.name());
        let mapping = GrantMapping::new(peer, &[ring], true)
            .map_err(|errno| said(&format!("ring-ref {ring} cannot be mapped"), errno))?;
        let frames = Frames::new(peer, offer.is_persistent)
            .map_err(|errno| said("no memory for its frames", errno))?;
        let local = event::bind_interdomain(peer, port)
            .map_err(|errno| said(&format!("event-channel {port} cannot be bound"), errno))?;
        let info = lease.backing().info();
        let disk = Disk {
            sectors: info.sectors,
            read_only: offer.read_only || info.read_only,
            can_discard: info.can_discard,
        };
        let news = Arc::new(News {
            peer,
            devid: offer.devid,
            lease,
            is_ready: AtomicBool::new(true),
            ended: Lock::new(VecDeque::new()),
            counters: [const { AtomicU64::new(0) }; 5],
        });
        let fired = Arc::clone(&news);
        event::on_event(local, Box::new(move || fired.note()));
        let link = Link::attach(&BlkRing::new(mapping.memory()));
        Ok(Self {
            peer,
            port: local,
            ring: mapping,
            link,
            disk,
            frames,
            news,
            sent: 0,
            starved: 0,
            waiting: VecDeque::new(),
        })
    }

    /// Its domain.
    pub const fn peer(&self) -> DomId {
        self.peer
    }

    /// What others see of it.
    pub const fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// Whether there is something to do.
    pub fn is_ready(&self) -> bool {
        self.news.is_ready.load(Ordering::Acquire)
    }

    /// Works for a bounded time.
    ///
    /// # Errors
    /// When the ring makes no sense.
    pub fn turn(&mut self) -> Result<Turn, RingCorrupt> {
        self.news.is_ready.store(false, Ordering::Release);
        self.answer_ended();
        let turn = self.take_requests();
        if let Backing::Device(disk) = self.news.lease.backing() {
            disk.kick();
        }
        self.publish();
        let turn = match turn? {
            Turn::Idle if self.link.arm(&BlkRing::new(self.ring.memory()))? => Turn::More,
            turn => turn,
        };
        if turn == Turn::More {
            self.news.is_ready.store(true, Ordering::Release);
        }
        Ok(turn)
    }

    fn publish(&mut self) {
        if self.link.publish(&BlkRing::new(self.ring.memory())) {
            // A front half that is gone is on its way to be noticed through the store.
            let _ = event::notify(self.port);
        }
        let now = self.link.counters();
        let all = [now.reads, now.writes, now.read_sectors, now.written_sectors, self.starved];
        for (counter, value) in self.news.counters.iter().zip(all) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// Answers what the disk has carried out.
    fn answer_ended(&mut self) {
        loop {
            let next = self.news.ended.lock().pop_front();
            let Some(Ended { open, kind, verdict, buffer }) = next else { return };
            self.sent -= 1;
            match (kind, verdict, buffer) {
                (Kind::Transfer(transfer), Ok(()), Some(buffer)) => {
                    self.answer_transfer(open, &transfer, buffer);
                }
                (_, verdict, _) => {
                    self.finish(open, if verdict.is_ok() { RSP_OKAY } else { RSP_ERROR });
                }
            }
        }
    }

    fn answer_transfer(&mut self, open: Open, transfer: &Transfer, mut buffer: IoBuffer) {
        let Transfer { direction, sectors, ref segments, durable, .. } = *transfer;
        self.link.count(direction, sectors);
        if direction == Direction::Write && durable {
            return self.waiting.push_back((open, Job::Flush));
        }
        let memory = buffer.bytes_mut().get_mut(..sectors as usize * SECTOR);
        let copied = match direction {
            Direction::Write => Ok(()),
            Direction::Read => self
                .frames
                .prepare(segments)
                .and(memory.ok_or(Errno::ENOMEM))
                .and_then(|memory| self.frames.copy(direction, segments, 0, memory)),
        };
        self.finish(open, if copied.is_ok() { RSP_OKAY } else { RSP_ERROR });
    }

    fn finish(&mut self, open: Open, status: i16) -> u32 {
        self.link.finish(&BlkRing::new(self.ring.memory()), open, status);
        0
    }

    fn take_requests(&mut self) -> Result<Turn, RingCorrupt> {
        let (mut requests, mut sectors) = (0, 0);
        while requests < TURN_REQUESTS && sectors < TURN_SECTORS {
            requests += 1;
            let work = match self.waiting.pop_front() {
                Some(work) => work,
                None => match self.link.take(&BlkRing::new(self.ring.memory()), &self.disk)? {
                    Step::Work(open, job) => (open, job),
                    Step::Refused => continue,
                    Step::Empty => return Ok(Turn::Idle),
                    Step::Blocked => return Ok(Turn::Busy),
                },
            };
            match self.start(work.0, work.1) {
                Some(moved) => sectors += moved,
                None => {
                    self.starved += 1;
                    return Ok(if self.sent > 0 { Turn::Busy } else { Turn::Starved });
                }
            }
        }
        Ok(Turn::More)
    }

    /// Carries a piece of work out or starts it; the sectors it moves. `None` when the disk takes
    /// nothing now: the work waits.
    fn start(&mut self, open: Open, job: Job) -> Option<u32> {
        match job {
            Job::Transfer(transfer) => self.transfer(open, transfer),
            Job::Fetch { direction, sector, count, pages } => {
                let copy = self.frames.fetch(pages.iter(), count);
                let list = copy.map_err(|_| RSP_ERROR).and_then(|copy| {
                    indirect(&self.disk, direction, sector, &copy).map_err(Refusal::status)
                });
                match list {
                    Ok(transfer) => self.transfer(open, transfer),
                    Err(status) => Some(self.finish(open, status)),
                }
            }
            Job::Flush => self.ask(open, (BlockOp::Flush, 0, 0), Job::Flush),
            Job::Discard { sector, sectors } => match u32::try_from(sectors) {
                Ok(count) => self.ask(open, (BlockOp::Discard, sector, count), job),
                // More than 2 TiB at once.
                Err(_) => Some(self.finish(open, RSP_EOPNOTSUPP)),
            },
        }
    }

    fn transfer(&mut self, open: Open, transfer: Transfer) -> Option<u32> {
        match self.news.lease.backing().clone() {
            Backing::Ram(disk) => Some(self.copy_in_place(open, &transfer, &disk)),
            Backing::Device(disk) => self.submit(open, transfer, &*disk),
        }
    }

    /// Moves bytes between the disk's memory and the frames.
    fn copy_in_place(&mut self, open: Open, transfer: &Transfer, disk: &RamDisk) -> u32 {
        let Transfer { direction, sector, sectors, ref segments, .. } = *transfer;
        let mut verdict = self.frames.prepare(segments);
        let mut skip = 0;
        let lent = disk.with_pages(sector, sectors, &mut |piece| {
            if verdict.is_ok() {
                verdict = self.frames.copy(direction, segments, skip, piece);
            }
            skip += piece.len();
        });
        let is_done = verdict.is_ok() && lent.is_ok();
        self.link.count(direction, sectors);
        self.finish(open, if is_done { RSP_OKAY } else { RSP_ERROR });
        sectors
    }

    /// Starts a transfer on a disk that needs a buffer.
    fn submit(&mut self, open: Open, transfer: Transfer, disk: &dyn BlockDevice) -> Option<u32> {
        let Transfer { direction, sector, sectors, .. } = transfer;
        let bytes = sectors as usize * SECTOR;
        let Ok(mut buffer) = disk.buffer(bytes) else {
            self.waiting.push_front((open, Job::Transfer(transfer)));
            return None;
        };
        let op = match direction {
            Direction::Read => BlockOp::Read,
            Direction::Write => BlockOp::Write,
        };
        if direction == Direction::Write {
            let memory = buffer.bytes_mut().get_mut(..bytes).ok_or(Errno::ENOMEM);
            let copied = self
                .frames
                .prepare(&transfer.segments)
                .and(memory)
                .and_then(|memory| self.frames.copy(direction, &transfer.segments, 0, memory));
            if copied.is_err() {
                return Some(self.finish(open, RSP_ERROR));
            }
        }
        let kind = Kind::Transfer(transfer);
        self.send(disk, (op, sector, sectors), Some(buffer), (open, kind)).then_some(sectors)
    }

    /// Carries a request without bytes out or starts it.
    fn ask(&mut self, open: Open, what: (BlockOp, u64, u32), job: Job) -> Option<u32> {
        let (op, sector, sectors) = what;
        match self.news.lease.backing().clone() {
            Backing::Ram(disk) => {
                let mut fill = |piece: &mut [u8]| piece.fill(0);
                // A front half may forget a whole disk at once: a turn of it, and the rest later.
                let part = sectors.min(TURN_SECTORS);
                let is_done = match op {
                    BlockOp::Discard => disk.with_pages(sector, part, &mut fill).is_ok(),
                    _ => true,
                };
                if is_done && part < sectors {
                    let (sector, sectors) = (sector + u64::from(part), u64::from(sectors - part));
                    self.waiting.push_front((open, Job::Discard { sector, sectors }));
                } else {
                    self.finish(open, if is_done { RSP_OKAY } else { RSP_ERROR });
                }
                // Zeroing counts as moving.
                Some(part)
            }
            Backing::Device(disk) => {
                self.send(&*disk, what, None, (open, Kind::Other(job))).then_some(0)
            }
        }
    }

    /// Gives a request to the disk; false if it takes none now, and the request waits.
    fn send(
        &mut self,
        disk: &dyn BlockDevice,
        (op, sector, sectors): (BlockOp, u64, u32),
        buffer: Option<IoBuffer>,
        (open, kind): (Open, Kind),
    ) -> bool {
        let news = Arc::clone(&self.news);
        let done: BlockDone = Box::new(move |verdict, buffer| {
            news.ended.lock().push_back(Ended { open, kind, verdict, buffer });
            news.note();
        });
        let was_ready = self.is_ready();
        let Err(refused) = disk.submit(BlockRequest { op, sector, sectors, buffer, done }) else {
            self.sent += 1;
            return true;
        };
        // The duty to answer is inside of the callback, which hands it out at the end of the list.
        (refused.done)(Err(BlockError::Device), refused.buffer);
        self.news.is_ready.store(was_ready, Ordering::Release);
        let back = self.news.ended.lock().pop_back();
        if let Some(Ended { open, kind, .. }) = back {
            self.waiting.push_front((open, kind.into_job()));
        }
        false
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The port is ours, so closing cannot fail.
        let _ = event::unbind(self.port);
    }
}
