//! Ping.
//!
//! A `Pinger` sends echo requests and tells of the answers to them, with the time each took. An answer
//! counts only if it carries what was sent. The stack itself answers the requests of others.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress};

use super::config::{can_reach, NetError};
use super::signal::Signal;
use super::stack::Stack;
use super::state::{buffer, State};
use crate::sync::Lock;

/// Bytes in front of an echo's payload.
const HEAD: usize = 8;
/// Bytes of the IP and ICMP heads.
const HEADS: usize = 28;
/// Requests of which the time is remembered.
const REMEMBERED: usize = 256;
/// Echoes that may wait in each direction.
const PACKETS: usize = 64;
/// Payloads above this make frames that are not small.
const LARGE: usize = 128;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Who answered.
    pub from: Ipv4Addr,
    /// The number of the request.
    pub sequence: u16,
    /// Bytes of payload.
    pub len: usize,
    /// The time since the request was sent.
    pub took_ns: u64,
}

/// Sends pings.
pub struct Pinger {
    stack: &'static Stack,
    handle: SocketHandle,
    ident: u16,
    len: usize,
    signal: Signal,
    sent_ns: Lock<Box<[Option<u64>; REMEMBERED]>>,
}

/// The payload of a request: the same for the same number.
fn pattern(sequence: u16, len: usize) -> impl Iterator<Item = u8> {
    (0..len).map(move |at| (at as u8).wrapping_add(sequence as u8))
}

/// smoltcp does not tell what a socket is bound to; the stack's list does.
fn is_ident_used(state: &State, ident: u16) -> bool {
    state.pingers.contains(&ident)
}

impl Pinger {
    /// A pinger whose requests carry `len` bytes.
    ///
    /// # Errors
    /// `TooLong`, `TooManySockets`, `NoMemory`.
    pub fn open(stack: &'static Stack, len: usize) -> Result<Self, NetError> {
        let mtu = stack.look(|state| state.phy.info().mtu);
        if len + HEADS > mtu {
            return Err(NetError::TooLong);
        }
        let bytes = (len + HEAD) * PACKETS.min(4 + 65_536 / (len + HEAD));
        let packets = |bytes| Ok(PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], bytes));
        let mut socket =
            Socket::new(buffer(bytes).and_then(packets)?, buffer(bytes).and_then(packets)?);
        let (handle, ident) = stack.look(|state| {
            let ident = state.ephemeral_port(is_ident_used).ok_or(NetError::InUse)?;
            socket.bind(Endpoint::Ident(ident)).map_err(|_| NetError::BadAddress)?;
            let handle = state.add(socket)?;
            state.pingers.push(ident);
            state.phy.pings_large |= len > LARGE;
            Ok((handle, ident))
        })?;
        let sent_ns = Lock::new(Box::new([None; REMEMBERED]));
        Ok(Self { stack, handle, ident, len, signal: Signal::new(stack.kernel), sent_ns })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// `NoAddress`, `BadAddress`; `TimedOut` when too many wait to be sent.
    pub fn send(&self, to: Ipv4Addr, sequence: u16) -> Result<(), NetError> {
        let own = self.stack.address().ok_or(NetError::NoAddress)?;
        if !can_reach(own, to) {
            return Err(NetError::BadAddress);
        }
        let data: Vec<u8> = pattern(sequence, self.len).collect();
        let request = Icmpv4Repr::EchoRequest { ident: self.ident, seq_no: sequence, data: &data };
        let slot = usize::from(sequence) % REMEMBERED;
        self.sent_ns.lock()[slot] = Some(self.stack.kernel.now_ns());
        self.stack.change(|state| {
            let socket = state.sockets.get_mut::<Socket>(self.handle);
            let room = socket.send(request.buffer_len(), IpAddress::Ipv4(to));
            let room = room.map_err(|_| NetError::TimedOut)?;
            request.emit(&mut Icmpv4Packet::new_unchecked(room), &ChecksumCapabilities::default());
            Ok(())
        })
    }

    /// Waits for an answer to any of the requests; each counts once.
    pub fn receive(&self, deadline_ns: Option<u64>) -> Option<Echo> {
        self.receive_unless(deadline_ns, &|| false)
    }

    fn receive_unless(&self, deadline_ns: Option<u64>, give_up: &dyn Fn() -> bool) -> Option<Echo> {
        let attempt = || self.stack.attempt(|state| self.take(state));
        self.signal.wait_unless(deadline_ns, give_up, attempt)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As `send`; `TimedOut`.
    pub fn ping(&self, to: Ipv4Addr, sequence: u16, timeout_ns: u64) -> Result<Echo, NetError> {
        self.ping_unless(to, sequence, timeout_ns, &|| false)
    }

    /// The same, unless `give_up` becomes true and its thread is woken; that is `TimedOut`.
    ///
    /// # Errors
    /// As `ping`.
    pub fn ping_unless(
        &self,
        to: Ipv4Addr,
        sequence: u16,
        timeout_ns: u64,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Echo, NetError> {
        self.send(to, sequence)?;
        let deadline_ns = self.stack.kernel.now_ns().saturating_add(timeout_ns);
        loop {
            let echo = self.receive_unless(Some(deadline_ns), give_up).ok_or(NetError::TimedOut)?;
            if echo.sequence == sequence {
                return Ok(echo);
            }
        }
    }

    fn take(&self, state: &mut State) -> Option<Echo> {
        let socket = state.sockets.get_mut::<Socket>(self.handle);
        while let Ok((bytes, IpAddress::Ipv4(from))) = socket.recv() {
            if let Some(echo) = self.read(bytes, from) {
                return Some(echo);
            }
        }
        socket.register_recv_waker(self.signal.waker());
        None
    }

    /// Understands an answer; `None` for what is none, or was answered before.
    fn read(&self, bytes: &[u8], from: Ipv4Addr) -> Option<Echo> {
        let packet = Icmpv4Packet::new_checked(bytes).ok()?;
        let repr = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::ignored()).ok()?;
        let Icmpv4Repr::EchoReply { ident, seq_no, data } = repr else { return None };
        let is_ours = ident == self.ident && data.iter().copied().eq(pattern(seq_no, self.len));
        if !is_ours {
            return None;
        }
        let slot = usize::from(seq_no) % REMEMBERED;
        let sent_ns = self.sent_ns.lock()[slot].take()?;
        let took_ns = self.stack.kernel.now_ns().saturating_sub(sent_ns);
        Some(Echo { from, sequence: seq_no, len: data.len(), took_ns })
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stack.look(|state| {
            state.sockets.remove(self.handle);
            state.pingers.retain(|ident| *ident != self.ident);
            state.phy.pings_large &= !state.pingers.is_empty();
        });
    }
}

impl Stack {
    /// Sends one ping of the usual size and waits for its answer.
    ///
    /// # Errors
    /// `TimedOut` and what prevents an attempt.
    pub fn ping(&'static self, to: Ipv4Addr, timeout_ns: u64) -> Result<Echo, NetError> {
        Pinger::open(self, 56)?.ping(to, 1, timeout_ns)
    }
}
