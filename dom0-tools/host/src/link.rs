//! The connection to the control domain.
//!
//! [`Link::open`] connects to the loopback port and goes through the handshake; nothing is sent to an
//! end that has not proven that it knows the token. Afterwards frames go out through [`Link::send`],
//! and what comes in is read by whoever owns [`Link::reader`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use zl_client::frame::{LONGEST, LONGEST_GREETING};
use zl_client::handshake::{Client, Refusal};
use zl_client::{encode, Frames, Request};

use crate::run_file::{random, Run};
use crate::{unreachable, Result};

/// How long a control domain that boots may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one attempt may take; QEMU accepts before the control domain does.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long to wait for a place among the connections.
const CROWDED: Duration = Duration::from_secs(5);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection whose ends know each other.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// What came behind the handshake.
    frames: Frames,
}

/// Why an attempt failed.
enum Failed {
    /// There is no use in trying again.
    Refused(Refusal),
    /// The control domain may not be ready yet.
    Io(io::Error),
}

impl Link {
    /// Connects to a run. A control domain that still boots is waited for.
    ///
    /// # Errors
    /// One line with what to try.
    pub fn open(run: &Run) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, run.port));
        let begun = Instant::now();
        let limit = begun + PATIENCE;
        loop {
            let error = match attempt(address, run) {
                Ok(link) => return Ok(link),
                // Others come and go, as in a script that starts many at a time.
                Err(Failed::Refused(Refusal::Busy | Refusal::Late))
                    if begun.elapsed() < CROWDED =>
                {
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(Failed::Refused(refusal)) => return Err(unreachable(refusal.to_string())),
                Err(Failed::Io(error)) => error,
            };
            if error.kind() == ErrorKind::ConnectionRefused {
                let file = run.file.display();
                let text = format!("nobody listens at {address}; the run of {file} has ended");
                return Err(unreachable(text));
            }
            if Instant::now() >= limit {
                let text = format!("dom0 does not answer at {address} ({error}); does it run?");
                return Err(unreachable(text));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The connection is over, or the request is too long.
    pub fn send(&mut self, request: &Request<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        encode(request, &mut bytes).map_err(|error| unreachable(format!("request: {error}")))?;
        self.stream.write_all(&bytes).map_err(|error| lost(&error))
    }

    /// The incoming half, for a thread of its own.
    ///
    /// # Errors
    /// The host has no handle left.
    pub fn reader(&mut self) -> Result<Incoming> {
        let stream = self.stream.try_clone().map_err(|error| lost(&error))?;
        let frames = std::mem::replace(&mut self.frames, Frames::new(LONGEST));
        Ok(Incoming { stream, frames, bytes: vec![0; 64 << 10], held: 0..0 })
    }
}

/// The connection ended in the middle.
pub fn lost(error: &dyn std::fmt::Display) -> zl_toolstack::ToolError {
    unreachable(format!("the connection to dom0 is lost ({error}); see its terminal"))
}

fn attempt(address: SocketAddr, run: &Run) -> std::result::Result<Link, Failed> {
    let mut stream = TcpStream::connect_timeout(&address, ATTEMPT).map_err(Failed::Io)?;
    stream.set_read_timeout(Some(ATTEMPT)).map_err(Failed::Io)?;
    stream.set_nodelay(true).map_err(Failed::Io)?;
    let mut out = Vec::new();
    let nonce = random().map_err(Failed::Io)?;
    let mut client = Client::new(run.token.clone(), nonce, &mut out);
    let mut frames = Frames::new(LONGEST_GREETING);
    let mut byte = [0; 1];
    while !client.is_done() {
        stream.write_all(&out).map_err(Failed::Io)?;
        out.clear();
        // Byte for byte, so that nothing behind the handshake is taken.
        stream.read_exact(&mut byte).map_err(Failed::Io)?;
        frames.push(&byte);
        let frame = frames.take().map_err(|_| Failed::Refused(Refusal::Nonsense))?;
        if let Some(payload) = frame {
            client.take(payload, &mut out).map_err(Failed::Refused)?;
        }
    }
    stream.set_read_timeout(None).map_err(Failed::Io)?;
    Ok(Link { stream, frames: Frames::new(LONGEST) })
}

/// What comes from the control domain, frame by frame.
#[derive(Debug)]
pub struct Incoming {
    stream: TcpStream,
    frames: Frames,
    bytes: Vec<u8>,
    /// What was read and does not fit the frame in work.
    held: std::ops::Range<usize>,
}

impl Incoming {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// The connection broke, or the bytes are no frames.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let taken = self.frames.take().map_err(io::Error::other)?;
            if let Some(payload) = taken {
                return Ok(Some(payload.to_vec()));
            }
            if self.held.is_empty() {
                let count = self.stream.read(&mut self.bytes)?;
                if count == 0 {
                    return Ok(None);
                }
                self.held = 0..count;
            }
            let held = self.bytes.get(self.held.clone()).unwrap_or(&[]);
            self.held.start += self.frames.push(held);
        }
    }
}
