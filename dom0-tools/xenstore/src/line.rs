//! The line to one domain: its ring page, and turns of moving bytes.
//!
//! The service owns a [`Line`] for each domain and gives it a turn when something may have happened. A
//! turn is bounded: it executes a few requests and moves what fits the ring, so domains take turns
//! however much one of them wants. All that stands in the page is the domain's word.
//!
//! Invariant: after indices or a message that make no sense nothing is read from or written to the ring
//! until the domain asks to start over; the page says why.

use crate::server::Server;
use hypercall_abi::io::xs_wire::{
    CONNECTED, ERROR_NONE, ERROR_PROTO, ERROR_RINGIDX, RECONNECT, SERVER_FEATURE_ERROR,
    SERVER_FEATURE_RECONNECTION,
};
use hypercall_abi::DomId;
use pv_ring::{ByteRing, Consumer, Producer, XenstorePage};

/// Requests executed in a turn.
const REQUESTS: usize = 4;
/// Bytes moved at a time.
const PIECE: usize = 256;

/// The words of the page beside the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// What the store can do.
    Features,
    /// Whether the domain wants to start over.
    Connection,
    /// What went wrong.
    Error,
}

/// The ring page of a domain, however it is mapped.
pub trait Page {
    /// The domain produces, the store consumes.
    fn requests(&self) -> impl ByteRing + '_;
    /// The store produces, the domain consumes.
    fn responses(&self) -> impl ByteRing + '_;
    /// Reads a word, acquire.
    fn load(&self, word: Word) -> u32;
    /// Writes a word, release.
    fn store(&self, word: Word, value: u32);
}

impl Page for XenstorePage {
    fn requests(&self) -> impl ByteRing + '_ {
        self.requests()
    }

    fn responses(&self) -> impl ByteRing + '_ {
        self.responses()
    }

    fn load(&self, word: Word) -> u32 {
        atomic(self, word).load(core::sync::atomic::Ordering::Acquire)
    }

    fn store(&self, word: Word, value: u32) {
        atomic(self, word).store(value, core::sync::atomic::Ordering::Release);
    }
}

fn atomic(page: &XenstorePage, word: Word) -> &core::sync::atomic::AtomicU32 {
    match word {
        Word::Features => page.server_features(),
        Word::Connection => page.connection(),
        Word::Error => page.error(),
    }
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The page changed: the domain is to be notified.
    pub moved: bool,
    /// There is more to do at once.
    pub more: bool,
}

/// The store's end of a ring.
#[derive(Debug)]
pub struct Line {
    domain: DomId,
    requests: Consumer,
    responses: Producer,
    is_broken: bool,
}

impl Line {
    /// Takes a ring over as it is.
    pub fn open(domain: DomId, page: &impl Page) -> Self {
        page.store(Word::Features, SERVER_FEATURE_RECONNECTION | SERVER_FEATURE_ERROR);
        Self {
            domain,
            requests: Consumer::attach(&page.requests()),
            responses: Producer::attach(&page.responses()),
            is_broken: false,
        }
    }

    /// Moves bytes and executes requests, for a bounded time.
    pub fn turn(&mut self, server: &mut Server, page: &impl Page) -> Turn {
        let mut turn = Turn::default();
        if page.load(Word::Connection) == RECONNECT {
            self.start_over(server, page);
            turn.moved = true;
        }
        if self.is_broken {
            return turn;
        }
        if let Err(error) = self.exchange(server, page, &mut turn) {
            server.reset(self.domain);
            page.store(Word::Error, error);
            self.is_broken = true;
            turn = Turn { moved: true, more: false };
        }
        turn
    }

    /// Whether the domain broke its ring.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn start_over(&mut self, server: &mut Server, page: &impl Page) {
        server.reset(self.domain);
        empty(&page.requests());
        empty(&page.responses());
        self.requests = Consumer::attach(&page.requests());
        self.responses = Producer::attach(&page.responses());
        self.is_broken = false;
        page.store(Word::Error, ERROR_NONE);
        page.store(Word::Connection, CONNECTED);
    }

    fn exchange(
        &mut self,
        server: &mut Server,
        page: &impl Page,
        turn: &mut Turn,
    ) -> Result<(), u32> {
        turn.moved |= self.send(server, page)?;
        for _ in 0..REQUESTS {
            turn.moved |= self.receive(server, page)?;
            if !server.step(self.domain) {
                break;
            }
            turn.moved |= self.send(server, page)?;
        }
        let waiting = self.requests.available(&page.requests()).map_err(|_| ERROR_RINGIDX)?;
        let free = self.responses.free(&page.responses()).map_err(|_| ERROR_RINGIDX)?;
        turn.more = server.is_ready(self.domain)
            || (waiting > 0 && server.wanted(self.domain) > 0)
            || (free > 0 && server.has_pending(self.domain));
        Ok(())
    }

    /// Takes bytes up to the end of one request.
    fn receive(&mut self, server: &mut Server, page: &impl Page) -> Result<bool, u32> {
        let mut moved = false;
        let mut bytes = [0; PIECE];
        loop {
            let room = server.wanted(self.domain).min(PIECE);
            let buffer = bytes.get_mut(..room).unwrap_or_default();
            let read = self.requests.read(&page.requests(), buffer).map_err(|_| ERROR_RINGIDX)?;
            if read == 0 {
                return Ok(moved);
            }
            moved = true;
            let taken = server.receive(self.domain, buffer.get(..read).unwrap_or_default());
            debug_assert_ne!(taken, Ok(0));
            taken.map_err(|_| ERROR_PROTO)?;
        }
    }

    /// Gives what fits the ring.
    fn send(&mut self, server: &mut Server, page: &impl Page) -> Result<bool, u32> {
        let mut moved = false;
        loop {
            let bytes = server.pending(self.domain);
            let sent = self.responses.write(&page.responses(), bytes).map_err(|_| ERROR_RINGIDX)?;
            if sent == 0 {
                return Ok(moved);
            }
            moved = true;
            server.sent(self.domain, sent);
        }
    }
}

fn empty(ring: &impl ByteRing) {
    ring.store_cons(0);
    ring.store_prod(0);
}
