//! TCP carries bytes, whatever the cable does.

use super::*;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

/// Bytes that differ at each place and for each seed.
fn contents(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

/// Sends `len` bytes each way at once, in pieces of `piece`, and compares.
fn both_ways(world: &World, len: usize, piece: usize, options: TcpOptions) {
    let listener = TcpListener::bind(world.a, 80, 2, options).expect("listens");
    let got: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let serve = {
        let (kernel, soon, got) = (world.kernel, world.soon(), Arc::clone(&got));
        move || {
            let stream = Arc::new(listener.accept(soon).expect("accepted"));
            let writer = {
                let stream = Arc::clone(&stream);
                let write = move || {
                    for part in contents(1, len).chunks(piece) {
                        stream.write_all(part, soon).expect("written");
                    }
                    stream.shutdown();
                };
                kernel.spawn("writer", write).expect("memory")
            };
            let bytes = read_all(&stream, piece, soon);
            got.lock().expect("no panic").push(bytes);
            writer.join();
        }
    };
    let server = world.kernel.spawn("server", serve).expect("memory");
    let to = SocketAddrV4::new(A, 80);
    let client =
        Arc::new(TcpStream::connect(world.b, to, options, world.soon()).expect("connected"));
    let reader = {
        let (client, soon, got) = (Arc::clone(&client), world.soon(), Arc::clone(&got));
        let read = move || {
            let bytes = read_all(&client, 3 * piece, soon);
            got.lock().expect("no panic").push(bytes);
        };
        world.kernel.spawn("reader", read).expect("memory")
    };
    for part in contents(2, len).chunks(piece) {
        client.write_all(part, world.soon()).expect("written");
    }
    client.shutdown();
    server.join();
    reader.join();
    let got = got.lock().expect("no panic");
    let mut expected = vec![contents(1, len), contents(2, len)];
    let mut found = got.clone();
    expected.sort();
    found.sort();
    assert!(expected == found, "bytes were lost or changed: {:?}", got.iter().map(Vec::len));
}

fn read_all(stream: &TcpStream, piece: usize, soon: Option<u64>) -> Vec<u8> {
    let (mut all, mut part) = (Vec::new(), vec![0; piece]);
    loop {
        match stream.read(&mut part, soon).expect("read") {
            0 => return all,
            len => all.extend(&part[..len]),
        }
    }
}

#[test]
fn large_frames_without_checksums_carry_megabytes() {
    let world = World::new(65_500, true, Faults::NONE);
    both_ways(&world, 8 << 20, 100_000, TcpOptions::large());
    let status = world.a.status();
    assert!(status.traffic.tx_frames < 2000, "frames are large: {:?}", status.traffic);
}

#[test]
fn small_frames_with_checksums_carry_megabytes() {
    let world = World::new(1500, false, Faults::NONE);
    both_ways(&world, 2 << 20, 10_000, TcpOptions::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn a_bad_cable_costs_time_but_no_bytes(
        len in 0usize..120_000,
        piece in 1usize..20_000,
        lost in 0u32..25,
        doubled in 0u32..40,
        reordered in 0u32..40,
        damaged in 0u32..20,
        blank: bool,
        mtu in prop_oneof![Just(1500usize), Just(9000), Just(65_500)],
        seed: u64,
    ) {
        let faults = Faults { lost, doubled, reordered, damaged, seed };
        let world = World::new(mtu, blank, faults);
        both_ways(&world, len, piece.max(len / 500), TcpOptions::default());
    }
}
