//! Both glues in one store, with drivers that only count.

extern crate std;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

use proptest::prelude::*;
use pv_xenbus::{retry, State, Store, Tx};
use zl_xenstore::{Hooks, Quota, Shared};

use super::back::Slots;
use super::front::{Fronts, Kind};
use super::{BackBus, BackDriver, Device, FrontDriver, Publication};

const FRONT: &str = "/local/domain/0/device/vbd/51712";
const BACK: &str = "/local/domain/0/backend/vbd/7/51712";

/// What the drivers have at the moment.
#[derive(Default)]
struct Held {
    /// Rings of the front driver, and whether it uses them.
    front: Option<(u32, bool)>,
    /// Rings the back driver has mapped.
    back: Option<u32>,
    is_open: bool,
    removed: u32,
}

#[derive(Clone, Default)]
struct Hands {
    held: Arc<Mutex<Held>>,
    last: Arc<AtomicU32>,
    /// The next call that can fail does.
    fail: Arc<AtomicU32>,
}

impl Hands {
    fn fails(&self) -> Result<(), String> {
        match self.fail.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err("the test wants it".to_string()),
        }
    }
}

struct Front(Hands);

impl FrontDriver for Front {
    fn publish(&mut self, _: &Device) -> Result<Publication, String> {
        let mut held = self.0.held.lock().unwrap();
        assert!(held.front.is_none(), "rings are made twice");
        let rings = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        held.front = Some((rings, false));
        self.0.fails()?;
        Ok(vec![("ring-ref".to_string(), rings.to_string())])
    }

    fn connect(&mut self, device: &Device) -> Result<(), String> {
        assert_eq!(device.other_number("sectors"), Ok(8));
        self.0.fails()?;
        let mut held = self.0.held.lock().unwrap();
        held.front.as_mut().expect("connects with rings").1 = true;
        Ok(())
    }

    fn disconnect(&mut self, _: &Device) {
        self.0.held.lock().unwrap().front = None;
    }

    fn remove(&mut self, _: &Device) {
        let mut held = self.0.held.lock().unwrap();
        assert!(held.front.is_none(), "removed with rings");
        held.removed += 1;
    }
}

struct Back(Hands);

impl BackDriver for Back {
    fn open(&mut self, device: &Device) -> Result<(), String> {
        assert_eq!((device.id(), device.peer().get()), (51712, 7));
        self.0.fails()?;
        let mut held = self.0.held.lock().unwrap();
        assert!(!held.is_open && held.back.is_none(), "opened twice");
        held.is_open = true;
        device.write("feature-persistent", "1").map_err(|errno| errno.name().to_string())
    }

    fn connect(&mut self, device: &Device) -> Result<(), String> {
        let rings = device.other_number("ring-ref").map_err(|_| "no ring-ref".to_string())?;
        let mut held = self.0.held.lock().unwrap();
        assert!(held.is_open && held.back.is_none());
        held.back = Some(rings as u32);
        drop(held);
        self.0.fails()?;
        device.write("sectors", "8").map_err(|errno| errno.name().to_string())
    }

    fn disconnect(&mut self, _: &Device) {
        self.0.held.lock().unwrap().back = None;
    }

    fn close(&mut self, _: &Device) {
        let mut held = self.0.held.lock().unwrap();
        assert!(held.is_open && held.back.is_none(), "closed twice or in use");
        held.is_open = false;
    }
}

struct World {
    store: &'static Shared,
    hands: Hands,
    fronts: Fronts,
    bus: BackBus,
    slots: Slots,
}

impl World {
    fn new() -> Self {
        let store: &'static Shared =
            Box::leak(Box::new(Shared::new(Quota::default(), Hooks::NONE)));
        let hands = Hands::default();
        let (fronts, bus) = (fronts(store, &hands), bus(store, &hands));
        Self { store, hands, fronts, bus, slots: Slots::new() }
    }

    fn add_device(&self) {
        let nodes = |tx| {
            let write = |at: &str, key: &str, value: &str| {
                self.store.write(tx, &format!("{at}/{key}"), value.as_bytes())
            };
            write(FRONT, "backend", BACK)?;
            write(FRONT, "backend-id", "0")?;
            write(FRONT, "state", "1")?;
            write(BACK, "frontend", FRONT)?;
            write(BACK, "online", "1")?;
            write(BACK, "state", "1")
        };
        retry(self.store, nodes).unwrap();
    }

    fn set_online(&self, online: bool) {
        let value = if online { b"1" } else { b"0" };
        self.store.write(Tx::NONE, &format!("{BACK}/online"), value).unwrap();
    }

    fn remove_device(&self) {
        for at in [FRONT, BACK] {
            let _ = self.store.rm(Tx::NONE, at);
        }
    }

    fn exists(&self) -> bool {
        self.store.read(Tx::NONE, &format!("{BACK}/state")).is_ok()
    }

    fn kill_front(&mut self) {
        self.hands.held.lock().unwrap().front = None;
        self.fronts = fronts(self.store, &self.hands);
    }

    fn kill_back(&mut self) {
        let mut held = self.hands.held.lock().unwrap();
        (held.back, held.is_open) = (None, false);
        drop(held);
        self.slots = Slots::new();
        self.bus = bus(self.store, &self.hands);
    }

    fn settle(&mut self) {
        for _ in 0..40 {
            self.fronts.turn();
            self.bus.turn(&mut self.slots);
        }
    }

    fn states(&self) -> (State, State) {
        let state = |at: &str| {
            let value = self.store.read(Tx::NONE, &format!("{at}/state"));
            State::of_value(&value.unwrap_or_default())
        };
        (state(FRONT), state(BACK))
    }

    fn is_connected(&self) -> bool {
        let held = self.hands.held.lock().unwrap();
        let rings = held.back.map(|rings| (rings, true));
        self.states() == (State::Connected, State::Connected)
            && rings.is_some()
            && rings == held.front
    }

    fn holds_nothing(&self) -> bool {
        let held = self.hands.held.lock().unwrap();
        held.front.is_none() && held.back.is_none() && !held.is_open
    }
}

fn fronts(store: &'static Shared, hands: &Hands) -> Fronts {
    let mut fronts = Fronts::new(store);
    let hands = hands.clone();
    let make = move |_: &Device| Box::new(Front(hands.clone())) as Box<dyn FrontDriver>;
    fronts.add(Kind::new("vbd", State::Initialised, make));
    fronts
}

fn bus(store: &'static Shared, hands: &Hands) -> BackBus {
    let hands = hands.clone();
    let make = move |_: &Device| Box::new(Back(hands.clone())) as Box<dyn BackDriver>;
    let bus = BackBus::new(store, "vbd", make);
    bus.watch_root().unwrap();
    bus
}

#[test]
fn a_device_comes_works_and_goes() {
    let mut world = World::new();
    world.settle();
    world.add_device();
    world.settle();
    assert!(world.is_connected(), "{:?}", world.states());
    world.set_online(false);
    world.settle();
    assert_eq!(world.states(), (State::Closed, State::Closed));
    assert!(world.holds_nothing());
    world.remove_device();
    world.settle();
    assert!(world.slots.is_empty());
    assert_eq!(world.hands.held.lock().unwrap().removed, 1);
    assert_eq!(world.store.list(Tx::NONE, "/local/domain/0/device/vbd"), Ok(Vec::new()));
}

#[test]
fn what_went_wrong_stands_in_the_error_node() {
    let mut world = World::new();
    world.add_device();
    world.hands.fail.store(1, Ordering::Relaxed);
    world.bus.turn(&mut world.slots);
    world.settle();
    let error = world.store.text(Tx::NONE, &format!("{BACK}/error"));
    assert_eq!(error.as_deref(), Ok("the test wants it"));
    assert_eq!(world.states().1, State::Closed);
    assert!(world.holds_nothing());
    // Begun anew by hand, it works and the line is gone.
    world.bus.restarter()();
    world.settle();
    assert!(world.is_connected(), "{:?}", world.states());
    assert!(world.store.read(Tx::NONE, &format!("{BACK}/error")).is_err());
}

/// A guest cannot make the control domain open what cannot be opened again and again.
#[test]
fn a_device_that_cannot_be_opened_is_tried_once_whatever_the_front_half_says() {
    for state in ["0", "1", "2"] {
        let mut world = World::new();
        world.add_device();
        world.store.write(Tx::NONE, &format!("{FRONT}/state"), state.as_bytes()).unwrap();
        world.hands.fail.store(1, Ordering::Relaxed);
        let busy = (0..3).filter(|_| world.bus.turn(&mut world.slots)).count();
        assert_eq!((busy, world.states().1), (0, State::Closed), "front half says {state}");
        assert!(world.holds_nothing());
    }
}

#[test]
fn a_bus_that_starts_over_finds_its_devices() {
    let mut world = World::new();
    world.add_device();
    world.settle();
    let before = world.hands.held.lock().unwrap().back;
    world.bus.restarter()();
    world.settle();
    assert!(world.is_connected(), "{:?}", world.states());
    assert_ne!(world.hands.held.lock().unwrap().back, before, "rings are not used twice");
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Front,
    Back,
    KillFront,
    KillBack,
    RestartBack,
    Fail,
    Online(bool),
    Remove,
    Add,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Front),
        6 => Just(Event::Back),
        1 => Just(Event::KillFront),
        1 => Just(Event::KillBack),
        1 => Just(Event::RestartBack),
        1 => Just(Event::Fail),
        1 => any::<bool>().prop_map(Event::Online),
        1 => Just(Event::Remove),
        1 => Just(Event::Add),
    ]
}

proptest! {
    #[test]
    fn whatever_happened_a_device_made_anew_works(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = World::new();
        world.add_device();
        for event in events {
            match event {
                Event::Front => world.fronts.turn(),
                Event::Back => drop(world.bus.turn(&mut world.slots)),
                Event::KillFront => world.kill_front(),
                Event::KillBack => world.kill_back(),
                Event::RestartBack => world.bus.restarter()(),
                Event::Fail => world.hands.fail.store(1, Ordering::Relaxed),
                Event::Online(online) if world.exists() => world.set_online(online),
                Event::Online(_) => {}
                Event::Remove => world.remove_device(),
                Event::Add => world.add_device(),
            }
        }
        world.hands.fail.store(0, Ordering::Relaxed);
        world.settle();
        let held = world.holds_nothing();
        let parted = {
            let held = world.hands.held.lock().unwrap();
            held.front.is_none() && held.back.is_none()
        };
        prop_assert!(world.is_connected() || held || parted, "{:?}", world.states());
        world.remove_device();
        world.settle();
        prop_assert!(world.holds_nothing() && world.slots.is_empty());
        world.add_device();
        world.settle();
        prop_assert!(world.is_connected(), "{:?}", world.states());
    }
}
