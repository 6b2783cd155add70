//! Front halves of a guest's devices.
//!
//! One thread, `xenbus`, serves every kind that a driver was registered for: it finds the devices below
//! `device/KIND`, notices those that come and go, and leads each through its connections. It starts with
//! the first driver.

mod slot;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::Errno;
use pv_xenbus::{State, Store, Tx, WatchId};
use pvkernel_core::sync::Lock;

use self::slot::Slot;
use super::nodes::Device;
use crate::{thread, xenstore};

/// What a front half publishes: names below its directory and their values.
pub type Publication = Vec<(String, String)>;

/// A driver for one device. Its calls come from one thread, one at a time; they may wait.
pub trait FrontDriver: Send {
    /// Makes rings, grants and a port, and says what the other half has to know of them
    /// (`ring-ref`, `event-channel`, ...). What the back half can do stands in its nodes by now.
    ///
    /// # Errors
    /// One line of what is missing; `disconnect` follows, and the device stays closed until the back
    /// half starts over.
    fn publish(&mut self, device: &Device) -> Result<Publication, String>;

    /// The back half is connected: the device can be used from here on.
    ///
    /// # Errors
    /// As for `publish`.
    fn connect(&mut self, device: &Device) -> Result<(), String>;

    /// The rings are of no use any more: stops using them, and ends their grants. It may be called although
    /// `publish` failed. Another `publish` may follow; requests in flight wait for it.
    fn disconnect(&mut self, device: &Device);

    /// The device is gone for good, after `disconnect` if there was anything to let go of: what still
    /// waits ends with an error.
    fn remove(&mut self, device: &Device);
}

/// Makes a driver for a device.
type Make = dyn Fn(&Device) -> Box<dyn FrontDriver> + Send + Sync;

pub(super) struct Kind {
    name: &'static str,
    published: State,
    make: Box<Make>,
    /// Devices came or went.
    changed: Arc<AtomicBool>,
}

static NEW_KINDS: Lock<Vec<Kind>> = Lock::new(Vec::new());
static STARTED: AtomicBool = AtomicBool::new(false);
static NEWS: AtomicBool = AtomicBool::new(false);
static WORK: thread::WaitQueue = thread::WaitQueue::new();

/// Serves the devices of a kind (`vbd`, `vif`) with drivers that `make` makes, now and whenever one is
/// added. With its rings a front half says `published`: `Initialised` for disks, `Connected` for networks.
///
/// # Errors
/// `ENODEV` without a store, `ENOMEM` without memory for the thread.
pub fn serve_fronts(
    kind: &'static str,
    published: State,
    make: impl Fn(&Device) -> Box<dyn FrontDriver> + Send + Sync + 'static,
) -> Result<(), Errno> {
    if !xenstore::is_present() {
        return Err(Errno::ENODEV);
    }
    NEW_KINDS.lock().push(Kind::new(kind, published, make));
    if !STARTED.swap(true, Ordering::Relaxed) && thread::spawn("xenbus", serve).is_err() {
        STARTED.store(false, Ordering::Relaxed);
        return Err(Errno::ENOMEM);
    }
    news();
    Ok(())
}

impl Kind {
    pub(super) fn new(
        name: &'static str,
        published: State,
        make: impl Fn(&Device) -> Box<dyn FrontDriver> + Send + Sync + 'static,
    ) -> Self {
        let changed = Arc::new(AtomicBool::new(true));
        Self { name, published, make: Box::new(make), changed }
    }
}

fn news() {
    NEWS.store(true, Ordering::Release);
    WORK.wake_all();
}

/// Watches a path for changes that `changed` then shows.
fn watch(store: &'static dyn Store, at: &str, changed: &Arc<AtomicBool>) -> Result<WatchId, Errno> {
    let changed = Arc::clone(changed);
    store.watch(at, Arc::new(move |_: &str| notice(&changed)))
}

fn notice(changed: &AtomicBool) {
    changed.store(true, Ordering::Release);
    news();
}

fn serve() {
    let mut fronts = Fronts::new(xenstore::store());
    loop {
        WORK.wait_until(|| NEWS.swap(false, Ordering::AcqRel));
        let new = core::mem::take(&mut *NEW_KINDS.lock());
        new.into_iter().for_each(|kind| fronts.add(kind));
        fronts.turn();
    }
}

fn directory_of(kind: &str) -> String {
    format!("device/{kind}")
}

/// The devices of this domain.
pub(super) struct Fronts {
    store: &'static dyn Store,
    kinds: Vec<Kind>,
    slots: Vec<Slot>,
}

impl Fronts {
    pub(super) const fn new(store: &'static dyn Store) -> Self {
        Self { store, kinds: Vec::new(), slots: Vec::new() }
    }

    pub(super) fn add(&mut self, kind: Kind) {
        // Without this watch only the devices of now are found.
        let _ = watch(self.store, &directory_of(kind.name), &kind.changed);
        self.kinds.push(kind);
    }

    /// Looks at everything that changed.
    pub(super) fn turn(&mut self) {
        for kind in &self.kinds {
            if kind.changed.swap(false, Ordering::AcqRel) {
                find_devices(self.store, kind, &mut self.slots);
            }
        }
        for slot in &mut self.slots {
            if slot.changed.swap(false, Ordering::AcqRel) && slot.run() {
                notice(&slot.changed);
            }
        }
        let (store, kinds) = (self.store, &self.kinds);
        self.slots.retain(|slot| {
            if slot.is_gone {
                store.unwatch(slot.watch);
                // Perhaps another one has taken its place already.
                let its_kind = kinds.iter().filter(|kind| kind.name == slot.kind);
                its_kind.for_each(|kind| notice(&kind.changed));
            }
            !slot.is_gone
        });
    }
}

fn find_devices(store: &'static dyn Store, kind: &Kind, slots: &mut Vec<Slot>) {
    let of_kind = |slot: &&mut Slot| slot.kind == kind.name;
    // Any of them may have gone.
    slots.iter_mut().filter(of_kind).for_each(|slot| slot.changed.store(true, Ordering::Release));
    for name in store.list(Tx::NONE, &directory_of(kind.name)).unwrap_or_default() {
        let Ok(id) = name.parse() else { continue };
        let known = slots.iter().any(|slot| slot.kind == kind.name && slot.device.id() == id);
        if !known {
            // One that cannot be used yet is looked at again when its nodes change.
            slots.extend(Slot::new(store, kind, &name, id));
        }
    }
}
