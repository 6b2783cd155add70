//! The front half of a disk.
//!
//! A `Blkfront` is a `BlockDevice` for the whole life of the disk, whatever the back half does: while it
//! is away, requests wait, and when it is there again, all that were not answered are asked anew. When
//! the disk is removed they end with an error.
//!
//! `prepare`, `connect`, `disconnect` and `remove` are called by `driver`, which follows the store; `submit`
//! and `kick` by the disk's users; answers come with the event of the ring. No lock is held where callbacks
//! are called or the hypervisor is asked.

mod driver;
mod pool;

pub use driver::{disks, start, wait_for, wait_for_change};

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hypercall_abi::io::block::{BlkifRequest, BlkifResponse};
use hypercall_abi::{DomId, Errno, EvtchnPort, GrantRef};
use pv_ring::SlotRing;
use pvkernel_core::blkfront::{encode, Encoded, Features, Front, FrontError, Operation};
use pvkernel_core::device::block::{
    BlockDevice, BlockDone, BlockInfo, BlockOp, BlockRequest, IoBuffer,
};
use pvkernel_core::platform::{BlockError, OutOfMemory};
use pvkernel_core::sync::Lock;
use zerocopy::IntoBytes;

use crate::blkring::BlkRing;
use crate::grants::GrantedPages;
use crate::thread::WaitQueue;
use crate::{boot, event, println};
use pool::{Pool, Run};

/// Requests in flight: one for each slot of the ring.
const DEPTH: u16 = BlkRing::SLOTS as u16;
/// Pages granted at most: 4 MiB.
const MOST_PAGES: usize = 1024;
/// One page of the domain's in so many is for the transfers of a disk.
const SHARE: usize = 16;

/// Who waits for a request.
struct Owner {
    done: BlockDone,
    buffer: Option<IoBuffer>,
    /// The page its segments are in.
    list: Option<usize>,
}

/// A request that has ended, whose owner does not know yet.
struct Ended {
    verdict: Result<(), BlockError>,
    buffer: Option<IoBuffer>,
    done: BlockDone,
}

/// The ring and its notifications.
struct Link {
    page: GrantedPages,
    port: EvtchnPort,
    is_connected: bool,
}

struct State {
    link: Option<Link>,
    front: Front<Owner>,
    features: Features,
    pool: Option<Arc<Pool>>,
    free_lists: Vec<usize>,
    ended: Vec<Ended>,
    is_removed: bool,
}

/// A disk whose other half is in another domain.
pub struct Blkfront {
    name: String,
    state: Lock<State>,
    changed: WaitQueue,
}

impl Blkfront {
    /// A disk that is not connected yet.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        let state = State {
            link: None,
            front: Front::new(DEPTH),
            features: Features::default(),
            pool: None,
            free_lists: Vec::new(),
            ended: Vec::new(),
            is_removed: false,
        };
        let (name, state) = (String::from(name), Lock::new(state));
        Arc::new(Self { name, state, changed: WaitQueue::new() })
    }

    /// What it is called, as `xvda`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a ring and a port for a back half in `peer`.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`, `ENODEV` when the disk was removed, `EXDEV` when it was connected to another
    /// domain before, which then has the pages.
    pub fn prepare(self: &Arc<Self>, peer: DomId) -> Result<(GrantRef, EvtchnPort), Errno> {
        self.disconnect();
        let page = GrantedPages::new(peer, 1, true)?;
        let gref = *page.refs().first().ok_or(Errno::ENOMEM)?;
        self.grant_pool(peer)?;
        let port = event::alloc_unbound(peer)?;
        let mut state = self.state.lock();
        if state.is_removed {
            drop(state);
            // The port is ours and unbound, so closing cannot fail.
            let _ = event::unbind(port);
            return Err(Errno::ENODEV);
        }
        state.front.restart(&BlkRing::new(page.memory()));
        state.link = Some(Link { page, port, is_connected: false });
        drop(state);
        event::on_event(port, alloc::boxed::Box::new(answers_of(self)));
        Ok((gref, port))
    }

    fn grant_pool(&self, peer: DomId) -> Result<(), Errno> {
        let had = self.state.lock().pool.as_ref().map(|pool| pool.peer());
        match had {
            Some(before) if before == peer => return Ok(()),
            Some(_) => return Err(Errno::EXDEV),
            None => {}
        }
        let pool = Pool::new(peer, (boot::info().nr_pages / SHARE).min(MOST_PAGES))?;
        let mut state = self.state.lock();
        state.free_lists = (0..pool.lists()).rev().collect();
        state.pool = Some(pool);
        Ok(())
    }

    /// The back half is there: everything that waits is asked.
    pub fn connect(&self, mut features: Features) {
        let mut state = self.state.lock();
        let most = state.pool.as_ref().map_or(0, |pool| pool.pages() / 2);
        features.indirect = features.indirect.min(most as u32);
        state.features = features;
        let Some(link) = state.link.as_mut() else { return };
        link.is_connected = true;
        for number in state.front.unsent() {
            state.send(number);
        }
        drop(state);
        self.kick();
        self.changed.wake_all();
    }

    /// The back half is gone; requests wait until it is back.
    pub fn disconnect(&self) {
        let link = self.state.lock().link.take();
        if let Some(Link { page, port, .. }) = link {
            // Closing a port of ours cannot fail. The page may stay the other half's for a while.
            let _ = event::unbind(port);
            drop(page);
        }
    }

    /// The disk is gone: requests end with an error, now and from now on.
    pub fn remove(&self) {
        self.disconnect();
        let mut state = self.state.lock();
        state.is_removed = true;
        for (owner, _) in state.front.give_up_all() {
            state.end(owner, Err(BlockError::Device));
        }
        // The pages are the users' of buffers until the last of them is dropped.
        let pool = state.pool.take();
        drop(state);
        drop(pool);
        self.tell();
        self.changed.wake_all();
    }

    /// Whether requests reach the back half.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.lock().link.as_ref().is_some_and(|link| link.is_connected)
    }

    /// Whether the disk is gone for good.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.state.lock().is_removed
    }

    /// Waits until the disk is connected or removed; returns whether it is connected.
    pub fn wait_connected(&self, deadline_ns: u64) -> bool {
        let decided = || self.is_connected() || self.is_removed();
        self.changed.wait_deadline(deadline_ns, decided) && self.is_connected()
    }

    /// Takes answers out of the ring and tells whom they concern.
    fn take_answers(&self) {
        let mut state = self.state.lock();
        let broken = state.take_answers().err();
        drop(state);
        if let Some(broken) = broken {
            println!("{}: the back half is broken: {broken}; the disk is given up", self.name);
            self.remove();
        }
        self.tell();
    }

    /// Tells the owners of what has ended. They may ask again at once.
    fn tell(&self) {
        let mut ended = core::mem::take(&mut self.state.lock().ended);
        for Ended { verdict, buffer, done } in ended.drain(..) {
            done(verdict, buffer);
        }
        // The list serves again, so that nothing is allocated for each answer.
        let mut state = self.state.lock();
        if state.ended.is_empty() {
            state.ended = ended;
        }
    }
}

/// The handler of a ring's event; the disk may be gone when it runs.
fn answers_of(disk: &Arc<Blkfront>) -> impl FnMut() + Send + 'static {
    let disk: Weak<Blkfront> = Arc::downgrade(disk);
    move || {
        if let Some(disk) = disk.upgrade() {
            disk.take_answers();
        }
    }
}

impl State {
    fn info(&self) -> BlockInfo {
        self.features.block_info(u32::from(DEPTH))
    }

    /// Puts an accepted request into the ring, if there is one.
    fn send(&mut self, number: u16) {
        let (Some(link), Some(pool)) = (&self.link, &self.pool) else { return };
        if !link.is_connected {
            return;
        }
        let ring = *link.page.memory();
        let Some(operation) = self.front.operation(number) else { return };
        let list = self.front.owner(number).and_then(|owner| owner.list);
        let list_ref = list.and_then(|list| pool.list_ref(list));
        match encode(number.into(), &operation, &self.features, pool.refs(), list_ref) {
            Some(Encoded::Slot(slot)) => self.front.send(&BlkRing::new(&ring), number, &slot),
            Some(Encoded::WithSegments(slot, segments)) => {
                pool.write_list(list.unwrap_or(0), segments.as_bytes());
                self.front.send(&BlkRing::new(&ring), number, &slot);
            }
            // The back half that is there now can do less than the one before.
            None => {
                if let Some((owner, _)) = self.front.give_up(number) {
                    self.end(owner, Err(BlockError::Device));
                }
            }
        }
    }

    fn end(&mut self, owner: Owner, verdict: Result<(), BlockError>) {
        let Owner { done, buffer, list } = owner;
        self.free_lists.extend(list);
        self.ended.push(Ended { verdict, buffer, done });
    }

    fn take_answers(&mut self) -> Result<(), FrontError> {
        let Some(link) = &self.link else { return Ok(()) };
        let memory = *link.page.memory();
        let ring = BlkRing::new(&memory);
        loop {
            self.take_waiting(&ring)?;
            if !self.front.arm(&ring)? {
                return Ok(());
            }
        }
    }

    fn take_waiting<R>(&mut self, ring: &R) -> Result<(), FrontError>
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        while let Some((owner, _, is_success)) = self.front.answer(ring)? {
            self.end(owner, if is_success { Ok(()) } else { Err(BlockError::Device) });
        }
        Ok(())
    }

    /// What a request is for this disk; an error ends it.
    fn operation(&self, request: &mut BlockRequest) -> Result<Operation, BlockError> {
        if self.is_removed {
            return Err(BlockError::Device);
        }
        self.info().check(request)?;
        let BlockRequest { op, sector, sectors, .. } = *request;
        let page = match (op, request.buffer.as_mut(), &self.pool) {
            (BlockOp::Flush | BlockOp::Discard, ..) => Some(0),
            (_, Some(buffer), Some(pool)) => {
                buffer.as_any().downcast_ref::<Run>().and_then(|run| run.page_in(pool))
            }
            _ => None,
        };
        Ok(Operation { op, sector, sectors, page: page.ok_or(BlockError::Device)? })
    }

    /// Whether the request would change nothing on this disk.
    fn is_nothing(&self, operation: &Operation) -> bool {
        match operation.op {
            BlockOp::Flush => !self.info().can_flush,
            _ => operation.sectors == 0,
        }
    }
}

impl BlockDevice for Blkfront {
    fn info(&self) -> BlockInfo {
        self.state.lock().info()
    }

    fn buffer(&self, bytes: usize) -> Result<IoBuffer, OutOfMemory> {
        let pool = self.state.lock().pool.clone();
        pool.ok_or(OutOfMemory)?.take(bytes)
    }

    fn submit(&self, mut request: BlockRequest) -> Result<(), BlockRequest> {
        let mut state = self.state.lock();
        let operation = match state.operation(&mut request) {
            Ok(operation) if state.is_nothing(&operation) => Err(Ok(())),
            other => other.map_err(Err),
        };
        let BlockRequest { op, sector, sectors, buffer, done } = request;
        let operation = match operation {
            Ok(operation) => operation,
            Err(verdict) => {
                state.ended.push(Ended { verdict, buffer, done });
                return Ok(());
            }
        };
        if state.front.is_full() || (operation.is_indirect() && state.free_lists.is_empty()) {
            return Err(BlockRequest { op, sector, sectors, buffer, done });
        }
        let list = if operation.is_indirect() { state.free_lists.pop() } else { None };
        match state.front.accept(operation, Owner { done, buffer, list }) {
            Ok(number) => state.send(number),
            Err(owner) => state.end(owner, Err(BlockError::Device)),
        }
        Ok(())
    }

    fn kick(&self) {
        let mut state = self.state.lock();
        let state_ref = &mut *state;
        let port = state_ref.link.as_ref().filter(|link| link.is_connected).and_then(|link| {
            let is_due = state_ref.front.publish(&BlkRing::new(link.page.memory()));
            is_due.then_some(link.port)
        });
        let has_ended = !state.ended.is_empty();
        drop(state);
        if let Some(port) = port {
            // A back half that closed its end is on its way to be noticed through the store.
            let _ = event::notify(port);
        }
        if has_ended {
            self.tell();
        }
    }
}
