//! Connections: a thread for each, up to a bound; requests on each, one after another.
//!
//! A request must be there within `REQUEST_NS` of its first byte and an idle connection is closed after
//! `IDLE_NS`, so slow clients cost a thread for a bounded time only. Beyond `MAX_CONNECTIONS` the
//! answer is 503.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pvkernel_core::net::{NetError, Stack, TcpListener, TcpOptions, TcpStream};
use zl_toolstack::archive::Archive;

use super::facts::{FactSource, Facts};
use super::page::facts_page;
use super::request::{parse, Parsed, Request, MAX_HEAD};
use super::response::{kind_of, Response};

/// Connections served at once.
pub const MAX_CONNECTIONS: usize = 24;
/// Requests on one connection.
const MAX_REQUESTS: u32 = 1000;
const REQUEST_NS: u64 = 10_000_000_000;
const IDLE_NS: u64 = 15_000_000_000;
const ANSWER_NS: u64 = 30_000_000_000;

/// What all connections share.
pub struct Site {
    source: &'static dyn FactSource,
    files: Archive<'static>,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Site {
    /// A site with the facts of `source` and the files of a ramdisk.
    #[must_use]
    pub fn new(source: &'static dyn FactSource, files: Archive<'static>) -> Arc<Self> {
        let (requests, connections) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { source, files, requests, connections })
    }

    fn facts(&self) -> Facts {
        let mut facts = self.source.facts();
        facts.requests = self.requests.load(Ordering::Relaxed);
        facts.connections = self.connections.load(Ordering::Relaxed);
        facts
    }

    fn answer(&self, path: &str) -> Response<'_> {
        let page = |kind, text: alloc::string::String| Response {
            status: 200,
            kind,
            body: Cow::Owned(text.into_bytes()),
        };
        match path {
            "/" | "/index.html" => {
                let names = self.files.files().map(|(name, _)| name);
                page("text/html; charset=utf-8", facts_page(&self.facts(), names))
            }
            "/status.json" => page("application/json", self.facts().to_json()),
            _ => match path.strip_prefix('/').and_then(|name| self.files.get(name)) {
                Some(data) => {
                    Response { status: 200, kind: kind_of(path), body: Cow::Borrowed(data) }
                }
                None => Response::error(404),
            },
        }
    }
}

/// Listens at a port.
///
/// # Errors
/// What prevents it.
pub fn listen(stack: &'static Stack, port: u16) -> Result<TcpListener, NetError> {
    let options = TcpOptions { receive: 16 << 10, send: 64 << 10 };
    TcpListener::bind(stack, port, 8, options)
}

/// Serves a site for ever.
///
/// # Errors
/// What prevents listening.
pub fn serve(
    stack: &'static Stack,
    listener: &TcpListener,
    site: &Arc<Site>,
) -> Result<(), NetError> {
    loop {
        let stream = listener.accept(None)?;
        let site = Arc::clone(site);
        if site.connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS as u64 {
            turn_away(&stream);
            continue;
        }
        site.connections.fetch_add(1, Ordering::Relaxed);
        let its_site = Arc::clone(&site);
        let body = move || {
            let mut connection = Connection { stream, bytes: Vec::new() };
            // However the connection ends, there is nobody to tell.
            let _ = connection.run(&its_site);
            its_site.connections.fetch_sub(1, Ordering::Relaxed);
        };
        if stack.kernel().spawn("page", body).is_err() {
            // The stream went with the body that could not be started.
            site.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Says that there are too many, without waiting.
fn turn_away(stream: &TcpStream) {
    let answer = Response::error(503).bytes(false, false);
    let _ = stream.write(&answer, Some(0));
    stream.shutdown();
}

struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    fn run(&mut self, site: &Site) -> Result<(), NetError> {
        for _ in 0..MAX_REQUESTS {
            let request = match self.request()? {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(status) => {
                    site.requests.fetch_add(1, Ordering::Relaxed);
                    self.say(&Response::error(status), false, false)?;
                    return self.part();
                }
            };
            site.requests.fetch_add(1, Ordering::Relaxed);
            let answer = site.answer(&request.path);
            self.say(&answer, request.is_head, request.keeps_alive)?;
            if !request.keeps_alive {
                return self.part();
            }
        }
        self.part()
    }

    /// The next request; `None` when the client has no more, a status when it is none.
    fn request(&mut self) -> Result<Result<Option<Request>, u16>, NetError> {
        let mut deadline_ns = self.stream.within(match self.bytes.is_empty() {
            true => IDLE_NS,
            false => REQUEST_NS,
        });
        loop {
            match parse(&self.bytes) {
                Parsed::Refused(status) => return Ok(Err(status)),
                Parsed::Complete(request) => return self.take(request, deadline_ns),
                Parsed::Partial => {}
            }
            let was_idle = self.bytes.is_empty();
            match self.more(deadline_ns) {
                Ok(0) => return Ok(Ok(None)),
                Ok(_) if was_idle => deadline_ns = self.stream.within(REQUEST_NS),
                Ok(_) => {}
                Err(NetError::TimedOut) if was_idle => return Ok(Ok(None)),
                Err(NetError::TimedOut) => return Ok(Err(408)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a request and its body off what came.
    fn take(
        &mut self,
        request: Request,
        deadline_ns: Option<u64>,
    ) -> Result<Result<Option<Request>, u16>, NetError> {
        let end = request.head_len.saturating_add(request.body_len as usize);
        while self.bytes.len() < end {
            match self.more(deadline_ns) {
                Ok(0) => return Ok(Ok(None)),
                Ok(_) => {}
                Err(NetError::TimedOut) => return Ok(Err(408)),
                Err(error) => return Err(error),
            }
        }
        self.bytes.drain(..end);
        Ok(Ok(Some(request)))
    }

    fn more(&mut self, deadline_ns: Option<u64>) -> Result<usize, NetError> {
        let mut part = [0; MAX_HEAD / 4];
        let len = self.stream.read(&mut part, deadline_ns)?;
        self.bytes.extend_from_slice(part.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn say(
        &self,
        response: &Response<'_>,
        is_head: bool,
        keeps_alive: bool,
    ) -> Result<(), NetError> {
        let bytes = response.bytes(is_head, keeps_alive);
        self.stream.write_all(&bytes, self.stream.within(ANSWER_NS))
    }

    /// Ends the connection so that the last answer arrives: what still comes is read for a while.
    fn part(&mut self) -> Result<(), NetError> {
        self.stream.shutdown();
        let deadline_ns = self.stream.within(REQUEST_NS / 10);
        for _ in 0..16 {
            self.bytes.clear();
            if self.more(deadline_ns)? == 0 {
                break;
            }
        }
        Ok(())
    }
}
