//! Ping, datagrams, and a stack at rest.

use super::*;
use crate::net::{NetError, Pinger, UdpSocket};

#[test]
fn pings_are_answered_in_any_size() {
    for blank in [false, true] {
        let world = World::new(9000, blank, Faults::NONE);
        for len in [0, 8, 56, 1400, 8972] {
            for stack in [world.a, world.b] {
                let pinger = Pinger::open(stack, len).expect("opened");
                let other = if core::ptr::eq(stack, world.a) { B } else { A };
                for sequence in 0..5 {
                    let echo = pinger.ping(other, sequence, 5 * SECOND_NS).expect("answered");
                    assert_eq!((echo.from, echo.sequence, echo.len), (other, sequence, len));
                    assert!(echo.took_ns < SECOND_NS);
                }
            }
        }
        assert_eq!(Pinger::open(world.a, 9000).map(|_| ()), Err(NetError::TooLong));
    }
}

#[test]
fn nobody_answers_a_lost_ping() {
    let world = World::new(1500, false, Faults { lost: 1000, ..Faults::NONE });
    assert_eq!(world.a.ping(B, 50_000_000), Err(NetError::TimedOut));
    assert_eq!(world.a.ping(Ipv4Addr::BROADCAST, 50_000_000), Err(NetError::BadAddress));
}

#[test]
fn a_damaged_ping_is_no_answer() {
    let world = World::new(1500, false, Faults::NONE);
    world.a.ping(B, SECOND_NS).expect("neighbours know each other");
    let bad = World::new(1500, false, Faults { damaged: 500, ..Faults::NONE });
    let pinger = Pinger::open(bad.a, 1000).expect("opened");
    let answers = (0..40).filter(|at| pinger.ping(B, *at, 30_000_000).is_ok()).count();
    assert!(answers < 35, "half of the frames are damaged: {answers}");
}

#[test]
fn datagrams_go_there_and_back() {
    let world = World::new(1500, true, Faults::NONE);
    let server = UdpSocket::bind(world.a, 53).expect("bound");
    assert_eq!(UdpSocket::bind(world.a, 53).map(|_| ()), Err(NetError::InUse));
    let client = UdpSocket::bind(world.b, 0).expect("bound");
    let mut bytes = [0; 2000];
    for len in [0usize, 1, 300, 1472] {
        let to = SocketAddrV4::new(A, 53);
        client.send_to(&std::vec![9; len], to, world.soon()).expect("sent");
        let (got, from) = server.receive_from(&mut bytes, world.soon()).expect("received");
        assert_eq!((got, from), (len, SocketAddrV4::new(B, client.port())));
        server.send_to(&bytes[..got], from, world.soon()).expect("sent");
        assert_eq!(client.receive_from(&mut bytes, world.soon()), Ok((len, to)));
    }
    let to = SocketAddrV4::new(A, 53);
    assert_eq!(client.send_to(&[0; 1473], to, world.soon()), Err(NetError::TooLong));
    assert_eq!(client.receive_from(&mut bytes, world.in_ms(20)), Err(NetError::TimedOut));
}

#[test]
fn a_stack_at_rest_does_nothing() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = TcpListener::bind(world.a, 80, 4, TcpOptions::default()).expect("listens");
    let (server, client) = world.connect(&listener);
    client.write_all(b"hello", world.soon()).expect("written");
    assert_eq!(server.read_full(&mut [0; 5], world.soon()), Ok(5));
    world.sleep_ms(100);
    let turns = || world.a.status().turns + world.b.status().turns;
    let before = turns();
    world.sleep_ms(1500);
    assert!(turns() - before <= 2, "{} turns in 1.5 s", turns() - before);
}

#[test]
fn a_stack_whose_packets_find_nobody_does_not_spin() {
    let world = World::new(1500, false, Faults::NONE);
    let far = Ipv4Addr::new(10, 9, 0, 99);
    let socket = UdpSocket::bind(world.a, 0).expect("bound");
    socket.send_to(b"x", SocketAddrV4::new(far, 9), world.soon()).expect("kept");
    let before = world.a.status().turns;
    world.sleep_ms(2200);
    let turns = world.a.status().turns - before;
    assert!((1..12).contains(&turns), "asks for the neighbour now and then: {turns}");
}

#[test]
fn a_card_without_a_link_costs_nothing_and_goes_on_afterwards() {
    let world = World::new(1500, false, Faults::NONE);
    world.a.ping(B, 5 * SECOND_NS).expect("answered");
    world.card_a.change(|info| info.is_up = false);
    assert_eq!(world.a.ping(B, 50_000_000), Err(NetError::TimedOut));
    let before = world.a.status().turns;
    world.sleep_ms(300);
    assert!(world.a.status().turns - before <= 2);
    world.card_a.change(|info| {
        info.is_up = true;
        info.mtu = 1000;
        info.mac = [2, 0, 0, 0, 0, 9];
    });
    world.sleep_ms(20);
    // The first arrives where the new card is; to answer it, that must ask for the sender's address,
    // and smoltcp keeps no answer meanwhile.
    let _ = world.b.ping(A, SECOND_NS / 5);
    let echo = world.b.ping(A, 2 * SECOND_NS).expect("the new address was announced");
    assert_eq!(echo.from, A);
    assert_eq!(Pinger::open(world.a, 1400).map(|_| ()), Err(NetError::TooLong));
}
