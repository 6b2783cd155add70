//! The handshake on a connection, with its bounds of time.

use super::DOORMAN;
use alloc::vec::Vec;
use pvkernel_core::net::{NetError, TcpStream};
use pvkernel_xen::{thread, time};
use zl_client::doorman::PROOF_LIMIT_NS;
use zl_client::handshake::{refuse, Refusal, Server};

/// How long a refusal may take to be sent.
const REFUSAL_LIMIT_NS: u64 = 500_000_000;

/// Tells a connection that there is no place for it.
pub fn turn_away(link: &TcpStream) {
    let mut out = Vec::new();
    refuse(Refusal::Busy, &mut out);
    say_and_end(link, &out);
}

/// Waits for the proof of the other end; false when the connection is to be dropped.
pub fn pass(link: &TcpStream, server: &mut Server) -> bool {
    let limit_ns = time::now_ns() + PROOF_LIMIT_NS;
    let mut byte = [0; 1];
    loop {
        // Byte for byte, so that what follows the handshake is left to the session.
        let read = link.read(&mut byte, Some(limit_ns));
        let mut out = Vec::new();
        match read {
            Ok(1..) => {}
            Err(NetError::TimedOut) => {
                refuse(Refusal::Late, &mut out);
                say_and_end(link, &out);
                return false;
            }
            Ok(0) | Err(_) => return false,
        }
        server.push(&byte);
        let taken = server.take(&mut out).map(|frame| frame.is_some());
        if let Err(refusal) = taken {
            if refusal == Refusal::Token {
                let delay_ns = DOORMAN.lock().failed(time::now_ns());
                thread::sleep_ns(delay_ns);
            }
            say_and_end(link, &out);
            return false;
        }
        if link.write_all(&out, Some(limit_ns)).is_err() {
            return false;
        }
        if server.is_open() {
            return true;
        }
    }
}

fn say_and_end(link: &TcpStream, out: &[u8]) {
    let limit_ns = Some(time::now_ns() + REFUSAL_LIMIT_NS);
    // A stranger that does not listen misses nothing.
    let _ = link.write_all(out, limit_ns);
    link.shutdown();
    let _ = link.drain(limit_ns);
}
