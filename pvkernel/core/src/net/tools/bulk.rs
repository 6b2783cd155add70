//! How fast TCP is: a server that swallows or makes bytes, and its client.
//!
//! The client says in a line what it wants: `SINK` (it sends; the server answers with the number of
//! bytes when the end has come) or `SOURCE n` (the server sends so many). The time runs until the last
//! byte is known to have arrived.

use alloc::format;
use alloc::vec;
use core::fmt;
use core::net::SocketAddrV4;

use crate::net::{NetError, Stack, TcpListener, TcpOptions, TcpStream};

/// Bytes given to the stack at a time.
const PIECE: usize = 128 << 10;
/// How long the other side may be silent.
const SILENCE_NS: u64 = 20_000_000_000;
/// Longest line of a client.
const LINE: usize = 64;
/// Connections served at once.
const CLIENTS: usize = 8;

/// How a transfer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Bytes that arrived.
    pub bytes: u64,
    /// The time they took.
    pub took_ns: u64,
}

impl Speed {
    /// Millions of bits a second.
    #[must_use]
    pub fn mbit_s(&self) -> u64 {
        let bits = u128::from(self.bytes) * 8 * 1_000;
        (bits / u128::from(self.took_ns.max(1))) as u64
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.took_ns / 1_000;
        write!(f, "tcp: {} bytes in {us} us, {} Mbit/s", self.bytes, self.mbit_s())
    }
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Send,
    /// From the server to the client.
    Receive,
}

/// Moves bytes to or from a server and measures it.
///
/// # Errors
/// Those of the connection; `Reset` when the server counted other bytes than were sent.
pub fn run(
    stack: &'static Stack,
    server: SocketAddrV4,
    way: Way,
    bytes: u64,
    options: TcpOptions,
) -> Result<Speed, NetError> {
    let kernel = stack.kernel();
    let soon = || Some(kernel.now_ns().saturating_add(SILENCE_NS));
    let stream = TcpStream::connect(stack, server, options, soon())?;
    let begin_ns = kernel.now_ns();
    let arrived = match way {
        Way::Send => {
            stream.write_all(b"SINK\n", soon())?;
            pour(&stream, bytes)?;
            stream.shutdown();
            let mut answer = [0; LINE];
            let len = stream.read_full(&mut answer, soon())?;
            number(answer.get(..len).unwrap_or_default()).ok_or(NetError::Reset)?
        }
        Way::Receive => {
            stream.write_all(format!("SOURCE {bytes}\n").as_bytes(), soon())?;
            swallow(&stream)?
        }
    };
    let took_ns = kernel.now_ns() - begin_ns;
    if arrived != bytes {
        return Err(NetError::Reset);
    }
    Ok(Speed { bytes, took_ns })
}

fn number(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn pour(stream: &TcpStream, mut bytes: u64) -> Result<(), NetError> {
    let piece = vec![0x5a; PIECE];
    while bytes > 0 {
        let len = bytes.min(PIECE as u64) as usize;
        stream.write_all(piece.get(..len).unwrap_or_default(), stream.within(SILENCE_NS))?;
        bytes -= len as u64;
    }
    Ok(())
}

fn swallow(stream: &TcpStream) -> Result<u64, NetError> {
    let mut piece = vec![0; PIECE];
    let mut sum = 0;
    loop {
        match stream.read(&mut piece, stream.within(SILENCE_NS))? {
            0 => return Ok(sum),
            len => sum += len as u64,
        }
    }
}

/// Serves clients at a port until `is_over`, each in a thread of its own.
///
/// # Errors
/// What prevents listening.
pub fn serve(
    stack: &'static Stack,
    port: u16,
    options: TcpOptions,
    is_over: &dyn Fn() -> bool,
) -> Result<(), NetError> {
    let listener = TcpListener::bind(stack, port, 2, options)?;
    let clients = alloc::sync::Arc::new(());
    while !is_over() {
        let stream = listener.accept(None)?;
        if alloc::sync::Arc::strong_count(&clients) > CLIENTS {
            stream.abort();
            continue;
        }
        let place = alloc::sync::Arc::clone(&clients);
        let body = move || {
            // Errors end the connection, which is all there is to do about them.
            let _ = answer(&stream);
            drop((stream, place));
        };
        stack.kernel().spawn("bulk", body).map_err(|_| NetError::NoMemory)?;
    }
    Ok(())
}

fn answer(stream: &TcpStream) -> Result<(), NetError> {
    let mut line = [0; LINE];
    let mut len = 0;
    while !line.get(..len).unwrap_or_default().ends_with(b"\n") {
        let Some(next) = line.get_mut(len..=len) else { return Err(NetError::Reset) };
        if stream.read(next, stream.within(SILENCE_NS))? == 0 {
            return Ok(());
        }
        len += 1;
    }
    let line = line.get(..len).unwrap_or_default();
    if line == b"SINK\n" {
        let sum = swallow(stream)?;
        stream.write_all(format!("{sum}\n").as_bytes(), stream.within(SILENCE_NS))?;
    } else if let Some(bytes) = line.strip_prefix(b"SOURCE ").and_then(number) {
        pour(stream, bytes)?;
    } else {
        stream.write_all(b"SINK or SOURCE n was expected\n", stream.within(SILENCE_NS))?;
    }
    stream.shutdown();
    stream.drain(stream.within(SILENCE_NS))
}
