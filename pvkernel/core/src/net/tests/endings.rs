//! Connections that end, are cut, or never begin.

use super::*;
use crate::net::state::MAX_SOCKETS;
use crate::net::NetError;
use std::vec::Vec;

fn listener(world: &World) -> TcpListener {
    TcpListener::bind(world.a, 7, 2, TcpOptions::default()).expect("listens")
}

/// Waits until the stacks have no more than so many sockets.
fn wait_for_sockets(world: &World, count: usize) {
    let limit = world.kernel.now_ns() + 5 * SECOND_NS;
    loop {
        let now = world.a.status().sockets.len() + world.b.status().sockets.len();
        if now <= count {
            return;
        }
        assert!(world.kernel.now_ns() < limit, "{:?}", world.a.status().sockets);
        world.sleep_ms(20);
    }
}

#[test]
fn a_half_closed_connection_still_answers() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = listener(&world);
    let (server, client) = world.connect(&listener);
    client.write_all(b"question", world.soon()).expect("written");
    client.shutdown();
    assert_eq!(client.write(b"more", world.soon()), Err(NetError::Closed));
    let mut bytes = [0; 64];
    assert_eq!(server.read_full(&mut bytes, world.soon()), Ok(8));
    assert_eq!(server.read(&mut bytes, world.soon()), Ok(0));
    server.write_all(b"answer", world.soon()).expect("written");
    server.shutdown();
    assert_eq!(client.read_full(&mut bytes, world.soon()), Ok(6));
    assert_eq!(&bytes[..6], b"answer");
    assert_eq!(client.drain(world.soon()), Ok(()));
    assert_eq!(server.drain(world.soon()), Ok(()));
}

#[test]
fn what_was_written_arrives_although_the_writer_is_gone() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = listener(&world);
    let (server, client) = world.connect(&listener);
    server.write_all(&[7; 20_000], world.soon()).expect("written");
    drop(server);
    let mut bytes = [0; 30_000];
    assert_eq!(client.read_full(&mut bytes, world.soon()), Ok(20_000));
    drop(client);
    wait_for_sockets(&world, 2);
    drop(listener);
    wait_for_sockets(&world, 0);
}

#[test]
fn a_cut_connection_is_an_error_and_leaves_nothing() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = listener(&world);
    let (server, client) = world.connect(&listener);
    server.abort();
    let mut bytes = [0; 8];
    assert_eq!(client.read(&mut bytes, world.soon()), Err(NetError::Reset));
    assert_eq!(client.write(b"x", world.soon()), Err(NetError::Reset));
    drop((server, client));
    wait_for_sockets(&world, 2);
}

#[test]
fn nobody_at_a_port_refuses_and_nobody_at_all_times_out() {
    let world = World::new(1500, false, Faults::NONE);
    let connect = |to: Ipv4Addr, port: u16, ms| {
        let to = SocketAddrV4::new(to, port);
        TcpStream::connect(world.b, to, TcpOptions::default(), world.in_ms(ms)).map(|_| ())
    };
    assert_eq!(connect(A, 9, 5000), Err(NetError::Refused));
    assert_eq!(connect(Ipv4Addr::new(10, 9, 0, 77), 9, 100), Err(NetError::TimedOut));
    assert_eq!(connect(Ipv4Addr::BROADCAST, 9, 100), Err(NetError::BadAddress));
    assert_eq!(connect(A, 0, 100), Err(NetError::BadAddress));
    wait_for_sockets(&world, 0);
}

#[test]
fn deadlines_end_every_wait() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = listener(&world);
    assert_eq!(listener.accept(world.in_ms(30)).map(|_| ()), Err(NetError::TimedOut));
    let (server, _client) = world.connect(&listener);
    assert_eq!(server.read(&mut [0; 4], world.in_ms(30)), Err(NetError::TimedOut));
    let mut written = 0;
    let error = loop {
        match server.write(&[1; 4096], world.in_ms(200)) {
            Ok(len) => written += len,
            Err(error) => break error,
        }
    };
    assert_eq!(error, NetError::TimedOut);
    assert!((32_768..=66_000).contains(&written), "both buffers are full: {written}");
}

#[test]
fn a_port_has_one_listener_and_is_free_again_afterwards() {
    let world = World::new(1500, false, Faults::NONE);
    let bind = || TcpListener::bind(world.a, 7, 1, TcpOptions::default());
    let first = bind().expect("listens");
    assert_eq!(bind().map(|_| ()), Err(NetError::InUse));
    drop(first);
    assert!(bind().is_ok());
}

#[test]
fn connections_beyond_the_bound_are_refused_and_the_others_live() {
    let world = World::new(1500, false, Faults::NONE);
    let small = TcpOptions { receive: 1024, send: 1024 };
    let listener = TcpListener::bind(world.a, 7, 2, small).expect("listens");
    let to = SocketAddrV4::new(A, 7);
    let mut pairs = Vec::new();
    let error = loop {
        let client = match TcpStream::connect(world.b, to, small, world.in_ms(3000)) {
            Ok(client) => client,
            Err(error) => break error,
        };
        match listener.accept(world.soon()) {
            Ok(server) => pairs.push((server, client)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, NetError::TooManySockets | NetError::Refused), "{error:?}");
    assert!(pairs.len() >= MAX_SOCKETS - 6, "{}", pairs.len());
    let (server, client) = &pairs[17];
    client.write_all(b"still", world.soon()).expect("written");
    assert_eq!(server.read_full(&mut [0; 5], world.soon()), Ok(5));
    drop(pairs);
    world.sleep_ms(700);
    let (_server, client) = world.connect(&listener);
    assert_eq!(client.write(b"again", world.soon()), Ok(5));
}

#[test]
fn a_peer_that_never_answers_the_end_is_forgotten_to_make_room() {
    let world = World::new(1500, false, Faults::NONE);
    let small = TcpOptions { receive: 1024, send: 1024 };
    let listener = TcpListener::bind(world.a, 7, 2, small).expect("listens");
    let mut clients = Vec::new();
    for _ in 0..60 {
        let to = SocketAddrV4::new(A, 7);
        clients.push(TcpStream::connect(world.b, to, small, world.soon()).expect("connected"));
        drop(listener.accept(world.soon()).expect("accepted"));
    }
    assert!(world.a.status().closing <= 32, "{}", world.a.status().closing);
}
