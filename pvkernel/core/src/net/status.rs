//! What a stack is doing, for people.

use alloc::vec::Vec;
use core::net::SocketAddrV4;

use smoltcp::socket::Socket;

use super::config::{Addresses, Source};
use super::phy::Traffic;
use super::stack::Stack;
use super::tcp::address;
use crate::device::net::NetInfo;

/// A stack at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The card.
    pub card: NetInfo,
    /// The address, and where it came from.
    pub addresses: Option<(Addresses, Source)>,
    /// The sockets of programs.
    pub sockets: Vec<SocketLine>,
    /// TCP connections among them that end in the background.
    pub closing: usize,
    /// What went through the card.
    pub traffic: Traffic,
    /// Times the stack's thread did something.
    pub turns: u64,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketLine {
    /// `tcp`, `udp` or `icmp`.
    pub kind: &'static str,
    /// This side's port.
    pub port: u16,
    /// The other side.
    pub peer: Option<SocketAddrV4>,
    /// TCP's word for what it is doing.
    pub state: &'static str,
    /// Bytes that were received and not read.
    pub unread: usize,
    /// Bytes that were written and not acknowledged.
    pub unsent: usize,
}

impl Stack {
    /// What the stack is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.look(|state| Status {
            card: *state.phy.info(),
            addresses: state.current.clone(),
            sockets: state.sockets.iter().filter_map(|(_, socket)| line(socket)).collect(),
            closing: state.orphans.len(),
            traffic: state.phy.traffic,
            turns: state.turns,
        })
    }
}

fn line(socket: &Socket<'_>) -> Option<SocketLine> {
    let line = SocketLine { kind: "", port: 0, peer: None, state: "", unread: 0, unsent: 0 };
    match socket {
        Socket::Tcp(tcp) => Some(SocketLine {
            kind: "tcp",
            port: tcp.local_endpoint().map_or(tcp.listen_endpoint().port, |local| local.port),
            peer: tcp.remote_endpoint().map(address),
            state: tcp_state(tcp.state()),
            unread: tcp.recv_queue(),
            unsent: tcp.send_queue(),
        }),
        Socket::Udp(udp) => Some(SocketLine {
            kind: "udp",
            port: udp.endpoint().port,
            unread: udp.recv_queue(),
            unsent: udp.send_queue(),
            ..line
        }),
        Socket::Icmp(icmp) => Some(SocketLine {
            kind: "icmp",
            unread: icmp.recv_queue(),
            unsent: icmp.send_queue(),
            ..line
        }),
        Socket::Dhcpv4(_) | Socket::Dns(_) => None,
    }
}

const fn tcp_state(state: smoltcp::socket::tcp::State) -> &'static str {
    use smoltcp::socket::tcp::State as S;
    match state {
        S::Closed => "closed",
        S::Listen => "listen",
        S::SynSent => "syn-sent",
        S::SynReceived => "syn-received",
        S::Established => "established",
        S::FinWait1 => "fin-wait-1",
        S::FinWait2 => "fin-wait-2",
        S::CloseWait => "close-wait",
        S::Closing => "closing",
        S::LastAck => "last-ack",
        S::TimeWait => "time-wait",
    }
}
