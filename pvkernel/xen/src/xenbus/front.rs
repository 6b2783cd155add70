//! Front halves of a guest's devices.
//!
//! One thread, `xenbus`, serves every kind that a driver was registered for: it finds the devices below
//! `device/KIND`, notices those that come and go, and leads each through its connections. It starts with
//! the first driver.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::{DomId, Errno};
use pv_xenbus::device::{FrontHalf, FrontStep};
use pv_xenbus::{path, State, Tx, WatchId};
use pvkernel_core::sync::Lock;

use super::nodes::{describe, directory, Device};
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

struct Kind {
    name: &'static str,
    published: State,
    make: Arc<Make>,
    /// Devices came or went.
    changed: Arc<AtomicBool>,
}

struct Slot {
    kind: &'static str,
    device: Device,
    half: FrontHalf,
    driver: Box<dyn FrontDriver>,
    /// Something below one of the two directories changed.
    changed: Arc<AtomicBool>,
    watch: Option<WatchId>,
    is_gone: bool,
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
    let changed = Arc::new(AtomicBool::new(true));
    NEW_KINDS.lock().push(Kind { name: kind, published, make: Arc::new(make), changed });
    if !STARTED.swap(true, Ordering::Relaxed) && thread::spawn("xenbus", serve).is_err() {
        STARTED.store(false, Ordering::Relaxed);
        return Err(Errno::ENOMEM);
    }
    news();
    Ok(())
}

fn news() {
    NEWS.store(true, Ordering::Release);
    WORK.wake_all();
}

/// Watches a path for changes that `changed` then shows.
fn watch(at: &str, changed: &Arc<AtomicBool>) -> Result<WatchId, Errno> {
    let changed = Arc::clone(changed);
    let sink = move |_: &str| {
        changed.store(true, Ordering::Release);
        news();
    };
    xenstore::store().watch(at, Arc::new(sink))
}

fn serve() {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut slots: Vec<Slot> = Vec::new();
    loop {
        WORK.wait_until(|| NEWS.swap(false, Ordering::AcqRel));
        let new = core::mem::take(&mut *NEW_KINDS.lock());
        for kind in new {
            // Without this watch only the devices of now are found.
            let _ = watch(&directory_of(kind.name), &kind.changed);
            kinds.push(kind);
        }
        for kind in &kinds {
            if kind.changed.swap(false, Ordering::AcqRel) {
                find_devices(kind, &mut slots);
            }
        }
        for slot in &mut slots {
            if slot.changed.swap(false, Ordering::AcqRel) {
                slot.run();
            }
        }
        slots.retain_mut(|slot| {
            if slot.is_gone {
                slot.watch.into_iter().for_each(|watch| xenstore::store().unwatch(watch));
                // Perhaps another one has taken its place already.
                kinds.iter().filter(|kind| kind.name == slot.kind).for_each(|kind| {
                    kind.changed.store(true, Ordering::Release);
                    news();
                });
            }
            !slot.is_gone
        });
    }
}

fn directory_of(kind: &str) -> String {
    format!("device/{kind}")
}

fn find_devices(kind: &Kind, slots: &mut Vec<Slot>) {
    let of_kind = |slot: &&mut Slot| slot.kind == kind.name;
    // Any of them may have gone.
    slots.iter_mut().filter(of_kind).for_each(|slot| slot.changed.store(true, Ordering::Release));
    let names = xenstore::store().list(Tx::NONE, &directory_of(kind.name)).unwrap_or_default();
    for name in names {
        let Ok(id) = name.parse() else { continue };
        let known = slots.iter().any(|slot| slot.kind == kind.name && slot.device.id() == id);
        if !known {
            // One that cannot be used yet is looked at again when its nodes change.
            slots.extend(Slot::new(kind, &name, id));
        }
    }
}

impl Slot {
    fn new(kind: &Kind, name: &str, id: u32) -> Result<Self, Errno> {
        let store = xenstore::store();
        let own = path::child(&directory_of(kind.name), name);
        let text = |key| store.text(Tx::NONE, &path::child(&own, key));
        let other = directory(&text("backend")?)?;
        let peer = text("backend-id")?.trim().parse().map_err(|_| Errno::EINVAL)?;
        let state = State::of_value(text("state")?.as_bytes());
        let changed = Arc::new(AtomicBool::new(true));
        let watch = watch(&path::child(&other, "state"), &changed)?;
        let device = Device::new(store, own, other, DomId::new(peer), id);
        Ok(Self {
            kind: kind.name,
            driver: (kind.make)(&device),
            device,
            half: FrontHalf::new(state, kind.published),
            changed,
            watch: Some(watch),
            is_gone: false,
        })
    }

    /// Does what there is to do.
    fn run(&mut self) {
        while !self.is_gone {
            // A store that does not answer tells when it does again.
            let Ok((exists, back)) = self.look() else { return };
            self.half.look(back);
            let Some(step) = self.half.next(exists, back) else { return };
            self.take(step, back);
        }
    }

    /// Whether our nodes exist, and what the back half says.
    fn look(&self) -> Result<(bool, Option<State>), Errno> {
        let own = self.device.own_state()?;
        // Tools have made it anew: this one is gone, the next look finds the other.
        let replaced = own == Some(State::Initialising) && self.half.own() != State::Initialising;
        Ok((own.is_some() && !replaced, self.device.other_state()?))
    }

    fn take(&mut self, step: FrontStep, back: Option<State>) {
        match step {
            FrontStep::Publish(state) => return self.publish(step, state, back),
            FrontStep::Connect => {
                if let Err(why) = self.driver.connect(&self.device) {
                    return self.give_up(&why);
                }
                self.device.say(State::Connected);
            }
            FrontStep::Disconnect => self.driver.disconnect(&self.device),
            FrontStep::Say(state) => self.device.say(state),
            FrontStep::Forget => {
                self.driver.remove(&self.device);
                self.is_gone = true;
            }
        }
        self.half.done(step, back);
    }

    fn publish(&mut self, step: FrontStep, state: State, back: Option<State>) {
        let nodes = match self.driver.publish(&self.device) {
            Ok(nodes) => nodes,
            Err(why) => return self.give_up(&why),
        };
        let waits = |back| back == Some(State::InitWait);
        match self.device.publish(&nodes, state, waits) {
            Ok(true) => self.half.done(step, back),
            Ok(false) => {
                self.driver.disconnect(&self.device);
                self.half.refused();
            }
            Err(errno) => self.give_up(&describe("the nodes cannot be written", errno)),
        }
    }

    fn give_up(&mut self, why: &str) {
        self.driver.disconnect(&self.device);
        self.half.failed();
        self.device.report(why);
    }
}
