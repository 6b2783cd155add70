//! Talking to the control domain: one request at a time, and what comes back.
//!
//! Three threads send events here: what comes over the connection, what is typed, and signals. The
//! session prints, puts the terminal into the mode the control domain asks for, and ends with the
//! status of the verb.
//!
//! The key that leaves a console is looked for here, so that a person can leave whatever the other
//! end does.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use zl_client::frame::decode;
use zl_client::message::{Bytes, Channel, Reply, Request, Speaker};
use zl_toolstack::{Status, ToolError};

use crate::link::{lost, Link};
use crate::terminal::{self, Raw};
use crate::{unreachable, Result};

/// How long the control domain may take to end what ^C interrupts; then the program ends anyway.
const AFTER_INTERRUPT: Duration = Duration::from_secs(3);
/// ^C.
const INTERRUPT: u8 = 0x03;
/// The status of a program that ^C ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// Something happened.
pub enum Event {
    /// A frame came.
    Frame(Vec<u8>),
    /// The connection is over, with what the host says about it.
    Closed(Option<io::Error>),
    /// Bytes were typed.
    Typed(Vec<u8>),
    /// ^C.
    Interrupt,
    /// Somebody wants the program to end.
    Terminated,
    /// The terminal has another size.
    Resized,
}

/// A conversation.
pub struct Session {
    link: Link,
    sender: Sender<Event>,
    events: Receiver<Event>,
    is_reading: bool,
    /// Set while each key goes through, with the one that leaves.
    keys: Option<(Raw, Option<u8>)>,
    watches_keys: bool,
}

impl Session {
    /// A conversation over a connection.
    pub fn new(link: Link) -> Self {
        let (sender, events) = mpsc::channel();
        terminal::watch_signals(sender.clone());
        Self { link, sender, events, is_reading: false, keys: None, watches_keys: false }
    }

    /// Carries a verb out; the answer is its status.
    ///
    /// # Errors
    /// The connection broke.
    pub fn run(&mut self, words: &[String]) -> Result<u8> {
        self.run_as(Speaker::Zl, words)
    }

    /// Carries a command of dom0's shell out.
    ///
    /// # Errors
    /// The connection broke.
    pub fn run_in_shell(&mut self, words: &[String]) -> Result<u8> {
        self.run_as(Speaker::Shell, words)
    }

    fn run_as(&mut self, speaker: Speaker, words: &[String]) -> Result<u8> {
        let words = words.iter().map(String::as_str).collect();
        self.send(&Request::Run { speaker, words, terminal: terminal::size() })?;
        let mut limit = None;
        loop {
            let Some(event) = self.next(limit)? else { return Ok(INTERRUPTED) };
            match event {
                Event::Frame(payload) => {
                    if let Some(status) = self.show(&payload)? {
                        return Ok(status);
                    }
                }
                Event::Closed(error) => return Err(closed(error)),
                Event::Typed(bytes) => {
                    // Where no key leaves, ^C must end this program even if dom0 stands still.
                    let is_last =
                        matches!(self.keys, Some((_, None))) && bytes.contains(&INTERRUPT);
                    limit = if is_last { Some(AFTER_INTERRUPT) } else { limit };
                    self.forward(&bytes)?;
                }
                Event::Interrupt if limit.is_none() => {
                    self.send(&Request::Interrupt)?;
                    limit = Some(AFTER_INTERRUPT);
                }
                Event::Interrupt | Event::Terminated => return Ok(INTERRUPTED),
                Event::Resized => {
                    if let Some(size) = terminal::size() {
                        self.send(&Request::Resize(size))?;
                    }
                }
            }
        }
    }

    /// What a verb that runs says; its status at its end.
    fn show(&mut self, payload: &[u8]) -> Result<Option<u8>> {
        match read(payload)? {
            Reply::Output { to: Channel::Out, bytes } => put(&mut io::stdout().lock(), bytes.0)?,
            Reply::Output { to: Channel::Err, bytes } => put(&mut io::stderr().lock(), bytes.0)?,
            Reply::Keys { leave } => self.want_keys(leave),
            Reply::Lines => self.keys = None,
            Reply::Exit { status } => {
                self.keys = None;
                return Ok(Some(status));
            }
            Reply::Failed { status, text } => {
                let (status, text) = (Status::from_number(status), text.to_string());
                return Err(ToolError { status, text });
            }
            other => return Err(unexpected(&other)),
        }
        Ok(None)
    }

    fn want_keys(&mut self, leave: Option<u8>) {
        self.keys = Some((Raw::enter(), leave));
        if !self.watches_keys {
            self.watches_keys = true;
            terminal::watch_keys(self.sender.clone());
        }
    }

    /// Sends what was typed, up to the key that leaves.
    fn forward(&mut self, bytes: &[u8]) -> Result<()> {
        // What was typed ahead of a console belongs to nobody.
        let Some((_, leave)) = &self.keys else { return Ok(()) };
        let end = bytes.iter().position(|byte| Some(*byte) == *leave);
        let typed = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(&[]);
        if !typed.is_empty() {
            self.send(&Request::Typed(Bytes(typed)))?;
        }
        match end {
            Some(_) => self.send(&Request::Leave),
            None => Ok(()),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The connection is over.
    pub fn send(&mut self, request: &Request<'_>) -> Result<()> {
        self.link.send(request)
    }

    /// The next frame that came, while nothing else is of interest but ^C.
    ///
    /// # Errors
    /// The connection broke, or ^C.
    pub fn frame(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.next(None)? {
                Some(Event::Frame(payload)) => return Ok(payload),
                Some(Event::Closed(error)) => return Err(closed(error)),
                Some(Event::Interrupt | Event::Terminated) | None => {
                    return Err(ToolError::failed("interrupted; nothing of it is left in dom0"));
                }
                Some(Event::Typed(_) | Event::Resized) => {}
            }
        }
    }

    /// A frame if one came already.
    ///
    /// # Errors
    /// As [`Session::frame`].
    pub fn frame_if_any(&mut self) -> Result<Option<Vec<u8>>> {
        self.start_reading()?;
        match self.events.try_recv() {
            Ok(Event::Frame(payload)) => Ok(Some(payload)),
            Ok(Event::Closed(error)) => Err(closed(error)),
            Ok(Event::Interrupt | Event::Terminated) => {
                Err(ToolError::failed("interrupted; nothing of it is left in dom0"))
            }
            Ok(Event::Typed(_) | Event::Resized) | Err(_) => Ok(None),
        }
    }

    /// The next event; `None` when the time is over.
    fn next(&mut self, limit: Option<Duration>) -> Result<Option<Event>> {
        self.start_reading()?;
        let event = match limit {
            Some(limit) => self.events.recv_timeout(limit),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(lost(&"no more events")),
        }
    }

    fn start_reading(&mut self) -> Result<()> {
        if self.is_reading {
            return Ok(());
        }
        self.is_reading = true;
        let (mut incoming, sender) = (self.link.reader()?, self.sender.clone());
        thread::spawn(move || loop {
            let event = match incoming.next() {
                Ok(Some(payload)) => Event::Frame(payload),
                Ok(None) => Event::Closed(None),
                Err(error) => Event::Closed(Some(error)),
            };
            let is_over = matches!(event, Event::Closed(_));
            if sender.send(event).is_err() || is_over {
                return;
            }
        });
        Ok(())
    }
}

/// The reply in a frame.
///
/// # Errors
/// It is none.
pub fn read(payload: &[u8]) -> Result<Reply<'_>> {
    decode(payload)
        .map_err(|error| unreachable(format!("dom0 sent {error}; use one tree for both")))
}

/// A reply that does not belong here.
pub fn unexpected(reply: &Reply<'_>) -> ToolError {
    match reply {
        Reply::Failed { status, text } => {
            ToolError { status: Status::from_number(*status), text: (*text).to_string() }
        }
        _ => unreachable("dom0 answered something else than was asked; use one tree for both"),
    }
}

fn closed(error: Option<io::Error>) -> ToolError {
    match error {
        Some(error) => lost(&error),
        None => lost(&"dom0 closed it"),
    }
}

/// Writes what came. In raw mode the terminal still turns a line feed into a new line.
fn put(to: &mut (impl Write + IsTerminal), bytes: &[u8]) -> Result<()> {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    written.map_err(|error| ToolError::failed(format!("the output cannot be written: {error}")))
}
