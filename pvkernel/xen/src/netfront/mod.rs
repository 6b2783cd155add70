//! The front half of a network card.
//!
//! A `Netfront` is a `NetDevice` for the whole life of the card, whatever the back half does: while it is
//! away the link is down, nothing is sent and nothing is received. Frames are written into pages that
//! are granted for good, and read where the back half copied them to, after their grants have ended.
//!
//! `prepare`, `connect`, `disconnect` and `remove` are called by the driver in `driver`, which follows
//! the store; everything else by the card's user. No lock is held where callbacks are called or the
//! hypervisor is asked. Nothing is allocated for a frame.

mod driver;
mod link;
mod pages;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hypercall_abi::{DomId, Errno, EvtchnPort, GrantRef};
use pvkernel_core::device::net::{FrameMeta, Mac, NetDevice, NetInfo, ETHERNET_HEAD};
use pvkernel_core::netfront::{Received, MAX_SEND_PAGES};
use pvkernel_core::sync::Lock;

use crate::iopages::{frame_bytes, frame_bytes_mut};
use crate::thread::WaitQueue;
use crate::{boot, event, println};
use link::{pages_of, Broken, Link};

pub use driver::{cards, start, wait_card};

/// Pages for sending and for receiving: not more than the slots of a ring, one less to receive so that
/// a full ring and an empty one differ for any back half.
const MOST_PAGES: usize = 255;
/// What one large frame with extra information needs, twice.
const LEAST_PAGES: usize = 36;
/// One page of the domain's in so many is for frames in one direction.
const SHARE: usize = 32;
/// The longest frame.
const MAX_FRAME: usize = 65_535;
const MAX_MTU: usize = MAX_FRAME - ETHERNET_HEAD;

type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    link: Option<Link>,
    is_connected: bool,
    is_removed: bool,
    /// Counts links, so that a frame that was begun on one is not finished on another.
    generation: u64,
    /// Closures that have a frame's memory right now.
    users: usize,
    /// One of them reads.
    is_reading: bool,
    /// Links that were let go while somebody had their memory.
    parked: Vec<Link>,
    /// For frames that are not one piece; made when first needed.
    bounce: Vec<u8>,
}

/// A network card whose other half is in another domain.
pub struct Netfront {
    index: u32,
    mac: Mac,
    mtu: usize,
    state: Lock<State>,
    wake: Lock<Option<Wake>>,
    changed: WaitQueue,
}

impl Netfront {
    /// A card that is not connected yet.
    #[must_use]
    pub fn new(index: u32, mac: Mac, mtu: usize) -> Arc<Self> {
        Arc::new(Self {
            index,
            mac,
            mtu: mtu.min(MAX_MTU),
            state: Lock::new(State::default()),
            wake: Lock::new(None),
            changed: WaitQueue::new(),
        })
    }

    /// Its number among the cards of this domain.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Makes rings and a port for a back half in `peer`; returns the grants of the rings for sending and
    /// receiving, and the port.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`; `ENODEV` when the card was removed.
    fn prepare(self: &Arc<Self>, peer: DomId) -> Result<(GrantRef, GrantRef, EvtchnPort), Errno> {
        self.disconnect();
        let share = (boot::info().nr_pages / SHARE).clamp(LEAST_PAGES, MOST_PAGES);
        let link = Link::new(peer, share, share)?;
        let refs = link.ring_refs();
        let port = link.port();
        let mut state = self.state.lock();
        if state.is_removed {
            drop(state);
            link.close();
            return Err(Errno::ENODEV);
        }
        state.generation += 1;
        state.link = Some(link);
        drop(state);
        event::on_event(port, Box::new(news_of(self)));
        let (tx, rx) = refs.ok_or(Errno::EINVAL)?;
        Ok((tx, rx, port))
    }

    /// The back half is there.
    fn connect(&self) {
        let mut state = self.state.lock();
        state.is_connected = state.link.is_some();
        drop(state);
        self.changed.wake_all();
        self.flush();
        self.wake();
    }

    /// The back half is gone. What was sent and not answered is lost, as on a wire.
    fn disconnect(&self) {
        let mut state = self.state.lock();
        let was_connected = core::mem::take(&mut state.is_connected);
        let link = state.link.take();
        let is_used = state.users > 0;
        drop(state);
        if let Some(link) = link {
            link.close();
            if is_used {
                self.state.lock().parked.push(link);
            }
        }
        if was_connected {
            self.wake();
        }
    }

    /// The card is gone for good.
    fn remove(&self) {
        self.disconnect();
        self.state.lock().is_removed = true;
        self.changed.wake_all();
    }

    /// Whether frames reach the back half.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.lock().is_connected
    }

    /// Waits until the card is connected or removed; returns whether it is connected.
    pub fn wait_connected(&self, deadline_ns: u64) -> bool {
        let decided = || {
            let state = self.state.lock();
            state.is_connected || state.is_removed
        };
        self.changed.wait_deadline(deadline_ns, decided) && self.is_connected()
    }

    fn wake(&self) {
        let wake = self.wake.lock().clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Runs `body` on the link of a connected card. A back half that turns out to be broken is not
    /// listened to any more, until it or the tools start over.
    fn with_link<T>(&self, body: impl FnOnce(&mut Link) -> Result<T, Broken>) -> Option<T> {
        let mut state = self.state.lock();
        let state_ref = &mut *state;
        let link = state_ref.link.as_mut().filter(|_| state_ref.is_connected)?;
        match body(link) {
            Ok(value) => Some(value),
            Err(broken) => {
                state.is_connected = false;
                drop(state);
                println!("network card {}: {broken}; the card is given up", self.index);
                self.wake();
                None
            }
        }
    }

    /// Notes that a closure has let go of a frame's memory, and frees links that waited for that.
    fn let_go(&self) {
        let mut state = self.state.lock();
        state.users -= 1;
        let parked = match state.users {
            0 => core::mem::take(&mut state.parked),
            _ => Vec::new(),
        };
        drop(state);
        drop(parked);
    }

    /// Takes the next frame and marks its memory as used.
    fn begin_receive(&self) -> Option<(Received, u64)> {
        if self.state.lock().is_reading {
            return None;
        }
        let frame = self.with_link(Link::receive)??;
        let mut state = self.state.lock();
        state.users += 1;
        state.is_reading = true;
        Some((frame, state.generation))
    }

    fn finish_receive(&self, frame: &Received, generation: u64) {
        let mut state = self.state.lock();
        state.is_reading = false;
        if state.generation == generation {
            if let Some(link) = state.link.as_mut() {
                link.finish_receive(frame);
            }
        }
        drop(state);
        self.let_go();
    }

    /// Lends the bytes of a frame that `begin_receive` took.
    fn lend(&self, frame: &Received, generation: u64, consume: &mut dyn FnMut(&[u8], FrameMeta)) {
        let state = self.state.lock();
        let is_same = state.generation == generation;
        let Some(link) = state.link.as_ref().filter(|_| is_same) else { return };
        if let Some((pfn, range)) = link.one_piece(frame) {
            drop(state);
            // SAFETY: (1) the pages' grants have ended, so they are this domain's alone; (2) they are
            // not posted or freed before `finish_receive`: the link is parked while there are users, and
            // `is_reading` keeps others from these pages.
            let bytes = unsafe { frame_bytes(pfn, pages_of(range.end)) };
            return consume(bytes.get(range).unwrap_or(&[]), frame.meta());
        }
        drop(state);
        let bounce = self.gather(frame);
        consume(&bounce, frame.meta());
        self.state.lock().bounce = bounce;
    }

    /// Copies a frame that is not one piece to the buffer for such.
    fn gather(&self, frame: &Received) -> Vec<u8> {
        let mut state = self.state.lock();
        let mut bounce = core::mem::take(&mut state.bounce);
        bounce.clear();
        if bounce.capacity() < MAX_FRAME + 1 && bounce.try_reserve_exact(MAX_FRAME + 1).is_err() {
            return bounce;
        }
        let Some(link) = state.link.as_ref() else { return bounce };
        for (pfn, range) in link.pieces(frame) {
            // SAFETY: as in `lend`; the lock is held meanwhile.
            let bytes = unsafe { frame_bytes(pfn, pages_of(range.end)) };
            bounce.extend_from_slice(bytes.get(range).unwrap_or(&[]));
        }
        bounce
    }
}

/// The handler of the card's event; the card may be gone when it runs.
fn news_of(card: &Arc<Netfront>) -> impl FnMut() + Send + 'static {
    let card: Weak<Netfront> = Arc::downgrade(card);
    move || {
        if let Some(card) = card.upgrade() {
            card.wake();
        }
    }
}

impl NetDevice for Netfront {
    fn info(&self) -> NetInfo {
        NetInfo { mac: self.mac, mtu: self.mtu, sends_blank: true, is_up: self.is_connected() }
    }

    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool {
        let Some((frame, generation)) = self.begin_receive() else { return false };
        self.lend(&frame, generation, consume);
        self.finish_receive(&frame, generation);
        true
    }

    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let pages = pages_of(len);
        if !(ETHERNET_HEAD..=self.mtu + ETHERNET_HEAD).contains(&len) || pages > MAX_SEND_PAGES {
            return false;
        }
        let begun = self.with_link(|link| match link.has_room(pages)? {
            true => Ok(link.begin_send(pages)),
            false => Ok(None),
        });
        let Some((first, pfn)) = begun.flatten() else { return false };
        let mut state = self.state.lock();
        state.users += 1;
        let generation = state.generation;
        drop(state);
        // SAFETY: (1) the pages were taken for this frame alone and are not in the ring before
        // `finish_send`, nor freed: the link is parked while there are users; (2) their grants are for
        // reading only, so nobody else writes them.
        let bytes = unsafe { frame_bytes_mut(pfn, pages) };
        fill(bytes.get_mut(..len).unwrap_or(&mut []));
        let mut state = self.state.lock();
        let is_same = state.generation == generation;
        if let Some(link) = state.link.as_mut().filter(|_| is_same) {
            link.finish_send(first, len, meta);
        }
        drop(state);
        self.let_go();
        true
    }

    fn can_transmit(&self) -> bool {
        let pages = pages_of(self.mtu + ETHERNET_HEAD);
        self.with_link(|link| link.has_room(pages)).unwrap_or(false)
    }

    fn has_received(&self) -> bool {
        let state = self.state.lock();
        state.is_connected && state.link.as_ref().is_some_and(Link::has_received)
    }

    fn flush(&self) {
        let published = self.with_link(|link| {
            let is_due = link.post().map_err(Broken::Memory)?;
            Ok((is_due.then_some(link.port()), link.arm()?))
        });
        let Some((port, has_more)) = published else { return };
        if let Some(port) = port {
            // A back half that closed its end is on its way to be noticed through the store.
            let _ = event::notify(port);
        }
        if has_more {
            self.wake();
        }
    }

    fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.wake.lock() = Some(Arc::from(wake));
    }
}
