//! One connection: requests in, answers out.
//!
//! `take` hands out one piece of work at a time together with an `Open`, the duty to answer it.
//! Refused requests are answered here. A barrier waits until nothing is in flight, and nothing is
//! taken until it is answered.

use super::check::{Disk, Job};
use super::request::{decode, Asked, Direction, Request};
use hypercall_abi::io::block::{BlkifRequest, BlkifResponse, RSP_ERROR, RSP_OKAY};
use pv_ring::{BackRing, RingCorrupt, SlotRing};

/// What was done for a front half since it connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were answered.
    pub requests: u64,
    /// Reads among them.
    pub reads: u64,
    /// Writes among them.
    pub writes: u64,
    /// Sectors read.
    pub read_sectors: u64,
    /// Sectors written.
    pub written_sectors: u64,
    /// Answers that are no success.
    pub errors: u64,
    /// Times the front half was notified.
    pub notifications: u64,
}

/// The duty to answer one request.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request that is not answered blocks a slot for ever"]
pub struct Open {
    id: u64,
    operation: u8,
    ordered: bool,
}

/// What `take` found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Something to do.
    Work(Open, Job),
    /// A request was answered at once; there may be more.
    Refused,
    /// Nothing until something in flight has ended.
    Blocked,
    /// The ring is empty.
    Empty,
}

/// The back end's side of a connection.
#[derive(Debug)]
pub struct Link {
    ring: BackRing,
    in_flight: u32,
    /// An ordered request is being worked on.
    is_ordered: bool,
    /// An ordered request that waits for the end of those in flight.
    held: Option<(Open, Job)>,
    counters: Counters,
}

impl Link {
    /// Takes a ring over.
    pub fn attach<R>(ring: &R) -> Self
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        let ring = BackRing::attach(ring);
        let counters = Counters::default();
        Self { ring, in_flight: 0, is_ordered: false, held: None, counters }
    }

    /// Requests that were taken and not answered.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight + u32::from(self.held.is_some())
    }

    /// What was done.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes the next request.
    ///
    /// # Errors
    /// When the indices make no sense: the connection has to be given up.
    pub fn take<R>(&mut self, ring: &R, disk: &Disk) -> Result<Step, RingCorrupt>
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        if self.is_ordered || (self.held.is_some() && self.in_flight > 0) {
            return Ok(Step::Blocked);
        }
        if let Some((open, job)) = self.held.take() {
            return Ok(self.start(open, job));
        }
        let Some(slot) = self.ring.pop(ring)? else { return Ok(Step::Empty) };
        Ok(self.look_at(ring, disk, decode(&slot)))
    }

    fn look_at<R>(&mut self, ring: &R, disk: &Disk, request: Request) -> Step
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        let ordered = matches!(
            request.asked,
            Ok(Asked::Direct { ordered: true, .. } | Asked::Flush { ordered: true })
        );
        let Request { id, operation, sector, asked } = request;
        let open = Open { id, operation, ordered };
        match asked.and_then(|asked| disk.check(sector, asked)) {
            Err(refusal) => {
                self.answer(ring, open, refusal.status());
                Step::Refused
            }
            Ok(job) if ordered && self.in_flight > 0 => {
                self.held = Some((open, job));
                Step::Blocked
            }
            Ok(job) => self.start(open, job),
        }
    }

    fn start(&mut self, open: Open, job: Job) -> Step {
        self.in_flight += 1;
        self.is_ordered = open.ordered;
        Step::Work(open, job)
    }

    /// Answers a request; the answer becomes visible with `publish`.
    pub fn finish<R>(&mut self, ring: &R, open: Open, status: i16)
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        self.in_flight = self.in_flight.saturating_sub(1);
        if open.ordered {
            self.is_ordered = false;
        }
        self.answer(ring, open, status);
    }

    fn answer<R>(&mut self, ring: &R, open: Open, status: i16)
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        let status = status.clamp(super::request::Refusal::Unsupported.status(), RSP_OKAY);
        let Open { id, operation, .. } = open;
        let response = BlkifResponse { id, operation, status, ..BlkifResponse::default() };
        self.counters.requests += 1;
        self.counters.errors += u64::from(status <= RSP_ERROR);
        // Cannot be full: each `Open` stands for one request that was taken from the ring.
        let _ = self.ring.push(ring, &response);
    }

    /// Counts a transfer that was done.
    pub fn count(&mut self, direction: Direction, sectors: u32) {
        let (times, total) = match direction {
            Direction::Read => (&mut self.counters.reads, &mut self.counters.read_sectors),
            Direction::Write => (&mut self.counters.writes, &mut self.counters.written_sectors),
        };
        *times += 1;
        *total += u64::from(sectors);
    }

    /// Makes the answers visible; true if the front half is to be notified.
    #[must_use]
    pub fn publish<R>(&mut self, ring: &R) -> bool
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        let is_due = self.ring.publish(ring);
        self.counters.notifications += u64::from(is_due);
        is_due
    }

    /// Asks to be notified of the next request; true if there is one already.
    ///
    /// # Errors
    /// When the indices make no sense.
    pub fn arm<R>(&self, ring: &R) -> Result<bool, RingCorrupt>
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        self.ring.arm(ring)
    }
}
