//! IP for kernel threads: TCP, UDP, ping, DNS and DHCP on any `NetDevice`, by smoltcp.
//!
//! A program starts one `Stack` for each of its cards and keeps it for ever. Calls block the calling
//! thread, never the vCPU, and take a deadline in nanoseconds since boot (`None` waits for ever).
//!
//! How it runs: one thread (`net`) for each stack sleeps until the card has news or a protocol's timer
//! is due; idle stacks execute nothing. What a thread writes is sent by that thread itself, at once.
//! The state of the stack is behind one `Lock` that is held for single steps only, never across a
//! wait; sockets wake their waiters through smoltcp's wakers.
//!
//! What always holds: the number of sockets is bounded, those whose owner is gone included; a socket
//! that is dropped is closed in the background within a bounded time; no number that comes from the
//! network is trusted beyond smoltcp's own checks.
//!
//! What it does not do: IPv6, IP fragments, more than one address for a card, routing between cards.

mod config;
mod dhcp;
mod dns;
mod frame;
mod icmp;
mod orphan;
mod phy;
mod signal;
mod stack;
mod state;
mod status;
mod tcp;
mod tcp_listener;
pub mod tools;
mod udp;

#[cfg(any(test, feature = "hosted"))]
pub mod cable;
#[cfg(test)]
mod tests;

pub use config::{Addresses, Config, NetError, Source};
pub use icmp::{Echo, Pinger};
pub use phy::Traffic;
pub use stack::Stack;
pub use status::{SocketLine, Status};
pub use tcp::{TcpOptions, TcpStream};
pub use tcp_listener::TcpListener;
pub use udp::UdpSocket;
