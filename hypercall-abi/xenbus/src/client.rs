//! A domain's end of the connection to the store, without the ring.
//!
//! Several threads ask at once; answers come in any order and carry the number of their request, events
//! of watches lie between them. [`Client`] numbers requests, keeps what has to be sent, puts answers to
//! their requests, and says which watches an event belongs to. It moves no bytes and waits for nothing:
//! the owner of the ring writes [`Client::output`] there and feeds what it reads to
//! [`Client::receive`]. What the calls are is the business of [`crate::calls`].
//!
//! Nothing the store sends is trusted with more than the value it answers: answers to nothing and events
//! of unknown watches are dropped, a message that cannot be one breaks the connection.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::Errno;

use crate::store::{Tx, WatchId, WatchSink};
use crate::wire::{self, Decoder, Message};

/// Names a request until its answer was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u32);

/// A watch that has to be told of a path.
pub struct Due {
    /// Whom.
    pub sink: WatchSink,
    /// What changed.
    pub path: String,
}

/// What was sent makes no sense: nothing that follows can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

enum Request {
    /// Kept, so that it can be asked again over a new connection.
    Asked(Message),
    Answered(Result<Vec<u8>, Errno>),
    /// Nobody waits for the answer.
    Abandoned,
}

struct Watch {
    path: String,
    sink: WatchSink,
}

/// The state of a connection.
#[derive(Default)]
pub struct Client {
    decoder: Decoder,
    output: Vec<u8>,
    /// Bytes of `output` that were sent.
    sent: usize,
    last_id: u32,
    requests: BTreeMap<u32, Request>,
    last_watch: u64,
    watches: BTreeMap<u64, Watch>,
    broken: bool,
}

impl Client {
    /// A new connection. The first request is numbered behind `last_id`, so that answers to somebody who
    /// used the ring before are not taken for ours.
    #[must_use]
    pub fn new(last_id: u32) -> Self {
        Self { last_id, ..Self::default() }
    }

    /// Puts a request into the output.
    ///
    /// # Errors
    /// `E2BIG` for more bytes than a message holds, `EIO` on a broken connection.
    pub fn ask(&mut self, kind: u32, tx: Tx, payload: Vec<u8>) -> Result<Ticket, Errno> {
        if payload.len() > wire::PAYLOAD_MAX {
            return Err(Errno::E2BIG);
        }
        if self.broken {
            return Err(Errno::EIO);
        }
        let id = self.next_id();
        let message = Message::new(kind, id, tx, payload);
        message.encode_into(&mut self.output);
        self.requests.insert(id, Request::Asked(message));
        Ok(Ticket(id))
    }

    /// Events carry the number 0; a number in use is not given twice.
    fn next_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.requests.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// The answer, once.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Vec<u8>, Errno>> {
        match self.requests.get(&ticket.0) {
            Some(Request::Asked(_)) => None,
            _ => match self.requests.remove(&ticket.0) {
                Some(Request::Answered(answer)) => Some(answer),
                _ => Some(Err(Errno::EIO)),
            },
        }
    }

    /// Whether [`Client::take_answer`] would give something.
    #[must_use]
    pub fn is_answered(&self, ticket: Ticket) -> bool {
        !matches!(self.requests.get(&ticket.0), Some(Request::Asked(_)))
    }

    /// Drops the answer when it comes.
    pub fn abandon(&mut self, ticket: Ticket) {
        match self.requests.get_mut(&ticket.0) {
            Some(request @ Request::Asked(_)) => *request = Request::Abandoned,
            _ => drop(self.requests.remove(&ticket.0)),
        }
    }

    /// Adds a watch and asks for it. When that is refused, [`Client::forget_watch`] removes it.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn watch(&mut self, path: &str, sink: WatchSink) -> Result<(WatchId, Ticket), Errno> {
        let number = self.last_watch + 1;
        let ticket = self.ask(wire::XS_WATCH, Tx::NONE, watch_payload(path, number))?;
        self.last_watch = number;
        self.watches.insert(number, Watch { path: String::from(path), sink });
        Ok((WatchId(number), ticket))
    }

    /// Ends a watch here: its sink is not called any more. Gives the request that ends it in the store.
    pub fn unwatch(&mut self, watch: WatchId) -> Option<Ticket> {
        let ended = self.watches.remove(&watch.0)?;
        self.ask(wire::XS_UNWATCH, Tx::NONE, watch_payload(&ended.path, watch.0)).ok()
    }

    /// Forgets a watch that the store refused.
    pub fn forget_watch(&mut self, watch: WatchId) {
        self.watches.remove(&watch.0);
    }

    /// Bytes to be sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or(&[])
    }

    /// So many bytes of the output were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Takes bytes that were received; gives the watches to be told.
    ///
    /// # Errors
    /// When the bytes cannot be messages. Every request ends with `EIO` then, until [`Client::restart`].
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<Vec<Due>, Broken> {
        let mut due = Vec::new();
        while !bytes.is_empty() && !self.broken {
            let Ok((taken, message)) = self.decoder.feed(bytes) else {
                self.break_off();
                return Err(Broken);
            };
            bytes = bytes.get(taken..).unwrap_or(&[]);
            due.extend(message.and_then(|message| self.take_in(message)));
        }
        Ok(due)
    }

    fn take_in(&mut self, message: Message) -> Option<Due> {
        if let Some((path, token)) = message.as_watch_event() {
            let watch = self.watches.get(&wire::number(token).ok()?)?;
            return Some(Due { sink: watch.sink.clone(), path: String::from(path) });
        }
        let id = message.req_id;
        match self.requests.get_mut(&id)? {
            Request::Asked(asked) if [asked.kind, wire::XS_ERROR].contains(&message.kind) => {
                self.requests.insert(id, Request::Answered(message.into_result()));
            }
            Request::Abandoned => drop(self.requests.remove(&id)),
            _ => {}
        }
        None
    }

    /// Gives the connection up: every request ends with `EIO`.
    pub fn break_off(&mut self) {
        self.broken = true;
        self.output.clear();
        self.sent = 0;
        self.requests.retain(|_, request| !matches!(request, Request::Abandoned));
        for request in self.requests.values_mut() {
            if let Request::Asked(_) = request {
                *request = Request::Answered(Err(Errno::EIO));
            }
        }
    }

    /// Starts over on a connection of which the store knows nothing: watches are asked for again, and
    /// so is everything that is the same when done twice. Transactions are lost; who used one is told
    /// that it did not happen.
    pub fn restart(&mut self) {
        self.decoder = Decoder::new();
        self.output.clear();
        self.sent = 0;
        self.broken = false;
        let watches: Vec<(u64, String)> =
            self.watches.iter().map(|(number, watch)| (*number, watch.path.clone())).collect();
        let mut requests = core::mem::take(&mut self.requests);
        requests.retain(|_, request| !matches!(request, Request::Abandoned));
        for request in requests.values_mut() {
            let Request::Asked(asked) = &*request else { continue };
            match asked.kind {
                // Those of the watches that are known are asked for below, all at once.
                wire::XS_WATCH | wire::XS_UNWATCH => {
                    *request = Request::Answered(Ok(Vec::from(wire::OK)));
                }
                wire::XS_TRANSACTION_END => *request = Request::Answered(Err(Errno::EAGAIN)),
                _ if asked.tx != Tx::NONE => *request = Request::Answered(Err(Errno::EAGAIN)),
                _ => asked.encode_into(&mut self.output),
            }
        }
        self.requests = requests;
        for (number, path) in watches {
            let ticket = self.ask(wire::XS_WATCH, Tx::NONE, watch_payload(&path, number));
            ticket.into_iter().for_each(|ticket| self.abandon(ticket));
        }
    }
}

fn watch_payload(path: &str, number: u64) -> Vec<u8> {
    wire::strings(&[path.as_bytes(), alloc::format!("{number}").as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeSet, VecDeque};
    use alloc::sync::Arc;
    use alloc::vec;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use proptest::prelude::*;

    /// A store at the other end: does things in order, and answers with the request's own payload when
    /// it is told to.
    #[derive(Default)]
    struct Model {
        decoder: Decoder,
        unanswered: Vec<Message>,
        watches: BTreeSet<Vec<u8>>,
        /// Bytes on their way to the client.
        wire: VecDeque<u8>,
    }

    impl Model {
        fn receive(&mut self, mut bytes: &[u8]) {
            while !bytes.is_empty() {
                let (taken, message) = self.decoder.feed(bytes).unwrap();
                bytes = &bytes[taken..];
                match &message {
                    Some(message) if message.kind == wire::XS_WATCH => {
                        self.watches.insert(message.payload.clone());
                    }
                    Some(message) if message.kind == wire::XS_UNWATCH => {
                        self.watches.remove(&message.payload);
                    }
                    _ => {}
                }
                self.unanswered.extend(message);
            }
        }

        fn answer(&mut self, which: usize) {
            if self.unanswered.is_empty() {
                return;
            }
            let request = self.unanswered.swap_remove(which % self.unanswered.len());
            let answer = match request.payload.first() {
                Some(b'!') => request.answer(Err(Errno::ENOENT)),
                _ => request.answer(Ok(request.payload.clone())),
            };
            self.wire.extend(answer.encode());
        }

        fn fire(&mut self) {
            for watch in &self.watches {
                let mut parts = wire::split(watch).unwrap();
                let path = core::str::from_utf8(parts.next().unwrap()).unwrap();
                self.wire.extend(Message::watch_event(path, parts.next().unwrap()).encode());
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask(bool),
        Watch,
        Unwatch(usize),
        Abandon(usize),
        Send(usize),
        Answer(usize),
        Fire,
        Deliver(usize),
        Take,
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(Step::Ask),
            1 => Just(Step::Watch),
            1 => (0usize..8).prop_map(Step::Unwatch),
            1 => (0usize..8).prop_map(Step::Abandon),
            4 => (1usize..60).prop_map(Step::Send),
            4 => (0usize..8).prop_map(Step::Answer),
            1 => Just(Step::Fire),
            4 => (1usize..60).prop_map(Step::Deliver),
            2 => Just(Step::Take),
            1 => Just(Step::Restart),
        ]
    }

    /// A client, its store, and what the client's threads wait for.
    struct World {
        client: Client,
        model: Model,
        waiting: Vec<(Ticket, Vec<u8>)>,
        watches: Vec<(WatchId, Arc<AtomicUsize>)>,
        asked: u32,
    }

    impl World {
        fn step(&mut self, step: &Step) {
            match step {
                Step::Ask(fails) => {
                    self.asked += 1;
                    let mark = if *fails { '!' } else { '.' };
                    let payload = alloc::format!("{mark}{}", self.asked).into_bytes();
                    let ticket = self.client.ask(wire::XS_READ, Tx::NONE, payload.clone());
                    self.waiting.push((ticket.unwrap(), payload));
                }
                Step::Watch => {
                    let count = Arc::new(AtomicUsize::new(0));
                    let told = count.clone();
                    let sink: WatchSink = Arc::new(move |path| {
                        assert_eq!(path, "p");
                        told.fetch_add(1, Ordering::Relaxed);
                    });
                    let (watch, ticket) = self.client.watch("p", sink).unwrap();
                    self.client.abandon(ticket);
                    self.watches.push((watch, count));
                }
                Step::Unwatch(which) if !self.watches.is_empty() => {
                    let (watch, count) = self.watches.swap_remove(which % self.watches.len());
                    let ticket = self.client.unwatch(watch).unwrap();
                    self.client.abandon(ticket);
                    assert_eq!(Arc::strong_count(&count), 1, "an ended watch has no sink");
                }
                Step::Abandon(which) if !self.waiting.is_empty() => {
                    let (ticket, _) = self.waiting.swap_remove(which % self.waiting.len());
                    self.client.abandon(ticket);
                }
                Step::Unwatch(_) | Step::Abandon(_) => {}
                Step::Send(count) => {
                    let output = self.client.output();
                    let count = (*count).min(output.len());
                    self.model.receive(&output[..count]);
                    self.client.sent(count);
                }
                Step::Answer(which) => self.model.answer(*which),
                Step::Fire => self.model.fire(),
                Step::Deliver(count) => {
                    let count = (*count).min(self.model.wire.len());
                    let bytes: Vec<u8> = self.model.wire.drain(..count).collect();
                    for due in self.client.receive(&bytes).unwrap() {
                        (due.sink)(&due.path);
                    }
                }
                Step::Take => self.take(),
                Step::Restart => {
                    self.model = Model::default();
                    self.client.restart();
                }
            }
        }

        fn take(&mut self) {
            let client = &mut self.client;
            self.waiting.retain(|(ticket, payload)| match client.take_answer(*ticket) {
                None => {
                    assert!(!client.is_answered(*ticket));
                    true
                }
                Some(answer) => {
                    let expected = match payload[0] {
                        b'!' => Err(Errno::ENOENT),
                        _ => Ok(payload.clone()),
                    };
                    assert_eq!(answer, expected, "an answer to another request");
                    false
                }
            });
        }

        /// Lets everything arrive and be answered.
        fn settle(&mut self) {
            for _ in 0..100 {
                while !self.client.output().is_empty() {
                    self.step(&Step::Send(1000));
                }
                while !self.model.unanswered.is_empty() {
                    self.step(&Step::Answer(0));
                }
                while !self.model.wire.is_empty() {
                    self.step(&Step::Deliver(1000));
                }
            }
            self.take();
        }
    }

    proptest! {
        #[test]
        fn each_request_gets_its_own_answer_and_each_watch_its_events(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut world = World {
                client: Client::new(u32::MAX - 3),
                model: Model::default(),
                waiting: Vec::new(),
                watches: Vec::new(),
                asked: 0,
            };
            steps.iter().for_each(|step| world.step(step));
            world.settle();
            prop_assert!(world.waiting.is_empty(), "requests without answer");
            prop_assert!(world.client.requests.is_empty(), "answers that nobody takes");
            prop_assert_eq!(world.model.watches.len(), world.watches.len());
            let before: Vec<usize> =
                world.watches.iter().map(|(_, told)| told.load(Ordering::Relaxed)).collect();
            world.step(&Step::Fire);
            world.settle();
            for ((_, told), before) in world.watches.iter().zip(before) {
                prop_assert_eq!(told.load(Ordering::Relaxed), before + 1);
            }
        }

        #[test]
        fn any_bytes_are_survived(
            asked in 0usize..4,
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..10),
        ) {
            let mut client = Client::new(0);
            let tickets: Vec<Ticket> = (0..asked)
                .map(|_| client.ask(wire::XS_READ, Tx::NONE, vec![0]).unwrap())
                .collect();
            let broken = chunks.iter().any(|chunk| client.receive(chunk).is_err());
            if broken {
                for ticket in tickets {
                    prop_assert!(client.take_answer(ticket).is_some());
                }
                prop_assert_eq!(client.ask(wire::XS_READ, Tx::NONE, vec![0]), Err(Errno::EIO));
                client.restart();
                prop_assert!(client.ask(wire::XS_READ, Tx::NONE, vec![0]).is_ok());
            }
        }
    }

    #[test]
    fn what_was_in_a_transaction_is_told_that_it_did_not_happen() {
        let mut client = Client::new(0);
        let write = client.ask(wire::XS_WRITE, Tx(5), vec![0]).unwrap();
        let end = client.ask(wire::XS_TRANSACTION_END, Tx(5), vec![0]).unwrap();
        let begin = client.ask(wire::XS_TRANSACTION_START, Tx::NONE, vec![0]).unwrap();
        client.restart();
        assert_eq!(client.take_answer(write), Some(Err(Errno::EAGAIN)));
        assert_eq!(client.take_answer(end), Some(Err(Errno::EAGAIN)));
        assert_eq!(client.take_answer(begin), None, "asked again");
        assert_eq!(client.take_answer(write), Some(Err(Errno::EIO)), "taken only once");
    }

    #[test]
    fn too_long_a_request_is_refused_before_it_is_sent() {
        let mut client = Client::new(0);
        let long = vec![0; wire::PAYLOAD_MAX + 1];
        assert_eq!(client.ask(wire::XS_WRITE, Tx::NONE, long), Err(Errno::E2BIG));
        assert!(client.output().is_empty());
    }
}
