//! Waiting for TCP connections.
//!
//! smoltcp has no queue behind a port: a listener keeps some sockets ready, and a new one takes the
//! place of each that was accepted as soon as there is room for it. A connection that comes when all
//! are taken is refused.

use alloc::vec::Vec;
use core::net::SocketAddrV4;
use core::task::Waker;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State as TcpState};
use smoltcp::time::Duration;

use super::config::NetError;
use super::signal::Signal;
use super::stack::Stack;
use super::state::State;
use super::tcp::{address, TcpOptions, TcpStream};

/// How long a connection may take to be made.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A listener as the stack's state knows it.
pub struct Listening {
    port: u16,
    options: TcpOptions,
    backlog: usize,
    ready: Vec<SocketHandle>,
    waker: Waker,
}

/// A connection before anybody has it.
type Accepted = (SocketHandle, SocketAddrV4, SocketAddrV4);

/// A port that accepts connections.
pub struct TcpListener {
    stack: &'static Stack,
    port: u16,
    signal: Signal,
}

impl TcpListener {
    /// Listens at a port; `backlog` connections may wait to be accepted.
    ///
    /// # Errors
    /// `InUse`, `BadAddress` for port 0, `TooManySockets`, `NoMemory`.
    pub fn bind(
        stack: &'static Stack,
        port: u16,
        backlog: usize,
        options: TcpOptions,
    ) -> Result<Self, NetError> {
        let signal = Signal::new(stack.kernel);
        let (backlog, waker) = (backlog.max(1), signal.waker().clone());
        let listening = Listening { port, options, backlog, ready: Vec::new(), waker };
        stack.change(|state| state.listen(listening))?;
        Ok(Self { stack, port, signal })
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn accept(&self, deadline_ns: Option<u64>) -> Result<TcpStream, NetError> {
        self.accept_unless(deadline_ns, &|| false)
    }

    /// Waits for a connection, unless `give_up` becomes true and its thread is woken; that is `TimedOut`.
    ///
    /// # Errors
    /// As `accept`.
    pub fn accept_unless(
        &self,
        deadline_ns: Option<u64>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<TcpStream, NetError> {
        let attempt = || self.stack.attempt(|state| state.accept(self.port));
        let accepted = self.signal.wait_unless(deadline_ns, give_up, attempt);
        let (handle, local, peer) = accepted.ok_or(NetError::TimedOut)?;
        Ok(TcpStream::accepted(self.stack, handle, local, peer))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.stack.change(|state| state.stop_listening(self.port));
    }
}

impl Listening {
    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn socket(&self) -> Result<Socket<'static>, NetError> {
        let mut socket = self.options.socket()?;
        socket.set_timeout(Some(HANDSHAKE));
        socket.listen(self.port).map_err(|_| NetError::BadAddress)?;
        socket.register_recv_waker(&self.waker);
        Ok(socket)
    }
}

impl State {
    fn listen(&mut self, listening: Listening) -> Result<(), NetError> {
        let port = listening.port;
        if self.listeners.iter().any(|other| other.port == port) {
            return Err(NetError::InUse);
        }
        self.listeners.push(listening);
        let filled = self.refill();
        if filled.is_err() {
            self.stop_listening(port);
        }
        filled
    }

    fn stop_listening(&mut self, port: u16) {
        let Some(at) = self.listeners.iter().position(|listening| listening.port == port) else {
            return;
        };
        for handle in self.listeners.remove(at).ready {
            self.cut(handle);
        }
    }

    /// Puts sockets where listeners miss some.
    pub fn refill(&mut self) -> Result<(), NetError> {
        for at in 0..self.listeners.len() {
            while let Some(listening) = self.listeners.get(at) {
                if listening.ready.len() >= listening.backlog {
                    break;
                }
                let socket = listening.socket()?;
                let handle = self.add(socket)?;
                if let Some(listening) = self.listeners.get_mut(at) {
                    listening.ready.push(handle);
                }
            }
        }
        Ok(())
    }

    /// Takes a connection that was made; listens again where one failed.
    fn accept(&mut self, port: u16) -> Option<Accepted> {
        let listening = self.listeners.iter_mut().find(|listening| listening.port == port)?;
        let mut found = None;
        for (at, handle) in listening.ready.iter().enumerate() {
            let socket = self.sockets.get_mut::<Socket>(*handle);
            match socket.state() {
                TcpState::Listen | TcpState::SynReceived | TcpState::SynSent => {}
                TcpState::Closed => {
                    // The port is not 0 and the socket is closed: it can listen.
                    let _ = socket.listen(port);
                }
                _ => {
                    let ends = socket.local_endpoint().zip(socket.remote_endpoint());
                    found = ends.map(|(local, peer)| (at, address(local), address(peer)));
                    break;
                }
            }
            socket.register_recv_waker(&listening.waker);
        }
        let (at, local, peer) = found?;
        let handle = listening.ready.swap_remove(at);
        // Without room now, the place is filled when a socket goes.
        let _ = self.refill();
        Some((handle, local, peer))
    }
}
