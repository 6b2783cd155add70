//! Datagrams.

use alloc::vec;
use core::net::SocketAddrV4;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, SendError, Socket};

use super::config::NetError;
use super::signal::Signal;
use super::stack::Stack;
use super::state::{buffer, State};
use super::tcp::{address, endpoint};

/// Datagrams that may wait, in each direction.
const PACKETS: usize = 32;
/// Bytes of them.
const BYTES: usize = 64 << 10;

/// A UDP port.
pub struct UdpSocket {
    stack: &'static Stack,
    handle: SocketHandle,
    port: u16,
    receive: Signal,
    send: Signal,
}

fn is_port_used(state: &State, port: u16) -> bool {
    state.sockets.iter().any(|(_, socket)| match socket {
        smoltcp::socket::Socket::Udp(udp) => udp.endpoint().port == port,
        _ => false,
    })
}

impl UdpSocket {
    /// Opens a port; 0 picks a free one.
    ///
    /// # Errors
    /// `InUse`, `TooManySockets`, `NoMemory`.
    pub fn bind(stack: &'static Stack, port: u16) -> Result<Self, NetError> {
        let packets = |bytes| Ok(PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], bytes));
        let mut socket =
            Socket::new(buffer(BYTES).and_then(packets)?, buffer(BYTES).and_then(packets)?);
        let (handle, port) = stack.look(|state| {
            let port = match port {
                0 => state.ephemeral_port(is_port_used),
                port => Some(port).filter(|port| !is_port_used(state, *port)),
            };
            let port = port.ok_or(NetError::InUse)?;
            socket.bind(port).map_err(|_| NetError::BadAddress)?;
            Ok((state.add(socket)?, port))
        })?;
        let (receive, send) = (Signal::new(stack.kernel), Signal::new(stack.kernel));
        Ok(Self { stack, handle, port, receive, send })
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn attempt<T>(&self, f: impl FnOnce(&mut Socket<'static>) -> Option<T>) -> Option<T> {
        self.stack.attempt(|state| f(state.sockets.get_mut::<Socket>(self.handle)))
    }

    /// Sends a datagram, or keeps it until the card has room.
    ///
    /// # Errors
    /// `BadAddress`, `TooLong`, `TimedOut` when there is no room in time.
    pub fn send_to(
        &self,
        bytes: &[u8],
        to: SocketAddrV4,
        deadline_ns: Option<u64>,
    ) -> Result<(), NetError> {
        let mtu = self.stack.look(|state| state.phy.info().mtu);
        if bytes.len() + 28 > mtu || bytes.len() > BYTES {
            return Err(NetError::TooLong);
        }
        let result = self.send.wait(deadline_ns, || {
            self.attempt(|socket| match socket.send_slice(bytes, endpoint(to)) {
                Ok(()) => Some(Ok(())),
                Err(SendError::Unaddressable) => Some(Err(NetError::BadAddress)),
                Err(SendError::BufferFull) => {
                    socket.register_send_waker(self.send.waker());
                    None
                }
            })
        });
        result.unwrap_or(Err(NetError::TimedOut))
    }

    /// Receives a datagram; what does not fit is cut off.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn receive_from(
        &self,
        to: &mut [u8],
        deadline_ns: Option<u64>,
    ) -> Result<(usize, SocketAddrV4), NetError> {
        let result = self.receive.wait(deadline_ns, || {
            self.attempt(|socket| {
                if let Ok((bytes, meta)) = socket.recv() {
                    let len = bytes.len().min(to.len());
                    to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                    return Some((len, address(meta.endpoint)));
                }
                socket.register_recv_waker(self.receive.waker());
                None
            })
        });
        result.ok_or(NetError::TimedOut)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.stack.look(|state| state.sockets.remove(self.handle));
    }
}
