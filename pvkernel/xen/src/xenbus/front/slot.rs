//! One device of a guest: looks, steps, and what the driver is told.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::AtomicBool;

use hypercall_abi::{DomId, Errno};
use pv_xenbus::device::{FrontHalf, FrontStep};
use pv_xenbus::{path, State, Store, Tx, WatchId};

use super::super::nodes::{describe, directory, Device};
use super::{directory_of, watch, FrontDriver, Kind};

/// Steps of one device in a row.
const STEPS: usize = 16;

pub(super) struct Slot {
    pub(super) kind: &'static str,
    pub(super) device: Device,
    half: FrontHalf,
    driver: Box<dyn FrontDriver>,
    /// Something below one of the two directories changed.
    pub(super) changed: Arc<AtomicBool>,
    pub(super) watch: WatchId,
    pub(super) is_gone: bool,
}

impl Slot {
    pub(super) fn new(
        store: &'static dyn Store,
        kind: &Kind,
        name: &str,
        id: u32,
    ) -> Result<Self, Errno> {
        let own = path::child(&directory_of(kind.name), name);
        let text = |key| store.text(Tx::NONE, &path::child(&own, key));
        let other = directory(&text("backend")?)?;
        let peer = text("backend-id")?.trim().parse().map_err(|_| Errno::EINVAL)?;
        let state = State::of_value(text("state")?.as_bytes());
        let changed = Arc::new(AtomicBool::new(true));
        let watch = watch(store, &path::child(&other, "state"), &changed)?;
        let device = Device::new(store, own, other, DomId::new(peer), id);
        Ok(Self {
            kind: kind.name,
            driver: (kind.make)(&device),
            device,
            half: FrontHalf::new(state, kind.published),
            changed,
            watch,
            is_gone: false,
        })
    }

    /// Does what there is to do, some steps at most; whether there may be more.
    pub(super) fn run(&mut self) -> bool {
        for _ in 0..STEPS {
            // A store that does not answer tells when it does again.
            let Ok((exists, back)) = self.look() else { return false };
            self.half.look(back);
            let Some(step) = self.half.next(exists, back) else { return false };
            self.take(step, back);
            if self.is_gone {
                return false;
            }
        }
        true
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
