//! A TCP connection, for threads.
//!
//! Reading and writing may be done by two threads at once. What is written goes out at once (no Nagle),
//! so write whole messages. Dropping the stream closes it in the background.

use core::net::SocketAddrV4;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State as TcpState};
use smoltcp::time::Duration;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::config::{can_reach, NetError};
use super::signal::Signal;
use super::stack::Stack;
use super::state::{buffer, State};

/// How long the other side may be silent when it ought to answer.
const SILENCE: Duration = Duration::from_secs(90);
/// After which idle time it is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A writer that waits is woken when this part of the buffer is free, not for every byte.
const WRITE_PART: usize = 4;

/// The size of a connection's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Bytes that may arrive before they are read; the window offered.
    pub receive: usize,
    /// Bytes that may be written before they are acknowledged.
    pub send: usize,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { receive: 32 << 10, send: 32 << 10 }
    }
}

impl TcpOptions {
    /// For bulk transfers over cards with large frames: not more than the pages a guest gives its card to
    /// receive into, so that a whole window arrives without loss.
    #[must_use]
    pub const fn large() -> Self {
        Self { receive: 512 << 10, send: 512 << 10 }
    }

    pub(super) fn socket(self) -> Result<Socket<'static>, NetError> {
        let receive = self.receive.clamp(1 << 10, 16 << 20);
        let send = self.send.clamp(1 << 10, 16 << 20);
        let mut socket =
            Socket::new(SocketBuffer::new(buffer(receive)?), SocketBuffer::new(buffer(send)?));
        socket.set_nagle_enabled(false);
        Ok(socket)
    }
}

/// An address and port of smoltcp's as Rust's.
pub(super) fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let IpAddress::Ipv4(address) = endpoint.addr;
    SocketAddrV4::new(address, endpoint.port)
}

pub(super) fn endpoint(address: SocketAddrV4) -> IpEndpoint {
    IpEndpoint::new(IpAddress::Ipv4(*address.ip()), address.port())
}

/// A connection.
pub struct TcpStream {
    stack: &'static Stack,
    handle: SocketHandle,
    receive: Signal,
    send: Signal,
    local: SocketAddrV4,
    peer: SocketAddrV4,
}

impl TcpStream {
    /// Connects.
    ///
    /// # Errors
    /// `Refused`, `TimedOut` and what prevents an attempt.
    pub fn connect(
        stack: &'static Stack,
        peer: SocketAddrV4,
        options: TcpOptions,
        deadline_ns: Option<u64>,
    ) -> Result<Self, NetError> {
        Self::connect_unless(stack, peer, options, deadline_ns, &|| false)
    }

    /// Connects, unless `give_up` becomes true and its thread is woken; that is `TimedOut`.
    ///
    /// # Errors
    /// As `connect`.
    pub fn connect_unless(
        stack: &'static Stack,
        peer: SocketAddrV4,
        options: TcpOptions,
        deadline_ns: Option<u64>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Self, NetError> {
        let own = stack.address().ok_or(NetError::NoAddress)?;
        if peer.port() == 0 || !can_reach(own, *peer.ip()) {
            return Err(NetError::BadAddress);
        }
        let socket = options.socket()?;
        let (handle, port) = stack.change(|state| begin(state, socket, peer))?;
        let local = SocketAddrV4::new(own, port);
        let stream = Self::around(stack, handle, local, peer);
        let result = stream.send.wait_unless(deadline_ns, give_up, || {
            stream.attempt(|socket| match socket.state() {
                TcpState::SynSent | TcpState::SynReceived => {
                    socket.register_send_waker(stream.send.waker());
                    None
                }
                TcpState::Closed => Some(Err(NetError::Refused)),
                _ => Some(Ok(())),
            })
        });
        match result {
            Some(Ok(())) => {
                stream.settle();
                Ok(stream)
            }
            Some(Err(error)) => Err(error),
            None => {
                stream.abort();
                Err(NetError::TimedOut)
            }
        }
    }

    fn around(
        stack: &'static Stack,
        handle: SocketHandle,
        local: SocketAddrV4,
        peer: SocketAddrV4,
    ) -> Self {
        let (receive, send) = (Signal::new(stack.kernel), Signal::new(stack.kernel));
        Self { stack, handle, receive, send, local, peer }
    }

    /// A connection that a listener accepted.
    pub(super) fn accepted(
        stack: &'static Stack,
        handle: SocketHandle,
        local: SocketAddrV4,
        peer: SocketAddrV4,
    ) -> Self {
        let stream = Self::around(stack, handle, local, peer);
        stream.settle();
        stream
    }

    /// Notices from now on when the other side disappears.
    fn settle(&self) {
        self.stack.look(|state| {
            let socket = state.sockets.get_mut::<Socket>(self.handle);
            socket.set_timeout(Some(SILENCE));
            socket.set_keep_alive(Some(KEEP_ALIVE));
            // Waiting for more to acknowledge saves frames on a wire, and only time where there is none.
            if self.local.ip().is_loopback() {
                socket.set_ack_delay(None);
            }
        });
    }

    /// This side's address.
    #[must_use]
    pub const fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The other side's address.
    #[must_use]
    pub const fn peer(&self) -> SocketAddrV4 {
        self.peer
    }

    /// A deadline so many nanoseconds from now.
    #[must_use]
    pub fn within(&self, ns: u64) -> Option<u64> {
        Some(self.stack.kernel.now_ns().saturating_add(ns))
    }

    fn attempt<T>(&self, f: impl FnOnce(&mut Socket<'static>) -> Option<T>) -> Option<T> {
        self.stack.attempt(|state| f(state.sockets.get_mut::<Socket>(self.handle)))
    }

    /// Reads at least a byte; 0 means that the other side sends no more.
    ///
    /// # Errors
    /// `Reset`, `TimedOut`.
    pub fn read(&self, to: &mut [u8], deadline_ns: Option<u64>) -> Result<usize, NetError> {
        self.read_unless(to, deadline_ns, &|| false)
    }

    /// Reads, unless `give_up` becomes true and its thread is woken; that is `TimedOut`.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_unless(
        &self,
        to: &mut [u8],
        deadline_ns: Option<u64>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<usize, NetError> {
        if to.is_empty() {
            return Ok(0);
        }
        let result = self.receive.wait_unless(deadline_ns, give_up, || {
            self.attempt(|socket| match socket.recv_slice(to) {
                Ok(0) => {
                    socket.register_recv_waker(self.receive.waker());
                    None
                }
                Ok(len) => Some(Ok(len)),
                Err(RecvError::Finished) => Some(Ok(0)),
                Err(RecvError::InvalidState) => Some(Err(NetError::Reset)),
            })
        });
        result.unwrap_or(Err(NetError::TimedOut))
    }

    /// Reads exactly so many bytes; fewer when the other side sends no more.
    ///
    /// # Errors
    /// `Reset`, `TimedOut`.
    pub fn read_full(&self, to: &mut [u8], deadline_ns: Option<u64>) -> Result<usize, NetError> {
        let mut len = 0;
        while let Some(rest) = to.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.read(rest, deadline_ns)? {
                0 => break,
                more => len += more,
            }
        }
        Ok(len)
    }

    /// Writes at least a byte, as many as there is room for.
    ///
    /// # Errors
    /// `Closed` after `shutdown`, `Reset`, `TimedOut`.
    pub fn write(&self, from: &[u8], deadline_ns: Option<u64>) -> Result<usize, NetError> {
        self.write_unless(from, deadline_ns, &|| false)
    }

    /// Writes, unless `give_up` becomes true and its thread is woken; that is `TimedOut`.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_unless(
        &self,
        from: &[u8],
        deadline_ns: Option<u64>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<usize, NetError> {
        if from.is_empty() {
            return Ok(0);
        }
        let mut has_waited = false;
        let result = self.send.wait_unless(deadline_ns, give_up, || {
            self.attempt(|socket| {
                if !socket.may_send() {
                    return Some(Err(not_sending(socket)));
                }
                let free = socket.send_capacity().saturating_sub(socket.send_queue());
                let enough = from.len().min(socket.send_capacity() / WRITE_PART);
                if free == 0 || (has_waited && free < enough) {
                    has_waited = true;
                    socket.register_send_waker(self.send.waker());
                    return None;
                }
                Some(socket.send_slice(from).map_err(|_| NetError::Reset))
            })
        });
        result.unwrap_or(Err(NetError::TimedOut))
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As `write`; some of it may have been sent.
    pub fn write_all(&self, mut from: &[u8], deadline_ns: Option<u64>) -> Result<(), NetError> {
        while !from.is_empty() {
            let len = self.write(from, deadline_ns)?;
            from = from.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that this side sends no more, behind what was written.
    pub fn shutdown(&self) {
        let _ = self.attempt(|socket| {
            socket.close();
            Some(())
        });
    }

    /// Waits until the other side has everything that was written, and the end if it was said.
    ///
    /// # Errors
    /// `Reset`, `TimedOut`.
    pub fn drain(&self, deadline_ns: Option<u64>) -> Result<(), NetError> {
        let result = self.send.wait(deadline_ns, || {
            self.attempt(|socket| {
                let is_ending = matches!(
                    socket.state(),
                    TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck
                );
                if socket.send_queue() == 0 && !is_ending {
                    return Some(Ok(()));
                }
                if socket.state() == TcpState::Closed {
                    return Some(Err(NetError::Reset));
                }
                socket.register_send_waker(self.send.waker());
                None
            })
        });
        result.unwrap_or(Err(NetError::TimedOut))
    }

    /// Cuts the connection: what is on its way is lost, the other side sees a reset.
    pub fn abort(&self) {
        let _ = self.attempt(|socket| {
            socket.abort();
            Some(())
        });
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let now_ns = self.stack.kernel.now_ns();
        self.stack.change(|state| state.adopt(self.handle, now_ns));
    }
}

/// Why nothing can be sent.
fn not_sending(socket: &Socket<'_>) -> NetError {
    match socket.state() {
        TcpState::Closed | TcpState::Listen => NetError::Reset,
        _ => NetError::Closed,
    }
}

fn is_port_used(state: &State, port: u16) -> bool {
    state.listeners.iter().any(|listening| listening.port() == port)
        || state.sockets.iter().any(|(_, socket)| match socket {
            smoltcp::socket::Socket::Tcp(tcp) => {
                tcp.local_endpoint().is_some_and(|local| local.port == port)
            }
            _ => false,
        })
}

/// Sends the first packet.
fn begin(
    state: &mut State,
    socket: Socket<'static>,
    peer: SocketAddrV4,
) -> Result<(SocketHandle, u16), NetError> {
    let port = state.ephemeral_port(is_port_used).ok_or(NetError::InUse)?;
    let handle = state.add(socket)?;
    let socket = state.sockets.get_mut::<Socket>(handle);
    match socket.connect(state.iface.context(), endpoint(peer), port) {
        Ok(()) => Ok((handle, port)),
        Err(_) => {
            state.sockets.remove(handle);
            Err(NetError::BadAddress)
        }
    }
}
