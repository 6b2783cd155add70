//! TCP sockets whose owner is gone.
//!
//! What was written is still sent and the end is said properly, within a bounded time; what comes is
//! thrown away. Then the connection is cut. Their number is bounded, too: the oldest gives way.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State as TcpState};

use super::state::State;

/// How long a connection may take to end.
const CLOSE_NS: u64 = 20_000_000_000;
/// How long one that was cut may take to say so.
const RESET_NS: u64 = 1_000_000_000;
/// How long one that has ended on both sides answers repeated ends. TCP asks for minutes; this long
/// covers a lost acknowledgement on the networks we have, and the memory is free soon.
const TIME_WAIT_NS: u64 = 500_000_000;
/// Most connections that end in the background.
const MAX_ORPHANS: usize = 32;

/// A connection that ends by itself.
pub struct Orphan {
    handle: SocketHandle,
    /// When it is cut.
    pub until_ns: u64,
    is_waiting: bool,
}

impl State {
    /// Ends a connection in the background.
    pub fn adopt(&mut self, handle: SocketHandle, now_ns: u64) {
        let socket = self.sockets.get_mut::<Socket>(handle);
        socket.close();
        if has_ended(socket) {
            self.sockets.remove(handle);
        } else {
            let is_cut = socket.state() == TcpState::Closed;
            let limit_ns = if is_cut { RESET_NS } else { CLOSE_NS };
            if self.orphans.len() >= MAX_ORPHANS {
                self.forget_oldest_orphan();
            }
            let until_ns = now_ns.saturating_add(limit_ns);
            self.orphans.push(Orphan { handle, until_ns, is_waiting: false });
        }
        // What cannot be filled now is filled when the next socket goes.
        let _ = self.refill();
    }

    /// Cuts the connection that has been ending for the longest time; false when there is none.
    pub fn forget_oldest_orphan(&mut self) -> bool {
        if self.orphans.is_empty() {
            return false;
        }
        let orphan = self.orphans.remove(0);
        self.cut(orphan.handle);
        true
    }

    /// Frees the connections that have ended and cuts those whose time is over.
    pub fn reap(&mut self, now_ns: u64) {
        let (mut at, before) = (0, self.orphans.len());
        while let Some(orphan) = self.orphans.get_mut(at) {
            let socket = self.sockets.get_mut::<Socket>(orphan.handle);
            discard(socket);
            if socket.state() == TcpState::TimeWait && !orphan.is_waiting {
                orphan.is_waiting = true;
                orphan.until_ns = orphan.until_ns.min(now_ns.saturating_add(TIME_WAIT_NS));
            }
            let is_over = now_ns >= orphan.until_ns;
            if is_over || has_ended(socket) {
                let orphan = self.orphans.remove(at);
                self.cut(orphan.handle);
            } else {
                at += 1;
            }
        }
        if self.orphans.len() < before {
            let _ = self.refill();
        }
    }

    /// Removes a socket; the other side is told if the connection was alive.
    pub fn cut(&mut self, handle: SocketHandle) {
        let socket = self.sockets.get_mut::<Socket>(handle);
        if !matches!(socket.state(), TcpState::Closed | TcpState::TimeWait | TcpState::Listen) {
            socket.abort();
            self.send_last();
        }
        self.sockets.remove(handle);
    }

    /// One round over the sockets, for the reset of one that is about to go.
    fn send_last(&mut self) {
        // Whether it got out is the network's business, as with any frame.
        let _ = self.iface.poll_egress(self.now, &mut self.phy, &mut self.sockets);
    }
}

/// Whether nothing will be sent any more: one that was cut off has a last frame to send as long as it
/// knows the other side.
fn has_ended(socket: &Socket<'_>) -> bool {
    socket.state() == TcpState::Closed && socket.remote_endpoint().is_none()
}

/// Throws away what nobody will read, so that the other side can say its end.
fn discard(socket: &mut Socket<'_>) {
    while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|len| len > 0) {}
}
