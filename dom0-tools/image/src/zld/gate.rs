//! The handshake on a connection, with its bounds of time.

use super::DOORMAN;
use alloc::vec::Vec;
use pvkernel_core::net::{NetError, TcpStream};
use pvkernel_xen::{thread, time};
use zl_client::handshake::{refuse, Refusal, Server};

/// How long an answer to a stranger may take to be sent.
const ANSWER_LIMIT_NS: u64 = 500_000_000;

/// How often a stranger that says nothing is looked at: others may be waiting for its place.
const LOOK_NS: u64 = 250_000_000;

/// Tells a connection that there is no place for it.
pub fn turn_away(link: &TcpStream) {
    let mut out = Vec::new();
    refuse(Refusal::Busy, &mut out);
    say_and_end(link, &out);
}

/// Waits for the proof of the other end; false when the connection is to be dropped.
pub fn pass(link: &TcpStream, server: &mut Server) -> bool {
    let begun_ns = time::now_ns();
    loop {
        let mut out = Vec::new();
        let byte = match next_byte(link, begun_ns) {
            Ok(byte) => byte,
            Err(NetError::TimedOut) => {
                refuse(Refusal::Late, &mut out);
                say_and_end(link, &out);
                return false;
            }
            Err(_) => return false,
        };
        server.push(&[byte]);
        let taken = server.take(&mut out).map(|frame| frame.is_some());
        if let Err(refusal) = taken {
            if refusal == Refusal::Token {
                let delay_ns = DOORMAN.lock().failed(time::now_ns());
                thread::sleep_ns(delay_ns);
            }
            say_and_end(link, &out);
            return false;
        }
        let limit_ns = Some(time::now_ns() + ANSWER_LIMIT_NS);
        if link.write_all(&out, limit_ns).is_err() {
            return false;
        }
        if server.is_open() {
            return true;
        }
    }
}

/// Byte for byte, so that what follows the handshake is left to the session. How long a stranger is
/// waited for depends on who else comes meanwhile.
fn next_byte(link: &TcpStream, begun_ns: u64) -> Result<u8, NetError> {
    let mut byte = [0; 1];
    loop {
        let limit_ns = begun_ns + DOORMAN.lock().patience_ns();
        let now_ns = time::now_ns();
        match link.read(&mut byte, Some(limit_ns.min(now_ns + LOOK_NS))) {
            Ok(1..) => return Ok(byte[0]),
            Ok(0) => return Err(NetError::Closed),
            Err(NetError::TimedOut) if now_ns < limit_ns => {}
            Err(error) => return Err(error),
        }
    }
}

fn say_and_end(link: &TcpStream, out: &[u8]) {
    let limit_ns = Some(time::now_ns() + ANSWER_LIMIT_NS);
    // A stranger that does not listen misses nothing.
    let _ = link.write_all(out, limit_ns);
    link.shutdown();
    let _ = link.drain(limit_ns);
}
