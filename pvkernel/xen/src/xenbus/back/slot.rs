//! One device of a back bus: looks, steps, and what the driver is told.

use alloc::boxed::Box;

use hypercall_abi::Errno;
use pv_xenbus::device::{BackHalf, BackStep, BackView};
use pv_xenbus::{State, Store, WatchId};

use super::super::nodes::describe;
use super::super::Device;
use super::BackDriver;

/// Steps of one device in a row.
const STEPS: usize = 8;

pub(in super::super) struct Slot {
    device: Device,
    half: BackHalf,
    driver: Box<dyn BackDriver>,
    is_open: bool,
    watch: WatchId,
    is_gone: bool,
}

impl Slot {
    pub(super) fn new(
        device: Device,
        state: State,
        driver: Box<dyn BackDriver>,
        watch: WatchId,
    ) -> Self {
        Self { device, half: BackHalf::new(state), driver, is_open: false, watch, is_gone: false }
    }

    /// Whether the device has ended: it has let go of everything.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// What to end with the device.
    pub(super) const fn watch(&self) -> WatchId {
        self.watch
    }

    /// Does what there is to do, a few steps at most; whether there may be more.
    pub(super) fn run(&mut self) -> bool {
        for _ in 0..STEPS {
            let Ok(view) = self.look() else { return false };
            self.half.look(view);
            let Some(step) = self.half.next(view) else { return false };
            self.take(step, view);
            if self.is_gone {
                return false;
            }
        }
        true
    }

    fn look(&self) -> Result<BackView, Errno> {
        let own = self.device.own_state()?;
        // The tools have made it anew: this one is gone, the next look finds the other.
        let replaced = own == Some(State::Initialising) && self.half.own() != State::Initialising;
        let online = self.device.own_number("online").unwrap_or(0) != 0;
        let exists = own.is_some() && !replaced;
        Ok(BackView { exists, online, front: self.device.other_state()? })
    }

    fn take(&mut self, step: BackStep, view: BackView) {
        match step {
            BackStep::Init => {
                self.close();
                if let Err(why) = self.driver.open(&self.device) {
                    return self.give_up(step, &why);
                }
                self.is_open = true;
                // What an earlier attempt left there is not true any more.
                let _ = self.device.remove("error");
                self.device.say(State::InitWait);
            }
            BackStep::Connect => return self.connect(view),
            BackStep::Disconnect => self.driver.disconnect(&self.device),
            BackStep::Say(state) => {
                if state == State::Closed {
                    self.close();
                }
                self.device.say(state);
            }
            BackStep::Forget => {
                self.close();
                self.is_gone = true;
            }
        }
        self.half.done(step, view.front);
    }

    fn connect(&mut self, view: BackView) {
        let published = |front| matches!(front, Some(State::Initialised | State::Connected));
        let confirmed = self.device.other_nodes().and_then(|before| {
            if let Err(why) = self.driver.connect(&self.device) {
                return Ok(Err(why));
            }
            // The front half may have died and come back meanwhile: then these are not its rings.
            match self.device.other_nodes()? == before {
                true => self.device.publish(&[], State::Connected, published).map(Ok),
                false => Ok(Ok(false)),
            }
        });
        match confirmed {
            Ok(Ok(true)) => self.half.done(BackStep::Connect, view.front),
            Ok(Ok(false)) | Err(Errno::ENOENT) => {
                self.driver.disconnect(&self.device);
                self.half.refused();
            }
            Ok(Err(why)) => self.give_up(BackStep::Connect, &why),
            Err(errno) => {
                self.give_up(BackStep::Connect, &describe("the nodes are unusable", errno));
            }
        }
    }

    fn give_up(&mut self, step: BackStep, why: &str) {
        if step == BackStep::Connect {
            self.driver.disconnect(&self.device);
        }
        self.close();
        self.half.failed(step);
        self.device.report(why);
    }

    fn close(&mut self) {
        if core::mem::take(&mut self.is_open) {
            self.driver.close(&self.device);
        }
    }

    /// Lets go of everything without a word.
    pub(super) fn drop_everything(mut self, store: &dyn Store) {
        store.unwatch(self.watch);
        if self.half.is_up() {
            self.driver.disconnect(&self.device);
        }
        self.close();
    }
}
