//! Back halves of the devices that the control domain serves.
//!
//! A [`BackBus`] serves all devices of a kind, on the thread that calls [`BackBus::run`]. It finds them
//! below `/local/domain/0/backend/KIND/DOMAIN/DEVICE`, where the tools make them, and follows the front
//! halves' states. The tools' wishes are nodes, too: `online` 0 asks for an orderly end, and a directory
//! that is gone ends the device at once.
//!
//! What a front half can cause is bounded: a change of its state costs one look at one device, and a look
//! is a few steps at most before the other devices have their turn.

mod slot;

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::{DomId, Errno};
use pv_xenbus::{path, State, Store, Tx};
use pvkernel_core::sync::Lock;

use self::slot::Slot;
use super::nodes::{directory, Device};
use crate::thread;

/// A driver for one device. Its calls come from the thread of the bus, one at a time; they may wait, and
/// all other devices of the kind wait meanwhile.
pub trait BackDriver: Send {
    /// Opens what the nodes name and publishes what the device can (`feature-...`).
    ///
    /// # Errors
    /// One line of what is wrong, for the `error` node. `close` is not called.
    fn open(&mut self, device: &Device) -> Result<(), String>;

    /// The front half has published: maps its rings, publishes what it has to know (`sectors`, ...) and
    /// serves it from here on. Everything that is read there can be anything.
    ///
    /// # Errors
    /// One line of what is wrong; `disconnect` and `close` follow.
    fn connect(&mut self, device: &Device) -> Result<(), String>;

    /// Stops serving the front half and unmaps all of its memory. It may be called although `connect`
    /// failed, half-way or at once.
    fn disconnect(&mut self, device: &Device);

    /// Closes what `open` opened.
    fn close(&mut self, device: &Device);
}

/// A device: domain and number.
type Id = (u16, u32);
/// Those that are served.
pub(super) type Slots = BTreeMap<Id, Slot>;
type Make = dyn Fn(&Device) -> Box<dyn BackDriver> + Send + Sync;

/// What watches say.
#[derive(Default)]
struct News {
    /// Devices to look at.
    devices: BTreeSet<Id>,
    /// Domains all of whose devices are to be looked at.
    domains: BTreeSet<u16>,
    /// All of them.
    all: bool,
}

impl News {
    fn add(&mut self, id: Id) {
        self.devices.insert(id);
    }
}

struct Shared {
    root: String,
    news: Lock<News>,
    work: thread::WaitQueue,
    restart: AtomicBool,
}

/// All devices of a kind.
pub struct BackBus {
    store: &'static dyn Store,
    make: Box<Make>,
    shared: Arc<Shared>,
}

impl BackBus {
    /// A bus for the devices of a kind (`vbd`, `vif`); `make` makes their drivers.
    #[must_use]
    pub fn new(
        store: &'static dyn Store,
        kind: &str,
        make: impl Fn(&Device) -> Box<dyn BackDriver> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            root: format!("{}/backend/{kind}", path::home(DomId::DOM0)),
            news: Lock::new(News::default()),
            work: thread::WaitQueue::new(),
            restart: AtomicBool::new(false),
        };
        Self { store, make: Box::new(make), shared: Arc::new(shared) }
    }

    /// Gives what makes the bus drop everything it has, without a word to the front halves, and begin
    /// anew: as if it had been killed and started again.
    pub fn restarter(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            shared.restart.store(true, Ordering::Release);
            shared.work.wake_all();
        }
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// When the directory of the kind cannot be watched.
    pub fn run(&self) -> Result<core::convert::Infallible, Errno> {
        self.watch_root()?;
        let mut slots = Slots::new();
        loop {
            self.shared.work.wait_until(|| self.shared.has_news());
            if self.turn(&mut slots) {
                // A front half keeps us busy: everybody else first.
                thread::yield_now();
            }
        }
    }

    pub(super) fn watch_root(&self) -> Result<(), Errno> {
        let shared = Arc::clone(&self.shared);
        let sink = move |at: &str| shared.noticed(at);
        self.store.watch(&self.shared.root, Arc::new(sink)).map(drop)
    }

    /// Looks at every device there is news of; whether one of them has more to do.
    pub(super) fn turn(&self, slots: &mut Slots) -> bool {
        if self.shared.restart.swap(false, Ordering::AcqRel) {
            core::mem::take(slots).into_values().for_each(|slot| slot.drop_everything(self.store));
            self.shared.news.lock().all = true;
        }
        let news = core::mem::take(&mut *self.shared.news.lock());
        let mut is_busy = false;
        for id in self.wanted(news, slots) {
            is_busy |= self.serve(id, slots);
        }
        is_busy
    }

    /// The devices to look at.
    fn wanted(&self, news: News, slots: &Slots) -> BTreeSet<Id> {
        let mut wanted = news.devices;
        let mut domains = news.domains;
        if news.all {
            domains.extend(numbers::<u16>(self.store, &self.shared.root));
            domains.extend(slots.keys().map(|(domain, _)| *domain));
        }
        for domain in domains {
            let devices = numbers(self.store, &format!("{}/{domain}", self.shared.root));
            wanted.extend(devices.into_iter().map(|device| (domain, device)));
            wanted.extend(slots.range((domain, 0)..=(domain, u32::MAX)).map(|(id, _)| *id));
        }
        wanted
    }

    fn serve(&self, id: Id, slots: &mut Slots) -> bool {
        if let Entry::Vacant(entry) = slots.entry(id) {
            // One whose nodes are not complete is looked at again when they change.
            let Ok(slot) = self.find(id) else { return false };
            entry.insert(slot);
        }
        let Some(slot) = slots.get_mut(&id) else { return false };
        let is_busy = slot.run();
        let is_gone = slot.is_gone();
        if is_gone {
            self.store.unwatch(slot.watch());
            slots.remove(&id);
        }
        if is_busy || is_gone {
            // In place of one that is gone there may be another.
            self.shared.tell(|news| news.add(id));
        }
        is_busy
    }

    fn find(&self, id: Id) -> Result<Slot, Errno> {
        let own = format!("{}/{}/{}", self.shared.root, id.0, id.1);
        let text = |key| self.store.text(Tx::NONE, &path::child(&own, key));
        let other = directory(&text("frontend")?)?;
        let state = State::of_value(text("state")?.as_bytes());
        let shared = Arc::clone(&self.shared);
        let sink = move |_: &str| shared.tell(|news| news.add(id));
        let watch = self.store.watch(&path::child(&other, "state"), Arc::new(sink))?;
        let device = Device::new(self.store, own, other, DomId::new(id.0), id.1);
        let driver = (self.make)(&device);
        Ok(Slot::new(device, state, driver, watch))
    }
}

/// Names below a directory that are numbers.
fn numbers<T: core::str::FromStr>(store: &dyn Store, at: &str) -> Vec<T> {
    let names = store.list(Tx::NONE, at).unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

impl Shared {
    fn has_news(&self) -> bool {
        let news = self.news.lock();
        let some = news.all || !news.devices.is_empty() || !news.domains.is_empty();
        some || self.restart.load(Ordering::Acquire)
    }

    fn tell(&self, what: impl FnOnce(&mut News)) {
        what(&mut self.news.lock());
        self.work.wake_all();
    }

    /// Something at or below the root changed: the path says which device it belongs to.
    fn noticed(&self, at: &str) {
        let below = at.strip_prefix(self.root.as_str()).unwrap_or("");
        let mut names = below.split('/').skip(1);
        let domain = names.next().and_then(|name| name.parse().ok());
        let device = names.next().and_then(|name| name.parse().ok());
        self.tell(|news| match (domain, device) {
            (Some(domain), Some(device)) => news.add((domain, device)),
            (Some(domain), None) => {
                news.domains.insert(domain);
            }
            _ => news.all = true,
        });
    }
}
