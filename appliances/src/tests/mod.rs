//! The appliances on the fake machine: clients on one end of a cable, servers on the other.

mod pages;
mod values;

use core::net::{Ipv4Addr, SocketAddrV4};
use std::boxed::Box;

use pvkernel_core::kernel::Kernel;
use pvkernel_core::net::cable::{self, Faults};
use pvkernel_core::net::{Addresses, Config, NetError, Stack, TcpOptions, TcpStream};
use pvkernel_core::platform::hosted::Hosted;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// A server's stack and a client's.
fn stacks() -> (&'static Stack, &'static Stack) {
    let (_, platform) = Hosted::leak();
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
    let (card_a, card_b) = cable::pair(9000, true, Faults::NONE);
    let start = |card, address, seed| {
        let config = Config::Static(Addresses::new(address, 24));
        Stack::start(kernel, card, config, seed).expect("a stack")
    };
    (start(card_a, SERVER, 1), start(card_b, CLIENT, 2))
}

fn connect(stack: &'static Stack, port: u16) -> Result<TcpStream, NetError> {
    let to = SocketAddrV4::new(SERVER, port);
    let soon = Some(stack.kernel().now_ns() + 10_000_000_000);
    TcpStream::connect(stack, to, TcpOptions::default(), soon)
}

/// Sends and returns everything that comes until the end, as text.
fn ask(stream: &TcpStream, text: &str) -> std::string::String {
    let soon = stream.within(20_000_000_000);
    stream.write_all(text.as_bytes(), soon).expect("written");
    stream.shutdown();
    let mut all = std::vec::Vec::new();
    let mut part = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut part, soon) {
        all.extend_from_slice(&part[..len]);
    }
    std::string::String::from_utf8_lossy(&all).into_owned()
}
