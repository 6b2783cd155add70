//! What waits to be read by one domain: answers, and events of its watches.
//!
//! A domain that reads slowly, or never, costs a bounded amount: `server` executes no request of a
//! domain whose answers wait, and events beyond a bound are merged into one per watch, which names the
//! watched path itself. So nobody ever misses that something changed.
//!
//! Invariant: at most `Quota::events` events and one more for each watch wait; no event waits twice:
//! `waiting` names those that wait, so that adding one does not look at them all. One commit can tell
//! each watch of hundreds of changes.

use crate::watch::Watch;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use pv_xenbus::wire::Message;

#[derive(Debug)]
enum Item {
    Answer(Message),
    Event(Arc<Watch>, Arc<str>),
}

/// Messages to a domain, and the bytes of the first of them.
#[derive(Debug, Default)]
pub struct Outbox {
    items: VecDeque<Item>,
    /// Number of the watch and path of each event in `items`.
    waiting: BTreeSet<(u64, Arc<str>)>,
    answers: usize,
    /// The message that is being sent.
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Adds an answer.
    pub fn push_answer(&mut self, message: Message) {
        self.answers += 1;
        self.items.push_back(Item::Answer(message));
    }

    /// Adds an event, unless the same one waits already. `most` is the bound for events that are
    /// kept apart.
    pub fn push_event(&mut self, watch: &Arc<Watch>, path: &Arc<str>, most: usize) {
        let path = match self.items.len() - self.answers >= most {
            true => &watch.path,
            false => path,
        };
        if self.waiting.insert((watch.id, path.clone())) {
            self.items.push_back(Item::Event(watch.clone(), path.clone()));
        }
    }

    /// Forgets the events of a watch that ended.
    pub fn drop_watch(&mut self, id: u64) {
        self.items.retain(|item| !matches!(item, Item::Event(watch, _) if watch.id == id));
        self.waiting.retain(|(watch, _)| *watch != id);
    }

    /// Answers that wait.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Events that wait.
    #[must_use]
    pub fn events(&self) -> usize {
        self.items.len() - self.answers
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.sent >= self.bytes.len()
    }

    /// The bytes to be sent next; empty when nothing waits.
    pub fn pending(&mut self) -> &[u8] {
        if self.sent >= self.bytes.len() {
            self.bytes = Vec::new();
            self.sent = 0;
            match self.items.pop_front() {
                Some(Item::Answer(message)) => {
                    self.answers -= 1;
                    self.bytes = message.encode();
                }
                Some(Item::Event(watch, path)) => {
                    self.waiting.remove(&(watch.id, path.clone()));
                    let event = Message::watch_event(watch.shown(&path), &watch.token);
                    self.bytes = event.encode();
                }
                None => {}
            }
        }
        self.bytes.get(self.sent..).unwrap_or(&[])
    }

    /// Notes that bytes were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.bytes.len());
    }
}
