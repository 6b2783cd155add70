//! The ring to the store, by hand: any bytes, any indices, and messages of one's own.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use hypercall_abi::io::xs_wire::{CONNECTED, RECONNECT};
use hypercall_abi::{Errno, EvtchnPort};
use pv_ring::{Consumer, Producer, XenstorePage};
use pv_xenbus::wire::{Decoder, Message, XS_WATCH_EVENT};
use pv_xenbus::Tx;
use pvkernel_xen::{boot, event, layout, p2m, thread, time};

/// How long the store may take; there is other load.
const LIMIT_NS: u64 = 20_000_000_000;
/// How often the ring is looked at.
const LOOK_NS: u64 = 50_000;

/// A connection that nobody else in this domain uses.
pub struct Line {
    /// The page.
    pub page: &'static XenstorePage,
    port: EvtchnPort,
    requests: Producer,
    responses: Consumer,
    decoder: Decoder,
    answers: VecDeque<Message>,
    next_id: u32,
    /// Watch events seen.
    pub events: u64,
}

impl Line {
    /// Takes the ring over.
    pub fn open() -> Result<Self, String> {
        let boot = boot::info();
        let pfn = p2m::pfn(boot.store_mfn).ok_or("no store")?;
        let page = core::ptr::with_exposed_provenance_mut(layout::initial_va(pfn) as usize);
        let page: NonNull<XenstorePage> = NonNull::new(page).ok_or("no store")?;
        // SAFETY: the builder mapped the store's page in its mapping, where it stays; it consists of
        // atomics, so the other end may write to it at any time.
        let page: &'static XenstorePage = unsafe { page.as_ref() };
        let mut line = Self {
            page,
            port: boot.store_evtchn,
            requests: Producer::attach(&page.requests()),
            responses: Consumer::attach(&page.responses()),
            decoder: Decoder::new(),
            answers: VecDeque::new(),
            next_id: 1,
            events: 0,
        };
        line.start_over()?;
        Ok(line)
    }

    /// Tells the store that there is something.
    pub fn notify(&self) {
        let _ = event::notify(self.port);
    }

    /// Asks the store to forget what was, and waits until it has; then it has to answer.
    pub fn start_over(&mut self) -> Result<(), String> {
        self.page.connection().store(RECONNECT, Ordering::Release);
        self.notify();
        let end_ns = time::now_ns() + LIMIT_NS;
        while self.page.connection().load(Ordering::Acquire) != CONNECTED {
            if time::now_ns() > end_ns {
                return Err(String::from("the store does not start over"));
            }
            thread::sleep_ns(LOOK_NS);
        }
        self.requests = Producer::attach(&self.page.requests());
        self.responses = Consumer::attach(&self.page.responses());
        self.decoder = Decoder::new();
        self.answers.clear();
        let home = self.ask(pv_xenbus::wire::XS_READ, Tx::NONE, b"domid\0")?;
        let is_number = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        match home {
            Ok(id) if is_number(&id) => Ok(()),
            other => Err(format!("the store started over and answers {other:?}")),
        }
    }

    /// Puts bytes into the ring as far as they fit.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let pushed = self.requests.write(&self.page.requests(), bytes).unwrap_or(0);
        self.notify();
        pushed
    }

    /// Takes what came.
    pub fn drain(&mut self) -> Result<(), String> {
        let mut bytes = [0; 256];
        loop {
            let read = self.responses.read(&self.page.responses(), &mut bytes);
            let read = read.map_err(|corrupt| format!("the store's indices: {corrupt}"))?;
            if read == 0 {
                return Ok(());
            }
            self.notify();
            let mut rest = &bytes[..read];
            while !rest.is_empty() {
                let fed = self.decoder.feed(rest).map_err(|long| format!("the store sends {long}"));
                let (taken, message) = fed?;
                rest = &rest[taken..];
                match message {
                    Some(message) if message.kind == XS_WATCH_EVENT => self.events += 1,
                    Some(message) => self.answers.push_back(message),
                    None => {}
                }
            }
        }
    }

    /// Sends a request; its number.
    pub fn send(&mut self, kind: u32, tx: Tx, payload: &[u8]) -> Result<u32, String> {
        self.next_id = self.next_id.wrapping_add(1);
        let bytes = Message::new(kind, self.next_id, tx, payload.to_vec()).encode();
        let mut rest = &bytes[..];
        let end_ns = time::now_ns() + LIMIT_NS;
        while !rest.is_empty() {
            let pushed = self.push(rest);
            rest = &rest[pushed..];
            self.drain()?;
            if pushed == 0 {
                if time::now_ns() > end_ns {
                    return Err(String::from("the store reads nothing"));
                }
                thread::sleep_ns(LOOK_NS);
            }
        }
        Ok(self.next_id)
    }

    /// Waits for the answer to a request.
    pub fn answer(&mut self, id: u32) -> Result<Result<Vec<u8>, Errno>, String> {
        let end_ns = time::now_ns() + LIMIT_NS;
        loop {
            self.drain()?;
            while let Some(message) = self.answers.pop_front() {
                if message.req_id == id {
                    return Ok(message.into_result());
                }
            }
            if time::now_ns() > end_ns {
                return Err(String::from("the store does not answer"));
            }
            thread::sleep_ns(LOOK_NS);
        }
    }

    /// Asks and waits.
    pub fn ask(
        &mut self,
        kind: u32,
        tx: Tx,
        payload: &[u8],
    ) -> Result<Result<Vec<u8>, Errno>, String> {
        let id = self.send(kind, tx, payload)?;
        self.answer(id)
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<Result<Tx, Errno>, String> {
        let answer = self.ask(pv_xenbus::wire::XS_TRANSACTION_START, Tx::NONE, b"\0")?;
        Ok(answer.map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).to_string();
            Tx(text.trim_end_matches('\0').parse().unwrap_or(0))
        }))
    }

    /// Ends a transaction.
    pub fn end(&mut self, tx: Tx, commits: bool) -> Result<Result<Vec<u8>, Errno>, String> {
        let word: &[u8] = if commits { b"T\0" } else { b"F\0" };
        self.ask(pv_xenbus::wire::XS_TRANSACTION_END, tx, word)
    }
}
