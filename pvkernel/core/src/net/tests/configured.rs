//! Addresses from a server, and names.

use super::*;
use crate::device::net::{FrameMeta, NetDevice};
use crate::net::{NetError, Source, UdpSocket};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::vec;
use std::vec::Vec;

const OFFERED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 42);

/// A small DHCP server at the bare card: it offers one address for `lease_s` seconds.
struct Server {
    card: &'static End,
    lease_s: u32,
    offered: Ipv4Addr,
    answers: AtomicBool,
    asked: AtomicU32,
}

impl Server {
    fn leak(card: &'static End, lease_s: u32, offered: Ipv4Addr) -> &'static Self {
        let answers = AtomicBool::new(true);
        let server = Self { card, lease_s, offered, answers, asked: AtomicU32::new(0) };
        Box::leak(Box::new(server))
    }

    /// Answers what is there, for ever.
    fn serve(&self, kernel: &Kernel) {
        loop {
            let mut frames: Vec<Vec<u8>> = Vec::new();
            while self.card.receive(&mut |bytes, _| frames.push(bytes.to_vec())) {}
            for frame in frames {
                self.answer(&frame);
            }
            self.card.flush();
            kernel.sleep_until(kernel.now_ns() + 1_000_000);
        }
    }

    fn answer(&self, frame: &[u8]) {
        let Some((asked, client)) = parse(frame) else { return };
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.answers.load(Ordering::Relaxed) {
            return;
        }
        let request = DhcpPacket::new_checked(&asked[..]).expect("checked by parse");
        let request = DhcpRepr::parse(&request).expect("checked by parse");
        let reply = DhcpRepr {
            message_type: match request.message_type {
                DhcpMessageType::Discover => DhcpMessageType::Offer,
                _ => DhcpMessageType::Ack,
            },
            your_ip: self.offered,
            server_identifier: Some(A),
            router: Some(A),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            lease_duration: Some(self.lease_s),
            dns_servers: Some([B].into_iter().collect()),
            requested_ip: None,
            client_identifier: None,
            parameter_request_list: None,
            ..request
        };
        self.send(&reply, client);
    }

    fn send(&self, reply: &DhcpRepr<'_>, client: EthernetAddress) {
        let mut dhcp = vec![0; reply.buffer_len()];
        reply.emit(&mut DhcpPacket::new_unchecked(&mut dhcp[..])).expect("room");
        let sums = ChecksumCapabilities::default();
        let ip = Ipv4Repr {
            src_addr: A,
            dst_addr: Ipv4Addr::BROADCAST,
            next_header: IpProtocol::Udp,
            payload_len: 8 + dhcp.len(),
            hop_limit: 64,
        };
        let head = EthernetRepr {
            src_addr: EthernetAddress(self.card.info().mac),
            dst_addr: client,
            ethertype: EthernetProtocol::Ipv4,
        };
        self.card.transmit(42 + dhcp.len(), FrameMeta::default(), &mut |to| {
            head.emit(&mut EthernetFrame::new_unchecked(&mut to[..]));
            ip.emit(&mut Ipv4Packet::new_unchecked(&mut to[14..]), &sums);
            UdpRepr { src_port: 67, dst_port: 68 }.emit(
                &mut UdpPacket::new_unchecked(&mut to[34..]),
                &ip.src_addr.into(),
                &ip.dst_addr.into(),
                dhcp.len(),
                |to| to.copy_from_slice(&dhcp),
                &sums,
            );
        });
    }
}

/// The DHCP message in a frame, and who sent it.
fn parse(frame: &[u8]) -> Option<(Vec<u8>, EthernetAddress)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    let is_dhcp = ip.next_header() == IpProtocol::Udp && udp.dst_port() == 67;
    DhcpRepr::parse(&DhcpPacket::new_checked(udp.payload()).ok()?).ok()?;
    is_dhcp.then(|| (udp.payload().to_vec(), ethernet.src_addr()))
}

fn with_server(
    lease_s: u32,
    offered: Ipv4Addr,
    fallback: Option<(Addresses, u64)>,
) -> (&'static Kernel, &'static Stack, &'static Server) {
    let kernel = kernel();
    let (card, server_card) = cable::pair(1500, false, Faults::NONE);
    let server = Server::leak(server_card, lease_s, offered);
    let stack = Stack::start(kernel, card, Config::Dhcp { fallback }, 5).expect("a stack");
    kernel.spawn("server", || server.serve(kernel)).expect("memory");
    (kernel, stack, server)
}

#[test]
fn a_lease_is_taken_and_renewed_and_lost() {
    let (kernel, stack, server) = with_server(3, OFFERED, None);
    let deadline = |s| Some(kernel.now_ns() + s * SECOND_NS);
    let lease = stack.wait_address(deadline(5)).expect("an address");
    assert_eq!((lease.address, lease.prefix), (OFFERED, 24));
    assert_eq!((lease.gateway, lease.dns), (Some(A), vec![B]));
    assert_eq!(stack.status().addresses.map(|(_, source)| source), Some(Source::Dhcp));
    let asked = server.asked.load(Ordering::Relaxed);
    kernel.sleep_until(kernel.now_ns() + 4 * SECOND_NS);
    assert!(server.asked.load(Ordering::Relaxed) > asked, "the lease was renewed");
    assert_eq!(stack.address(), Some(OFFERED));
    server.answers.store(false, Ordering::Relaxed);
    kernel.sleep_until(kernel.now_ns() + 4 * SECOND_NS);
    assert_eq!(stack.address(), None, "the lease is over");
}

#[test]
fn without_a_server_the_fallback_is_used_until_one_answers() {
    let fallback = Some((Addresses::new(B, 24), 200_000_000));
    let (kernel, stack, server) = with_server(100, OFFERED, fallback);
    server.answers.store(false, Ordering::Relaxed);
    let got = stack.wait_address(Some(kernel.now_ns() + 5 * SECOND_NS)).expect("an address");
    assert_eq!(got.address, B);
    assert_eq!(stack.status().addresses.map(|(_, source)| source), Some(Source::Fallback));
    server.answers.store(true, Ordering::Relaxed);
    let limit = kernel.now_ns() + 5 * SECOND_NS;
    while stack.address() != Some(OFFERED) {
        assert!(kernel.now_ns() < limit, "the next question is answered");
        kernel.sleep_until(kernel.now_ns() + 10_000_000);
    }
}

#[test]
fn an_impossible_lease_is_not_used() {
    for offered in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::LOCALHOST] {
        let (kernel, stack, server) = with_server(100, offered, None);
        assert_eq!(stack.wait_address(Some(kernel.now_ns() + SECOND_NS / 5)), None);
        assert!(server.asked.load(Ordering::Relaxed) > 0);
    }
}

/// Answers questions for one name with two addresses, and denies all others.
fn serve_names(socket: &UdpSocket) {
    let mut bytes = [0; 600];
    while let Ok((len, from)) = socket.receive_from(&mut bytes, None) {
        let mut answer = bytes[..len].to_vec();
        let is_known = answer.windows(9).any(|part| part == b"\x05zendo\x02xy");
        answer[2..4].copy_from_slice(if is_known { &[0x81, 0x80] } else { &[0x81, 0x83] });
        if is_known {
            answer[7] = 2;
            for last in [1, 2] {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 9, last]);
            }
        }
        socket.send_to(&answer, from, None).expect("sent");
    }
}

#[test]
fn names_are_asked_for() {
    let world = World::new(1500, false, Faults::NONE);
    let socket = UdpSocket::bind(world.a, 53).expect("bound");
    world.kernel.spawn("names", move || serve_names(&socket)).expect("memory");
    let ask = |name| world.b.resolve(name, world.soon());
    let found = [Ipv4Addr::new(10, 9, 9, 1), Ipv4Addr::new(10, 9, 9, 2)];
    assert_eq!(ask("zendo.xy"), Ok(vec![found[0]]));
    assert_eq!(ask("other.xy"), Err(NetError::UnknownName));
    assert_eq!(ask("10.1.2.3"), Ok(vec![Ipv4Addr::new(10, 1, 2, 3)]));
    assert_eq!(ask(""), Err(NetError::BadName));
    assert_eq!(ask("a..b"), Err(NetError::BadName));
    let nobody = world.a.resolve("zendo.xy", world.in_ms(100));
    assert_eq!(nobody, Err(NetError::TimedOut), "a itself is no neighbour of a");
    for _ in 0..20 {
        assert!(ask("zendo.xy").is_ok(), "questions that ended make room");
    }
}
