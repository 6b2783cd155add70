//! The store as a guest reaches it: over the ring that the builder put into its memory.
//!
//! [`store`] gives the calls; they may be made by several threads at once, and each waits for its own
//! answer. One thread, `xenstore`, reads what comes, hands answers to those who wait and calls the sinks
//! of watches; it starts with the first use, so a program that never asks has neither thread nor
//! notifications. The connection's state is `pv_xenbus::client`; here are the ring and the waiting.
//!
//! A store that breaks the ring or reports an error is asked to start over when it can, and otherwise
//! every call fails with `EIO`. Without a store every call fails with `ENODEV`; the control domain has
//! its own by other means.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::io::xs_wire::{
    CONNECTED, ERROR_NONE, RECONNECT, RING_SIZE, SERVER_FEATURE_RECONNECTION,
};
use hypercall_abi::{Errno, EvtchnPort};
use pv_ring::{Consumer, Producer, RingCorrupt, XenstorePage};
use pv_xenbus::calls::{CallingStore, StoreCalls};
use pv_xenbus::client::{Client, Due};
use pv_xenbus::{wire, Store, Tx, WatchId, WatchSink};
use pvkernel_core::sync::Lock;

use crate::{boot, event, layout, p2m, thread, time};

/// Bytes taken from the ring at a time.
const PIECE: usize = 256;
/// Pieces in a turn: all that the ring can hold, and nothing endless.
const PIECES: usize = 4;

struct Connection {
    page: &'static XenstorePage,
    port: EvtchnPort,
    requests: Producer,
    responses: Consumer,
    client: Client,
    /// The store was asked to start over and has not done so yet.
    is_restarting: bool,
}

static CONNECTION: Lock<Option<Connection>> = Lock::new(None);
static NOTIFIED: AtomicBool = AtomicBool::new(false);
/// Where the thread waits for notifications.
static WORK: thread::WaitQueue = thread::WaitQueue::new();
/// Where callers wait for answers.
static ANSWERED: thread::WaitQueue = thread::WaitQueue::new();

struct Calls;

static STORE: CallingStore<Calls> = CallingStore(Calls);

/// The store; see the module for what its calls do without one.
#[must_use]
pub fn store() -> &'static dyn Store {
    &STORE
}

/// Whether this domain was given a ring to a store.
#[must_use]
pub fn is_present() -> bool {
    page().is_some()
}

fn page() -> Option<&'static XenstorePage> {
    let boot = boot::info();
    if boot.is_dom0 || boot.store_mfn.get() == 0 {
        return None;
    }
    let pfn = p2m::pfn(boot.store_mfn)?;
    let page = core::ptr::with_exposed_provenance_mut(layout::initial_va(pfn) as usize);
    let page: NonNull<XenstorePage> = NonNull::new(page)?;
    // SAFETY: the builder mapped the store's page in its mapping, where it stays; it consists of
    // atomics, so the other end may write to it at any time.
    Some(unsafe { page.as_ref() })
}

/// Attaches to the ring and starts the thread, once.
fn start() -> Result<(), Errno> {
    if CONNECTION.lock().is_some() {
        return Ok(());
    }
    let page = page().ok_or(Errno::ENODEV)?;
    let port = boot::info().store_evtchn;
    thread::spawn("xenstore", serve).map_err(|_| Errno::ENOMEM)?;
    let mut connection = Connection {
        page,
        port,
        requests: Producer::attach(&page.requests()),
        responses: Consumer::attach(&page.responses()),
        client: Client::new(time::tsc() as u32),
        is_restarting: false,
    };
    connection.drop_what_is_old();
    // Watches that somebody set before us would never end; a store without this command has none.
    let reset = connection.client.ask(wire::XS_RESET_WATCHES, Tx::NONE, alloc::vec![0])?;
    connection.client.abandon(reset);
    *CONNECTION.lock() = Some(connection);
    event::on_event(port, Box::new(notified));
    notified();
    Ok(())
}

fn notified() {
    NOTIFIED.store(true, Ordering::Release);
    WORK.wake_all();
}

/// The thread: moves bytes whenever the store says that there is something to move.
fn serve() {
    loop {
        WORK.wait_until(|| NOTIFIED.swap(false, Ordering::AcqRel));
        let due = with(Connection::pump).unwrap_or_default();
        // Sinks run without the lock: they may wake threads that ask at once.
        for Due { sink, path } in due {
            sink(&path);
        }
        ANSWERED.wake_all();
    }
}

fn with<T>(body: impl FnOnce(&mut Connection) -> T) -> Result<T, Errno> {
    CONNECTION.lock().as_mut().map(body).ok_or(Errno::ENODEV)
}

impl Connection {
    /// Answers to somebody who had the ring before us.
    fn drop_what_is_old(&mut self) {
        let waiting = self.responses.available(&self.page.responses());
        let unread = self.requests.free(&self.page.requests());
        if (waiting, unread) == (Ok(0), Ok(RING_SIZE as u32)) {
            return;
        }
        if self.can_restart() {
            return self.start_over();
        }
        // A whole ring at most; what the store adds meanwhile answers nobody either.
        let _ = self.responses.read(&self.page.responses(), &mut [0; RING_SIZE]);
    }

    fn can_restart(&self) -> bool {
        self.page.server_features().load(Ordering::Acquire) & SERVER_FEATURE_RECONNECTION != 0
    }

    /// Asks the store to forget the ring, if it can; gives up otherwise.
    fn start_over(&mut self) {
        if !self.can_restart() {
            return self.client.break_off();
        }
        self.is_restarting = true;
        self.page.connection().store(RECONNECT, Ordering::Release);
        let _ = event::notify(self.port);
    }

    /// Whether the ring is in use; continues once the store has started over.
    fn is_open(&mut self) -> bool {
        if self.is_restarting && self.page.connection().load(Ordering::Acquire) == CONNECTED {
            self.is_restarting = false;
            self.requests = Producer::attach(&self.page.requests());
            self.responses = Consumer::attach(&self.page.responses());
            self.client.restart();
        }
        !self.is_restarting
    }

    /// Moves what can be moved in both directions; gives the watches to be told.
    fn pump(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        if !self.is_open() {
            return due;
        }
        let moved = self.receive(&mut due).and_then(|_| self.send());
        let error = self.page.error().load(Ordering::Acquire);
        if moved.is_err() || error != ERROR_NONE {
            self.start_over();
        }
        due
    }

    fn receive(&mut self, due: &mut Vec<Due>) -> Result<(), RingCorrupt> {
        let mut received = false;
        let mut bytes = [0; PIECE];
        for _ in 0..PIECES {
            let count = self.responses.read(&self.page.responses(), &mut bytes)?;
            if count == 0 {
                break;
            }
            received = true;
            match self.client.receive(&bytes[..count]) {
                Ok(more) => due.extend(more),
                Err(_) => {
                    self.start_over();
                    break;
                }
            }
        }
        if received {
            // The store may have waited for room, and may have sent more than a turn's worth.
            let _ = event::notify(self.port);
            NOTIFIED.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), RingCorrupt> {
        if !self.is_open() {
            return Ok(());
        }
        let count = self.requests.write(&self.page.requests(), self.client.output())?;
        if count > 0 {
            self.client.sent(count);
            // Without an other end yet, the store will look by itself when it gets the ring.
            let _ = event::notify(self.port);
        }
        Ok(())
    }
}

impl StoreCalls for Calls {
    fn call(&self, kind: u32, tx: Tx, payload: Vec<u8>) -> Result<Vec<u8>, Errno> {
        start()?;
        let ticket = with(|connection| connection.client.ask(kind, tx, payload))??;
        wait_for(ticket)
    }

    fn add_watch(&self, path: &str, sink: WatchSink) -> Result<WatchId, Errno> {
        start()?;
        let (watch, ticket) = with(|connection| connection.client.watch(path, sink))??;
        match wait_for(ticket) {
            Ok(_) => Ok(watch),
            Err(errno) => {
                with(|connection| connection.client.forget_watch(watch))?;
                Err(errno)
            }
        }
    }

    fn remove_watch(&self, watch: WatchId) {
        let ticket = with(|connection| connection.client.unwatch(watch));
        if let Ok(Some(ticket)) = ticket {
            // One that the store does not know any more has ended as well.
            let _ = wait_for(ticket);
        }
    }
}

/// Sends what was asked and waits for the answer.
fn wait_for(ticket: pv_xenbus::client::Ticket) -> Result<Vec<u8>, Errno> {
    let sent = with(Connection::send)?;
    if sent.is_err() {
        // The thread finds the same and starts over.
        notified();
    }
    ANSWERED.wait_until(|| with(|c| c.client.is_answered(ticket)).unwrap_or(true));
    with(|connection| connection.client.take_answer(ticket))?.unwrap_or(Err(Errno::EIO))
}
