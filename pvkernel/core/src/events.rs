//! Events: recorded at once, handled later.
//!
//! The upcall of a backend, which comes between any two instructions, only sets bits (`record`): it takes no
//! lock and allocates nothing. The handlers run from `dispatch`, in the context of a thread that yields,
//! sleeps or waits. They may wake threads and print, but must not wait.
//!
//! An event has the number of what it came by, its port: of a line of an interrupt controller, or of an event
//! channel.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::sync::Lock;

/// Words of 64 ports.
pub const WORDS: usize = 64;

/// What runs when a port's event was recorded.
pub type Handler = Box<dyn FnMut() + Send>;

/// What a port has.
#[derive(Default)]
enum Slot {
    /// No handler.
    #[default]
    Free,
    /// A handler.
    Bound(Handler),
    /// A handler that is running.
    Running,
}

/// The slots of 64 ports, one word.
struct Chunk {
    slots: [Slot; 64],
    bound: usize,
}

/// Handlers by port. A word's chunk is there while one of its ports has a handler.
struct Handlers([Option<Box<Chunk>>; WORDS]);

impl Handlers {
    fn slot(&mut self, port: u32) -> Option<&mut Slot> {
        let chunk = self.0.get_mut(port as usize / 64)?.as_mut()?;
        chunk.slots.get_mut(port as usize % 64)
    }

    /// Installs a handler; returns what was there. A port no word has never fires.
    fn insert(&mut self, port: u32, handler: Handler) -> Slot {
        let Some(place) = self.0.get_mut(port as usize / 64) else { return Slot::Bound(handler) };
        let chunk = place
            .get_or_insert_with(|| Box::new(Chunk { slots: [const { Slot::Free }; 64], bound: 0 }));
        let Some(slot) = chunk.slots.get_mut(port as usize % 64) else { return Slot::Free };
        let old = core::mem::replace(slot, Slot::Bound(handler));
        chunk.bound += usize::from(matches!(old, Slot::Free));
        old
    }

    fn remove(&mut self, port: u32) -> Slot {
        let old = self.slot(port).map(core::mem::take).unwrap_or_default();
        let Some(place) = self.0.get_mut(port as usize / 64) else { return old };
        if let (Some(chunk), false) = (place.as_mut(), matches!(old, Slot::Free)) {
            chunk.bound -= 1;
            if chunk.bound == 0 {
                *place = None;
            }
        }
        old
    }
}

/// What was recorded, and what handles it.
pub struct Events {
    raised: [AtomicU64; WORDS],
    /// The words of `raised` that may have bits: a bit each.
    words: AtomicU64,
    handlers: Lock<Handlers>,
}

impl Events {
    /// Nothing, and nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            raised: [const { AtomicU64::new(0) }; WORDS],
            words: AtomicU64::new(0),
            handlers: Lock::new(Handlers([const { None }; WORDS])),
        }
    }

    /// Records events of the ports of a word. Called by upcalls.
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    pub fn record(&self, word: usize, bits: u64) {
        self.raised[word].fetch_or(bits, Ordering::Release);
        self.words.fetch_or(1 << word, Ordering::Release);
    }

    /// Whether an event was recorded that `dispatch` has not seen.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.words.load(Ordering::Acquire) != 0
    }

    /// Runs the handlers of all recorded events. Events without a handler are dropped.
    pub fn dispatch(&self) {
        let mut words = self.words.swap(0, Ordering::AcqRel);
        while words != 0 {
            let word = words.trailing_zeros() as usize % WORDS;
            words &= words - 1;
            let mut bits = self.raised[word].swap(0, Ordering::AcqRel);
            while bits != 0 {
                let port = (word * 64) as u32 + bits.trailing_zeros();
                bits &= bits - 1;
                self.run_handler(port);
            }
        }
    }

    fn run_handler(&self, port: u32) {
        // The handler leaves the table while it runs, so that it may bind and unbind ports.
        let mut handlers = self.handlers.lock();
        let slot = handlers.slot(port).filter(|slot| matches!(slot, Slot::Bound(_)));
        let taken = slot.map(|slot| core::mem::replace(slot, Slot::Running));
        drop(handlers);
        let Some(Slot::Bound(mut handler)) = taken else { return };
        handler();
        let mut handlers = self.handlers.lock();
        let unbound = match handlers.slot(port) {
            Some(slot @ Slot::Running) => {
                *slot = Slot::Bound(handler);
                None
            }
            // Unbound meanwhile, or another handler was installed, which stays.
            _ => Some(handler),
        };
        drop(handlers);
        drop(unbound);
    }

    /// Installs the handler of a port, in place of the one it has.
    pub fn bind(&self, port: u32, handler: Handler) {
        let old = self.handlers.lock().insert(port, handler);
        // Not before the lock is released: it may drop what unbinds others.
        drop(old);
    }

    /// Forgets the handler of a port.
    pub fn unbind(&self, port: u32) {
        let old = self.handlers.lock().remove(port);
        drop(old);
    }

    /// Ports with a handler.
    pub fn bound(&self) -> usize {
        self.handlers.lock().0.iter().flatten().map(|chunk| chunk.bound).sum()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Something that is done, by a thread or by a handler.
    #[derive(Clone, Debug)]
    enum Step {
        Bind(u32),
        Unbind(u32),
        Record(u32),
        Dispatch,
    }

    fn port() -> impl Strategy<Value = u32> {
        prop_oneof![0..4_u32, 62..66_u32, 4092..4098_u32]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            port().prop_map(Step::Bind),
            port().prop_map(Step::Unbind),
            (0..4094_u32).prop_map(Step::Record),
            port().prop_map(|port| Step::Record(port % 4096)),
            Just(Step::Dispatch),
        ]
    }

    fn record(events: &Events, port: u32) {
        events.record(port as usize / 64, 1 << (port % 64));
    }

    proptest! {
        #[test]
        fn each_recorded_event_runs_the_handler_its_port_has_then_once(
            steps in proptest::collection::vec(step(), 0..80),
        ) {
            let events = Events::new();
            let log: Arc<Lock<Vec<usize>>> = Arc::new(Lock::new(Vec::new()));
            let mut bound: BTreeMap<u32, usize> = BTreeMap::new();
            let mut raised: BTreeSet<u32> = BTreeSet::new();
            let mut expected = Vec::new();
            for (name, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Bind(port) => {
                        let log = Arc::clone(&log);
                        events.bind(port, Box::new(move || log.lock().push(name)));
                        // There are no ports behind the last word's.
                        if port < 4096 {
                            bound.insert(port, name);
                        }
                    }
                    Step::Unbind(port) => {
                        events.unbind(port);
                        bound.remove(&port);
                    }
                    Step::Record(port) => {
                        record(&events, port);
                        raised.insert(port);
                    }
                    Step::Dispatch => {
                        events.dispatch();
                        let ports = core::mem::take(&mut raised);
                        expected.extend(ports.iter().filter_map(|port| bound.get(port)));
                    }
                }
                prop_assert_eq!(events.is_raised(), !raised.is_empty());
                prop_assert_eq!(events.bound(), bound.len());
                prop_assert_eq!(&*log.lock(), &expected);
            }
            let Events { handlers, .. } = events;
            let chunks = handlers.lock().0.iter().flatten().count();
            let words: BTreeSet<u32> = bound.keys().map(|port| port / 64).collect();
            prop_assert_eq!(chunks, words.len());
        }
    }

    static EVENTS: Events = Events::new();

    #[test]
    fn a_handler_may_unbind_or_replace_itself_and_record_what_runs_later() {
        static CALLS: Lock<Vec<&str>> = Lock::new(Vec::new());
        let called = |name| CALLS.lock().push(name);
        EVENTS.bind(
            7,
            Box::new(move || {
                called("first");
                EVENTS.bind(7, Box::new(move || called("second")));
                record(&EVENTS, 7);
            }),
        );
        EVENTS.bind(
            9,
            Box::new(move || {
                called("last words");
                EVENTS.unbind(9);
            }),
        );
        record(&EVENTS, 7);
        record(&EVENTS, 9);
        EVENTS.dispatch();
        assert_eq!(*CALLS.lock(), ["first", "last words"]);
        assert!(EVENTS.is_raised());
        assert_eq!(EVENTS.bound(), 1);
        EVENTS.dispatch();
        record(&EVENTS, 9);
        EVENTS.dispatch();
        assert_eq!(*CALLS.lock(), ["first", "last words", "second"]);
    }
}
