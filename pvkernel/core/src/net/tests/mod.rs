//! Stacks on a fake cable, on the fake machine: what threads see of the network.

mod configured;
mod endings;
mod files;
mod loopback;
mod packets;
mod tooling;
mod transfers;

use core::net::{Ipv4Addr, SocketAddrV4};
use std::boxed::Box;

use super::cable::{self, End, Faults};
use super::{Addresses, Config, Stack, TcpListener, TcpOptions, TcpStream};
use crate::kernel::Kernel;
use crate::platform::hosted::Hosted;

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const SECOND_NS: u64 = 1_000_000_000;

/// A kernel with two stacks and the cable between them.
struct World {
    kernel: &'static Kernel,
    a: &'static Stack,
    b: &'static Stack,
    card_a: &'static End,
}

fn kernel() -> &'static Kernel {
    let (_, platform) = Hosted::leak();
    Box::leak(Box::new(Kernel::new(platform, "main")))
}

fn fixed(address: Ipv4Addr) -> Config {
    Config::Static(Addresses::new(address, 24).with_gateway(A, A))
}

impl World {
    fn new(mtu: usize, blank: bool, faults: Faults) -> Self {
        let kernel = kernel();
        let (card_a, card_b) = cable::pair(mtu, blank, faults);
        let a = Stack::start(kernel, card_a, fixed(A), 11).expect("a stack");
        let b = Stack::start(kernel, card_b, fixed(B), 22).expect("a stack");
        Self { kernel, a, b, card_a }
    }

    /// A deadline far enough for anything that works.
    fn soon(&self) -> Option<u64> {
        Some(self.kernel.now_ns() + 60 * SECOND_NS)
    }

    fn in_ms(&self, ms: u64) -> Option<u64> {
        Some(self.kernel.now_ns() + ms * 1_000_000)
    }

    fn sleep_ms(&self, ms: u64) {
        self.kernel.sleep_until(self.kernel.now_ns() + ms * 1_000_000);
    }

    /// A connection from `b` to `a`.
    fn connect(&self, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let to = SocketAddrV4::new(A, listener.port());
        let options = TcpOptions::default();
        let client = TcpStream::connect(self.b, to, options, self.soon()).expect("connected");
        let server = listener.accept(self.soon()).expect("accepted");
        (server, client)
    }
}
