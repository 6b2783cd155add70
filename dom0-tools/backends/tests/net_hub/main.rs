//! Ports, turns and hostile guests, with memory instead of a machine.

mod world;

use proptest::prelude::*;
use pv_ring::{SlotRing, TxSlot};
use pvkernel_core::device::net::{Checksum, FrameMeta, NetDevice};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use world::{frame, mac, Card, End, Guest, Machine};
use zl_backends::frame::Pool;
use zl_backends::net::{Hub, Identity, LocalPort, Rate, VifOptions, MAX_WAITING};
use zl_backends::switch::{complete, PortId};

const ALL: [u8; 6] = [0xff; 6];

struct World {
    pool: Arc<Pool>,
    hub: Hub<End>,
    machine: Machine,
    guests: Vec<Guest>,
    ports: Vec<PortId>,
    now_ns: u64,
}

fn large() -> VifOptions {
    VifOptions { mtu: 65_500, takes_blank: true, takes_pages: true, ..VifOptions::default() }
}

impl World {
    fn new(options: &[VifOptions]) -> Self {
        Self::with_pool(Pool::new(64, 16), options)
    }

    fn with_pool(pool: Pool, options: &[VifOptions]) -> Self {
        let pool = Arc::new(pool);
        let hub = Hub::new(Arc::clone(&pool));
        let mut world = Self {
            pool,
            hub,
            machine: Machine::default(),
            guests: Vec::new(),
            ports: Vec::new(),
            now_ns: 0,
        };
        for (number, options) in options.iter().enumerate() {
            let guest = Guest::new(number as u16 + 1);
            let end = End(Arc::clone(&guest.shared));
            world.ports.push(world.hub.add_guest(end, options.clone(), 0));
            world.machine.guests.push(Arc::clone(&guest.shared));
            world.guests.push(guest);
        }
        world
    }

    /// Turns until nothing is left to do at once.
    fn run(&mut self) {
        for _ in 0..1000 {
            if !self.hub.turn(&mut self.machine, self.now_ns).again {
                return;
            }
        }
        panic!("the hub never rests");
    }

    /// All ports leave; every frame must be back.
    fn end(mut self) {
        for port in self.ports.drain(..) {
            self.hub.remove(port);
        }
        assert!(self.pool.is_whole(), "frames are missing");
    }
}

fn plain() -> FrameMeta {
    FrameMeta::default()
}

#[test]
fn a_turn_is_two_batches_and_one_notification_for_each_guest() {
    let mut world = World::new(&[large(), large()]);
    world.guests[1].post(64);
    world.run();
    world.guests[0].send(&frame(ALL, mac(1), 60, 0), 0, plain());
    world.run();
    let before: Vec<usize> =
        world.guests.iter().map(|g| g.shared.notified.load(Ordering::Relaxed)).collect();
    world.machine.batches = 0;
    world.guests[1].receive_all();
    world.guests.iter_mut().for_each(Guest::reap);
    for fill in 0..20 {
        assert!(world.guests[0].send(&frame(mac(2), mac(1), 1500, fill), 0, plain()));
    }
    world.run();
    assert_eq!(world.machine.batches, 2);
    let after: Vec<usize> =
        world.guests.iter().map(|g| g.shared.notified.load(Ordering::Relaxed)).collect();
    assert!(after.iter().zip(before).all(|(after, before)| after - before <= 1));
    assert_eq!(world.guests[1].receive_all().len(), 20);
    world.end();
}

#[test]
fn a_guest_that_takes_nothing_costs_the_others_nothing() {
    let mut world = World::new(&[large(), large(), large()]);
    world.guests[1].post(255);
    // The third says where it is and then takes nothing.
    world.guests[2].send(&frame(ALL, mac(3), 60, 0), 0, plain());
    world.run();
    world.guests[1].receive_all();
    world.guests[1].post(255);
    for round in 0..100u8 {
        assert!(world.guests[0].send(&frame(mac(3), mac(1), 30_000, round), 0, plain()));
        assert!(world.guests[0].send(&frame(ALL, mac(1), 30_000, round), 0, plain()));
        world.run();
        world.guests[0].reap();
        assert_eq!(world.guests[1].receive_all().len(), 1, "round {round}");
        world.guests[1].post(255);
    }
    let starved = world.hub.stats(world.ports[2]).expect("a port");
    assert!(starved.unclaimed > 50 && starved.sent == 0);
    // After a second nothing waits for it any more, without any event.
    let deadline = world.hub.turn(&mut world.machine, 0).deadline_ns.expect("a limit");
    world.now_ns = deadline;
    world.run();
    assert!(world.pool.is_whole());
    world.guests[2].post(20);
    world.run();
    assert_eq!(world.guests[2].receive_all().len(), 0);
    world.guests[0].send(&frame(ALL, mac(1), 100, 1), 0, plain());
    world.run();
    assert_eq!(world.guests[2].receive_all().len(), 1, "it is served again");
    world.end();
}

#[test]
fn what_is_for_everybody_gives_way_to_what_is_for_one() {
    let mut world = World::new(&[large(), large(), large()]);
    // The third says where it is, and posts little.
    world.guests[2].send(&frame(ALL, mac(3), 60, 0), 0, plain());
    world.guests[2].post(4);
    world.run();
    for round in 0..12u8 {
        for _ in 0..10 {
            world.guests[0].send(&frame(ALL, mac(1), 60, 0xee), 0, plain());
        }
        world.run();
        world.guests[1].send(&frame(mac(3), mac(2), 60, round), 0, plain());
        world.run();
        world.guests.iter_mut().for_each(Guest::reap);
    }
    let mut got = Vec::new();
    for _ in 0..30 {
        got.extend(world.guests[2].receive_all());
        world.guests[2].post(4);
        world.run();
    }
    let for_one = got.iter().filter(|frame| frame[11] == 2).count();
    assert_eq!(for_one, 12);
    world.end();
}

/// A frame for one that comes behind many for everybody, before anybody knows that the port is slow.
#[test]
fn who_calls_to_everybody_does_not_push_out_what_is_for_one() {
    let mut world = World::new(&[large(), large(), large()]);
    world.guests[2].send(&frame(ALL, mac(3), 60, 0), 0, plain());
    world.guests[2].post(2);
    world.run();
    for _ in 0..30 {
        world.guests[0].send(&frame(ALL, mac(1), 60, 0xee), 0, plain());
    }
    world.guests[1].send(&frame(mac(3), mac(2), 60, 7), 0, plain());
    world.run();
    let mut got = Vec::new();
    for _ in 0..30 {
        got.extend(world.guests[2].receive_all());
        world.guests[2].post(2);
        world.run();
    }
    assert!(got.contains(&frame(mac(3), mac(2), 60, 7)), "{} frames, not this one", got.len());
    world.end();
}

#[test]
fn a_guest_that_pretends_is_not_heard() {
    let who = Identity { mac: mac(1), addresses: Vec::new() };
    let mut world = World::new(&[VifOptions { identity: Some(who), ..large() }, large()]);
    world.guests[1].post(64);
    world.guests[0].send(&frame(ALL, mac(9), 60, 0), 0, plain());
    world.guests[0].send(&frame(ALL, mac(1), 60, 7), 0, plain());
    world.run();
    assert_eq!(world.guests[1].receive_all(), [frame(ALL, mac(1), 60, 7)]);
    assert_eq!(world.hub.stats(world.ports[0]).expect("a port").spoofed, 1);
    world.guests[0].reap();
    assert!(world.guests[0].is_quiet());
    world.end();
}

#[test]
fn a_rate_lets_a_guest_wait_and_nothing_is_lost() {
    let rate = Rate { bytes: 10_000, interval_ns: 1_000_000 };
    let mut world = World::new(&[VifOptions { rate: Some(rate), ..large() }, large()]);
    world.guests[1].post(255);
    for fill in 0..100 {
        assert!(world.guests[0].send(&frame(ALL, mac(1), 4000, fill), 0, plain()));
    }
    let mut got = 0;
    while got < 100 {
        let after = world.hub.turn(&mut world.machine, world.now_ns);
        got += world.guests[1].receive_all().len();
        world.guests[1].post(255);
        match after.deadline_ns {
            Some(at) if !after.again => world.now_ns = at.max(world.now_ns),
            _ => {}
        }
    }
    let wanted_ns = (400_000 - 65_535) / 10_000 * 1_000_000;
    assert!((wanted_ns..wanted_ns + 3_000_000).contains(&world.now_ns), "{}", world.now_ns);
    world.end();
}

fn tcp(payload: usize) -> Vec<u8> {
    let mut frame = [&[0x52, 0x54, 0, 0, 0, 9][..], &mac(1), &[8, 0, 0x45, 0]].concat();
    frame.extend(((40 + payload) as u16).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 80, 10, 0, 2, 2]);
    frame.extend([0, 80, 4, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend((0..payload).map(|at| at as u8));
    frame
}

#[test]
fn a_card_gets_packets_it_can_send() {
    let mut world = World::new(&[large()]);
    let card = Arc::new(Card::default());
    let port = world.hub.add_card(card.clone());
    world.ports.push(port);
    let blank = FrameMeta { checksum: Checksum::Blank, segment: 1400 };
    assert!(world.guests[0].send(&tcp(30_000), 100, blank));
    assert!(world.guests[0].send(&tcp(100), 0, FrameMeta { segment: 0, ..blank }));
    assert!(world.guests[0].send(&tcp(2000), 0, plain()));
    world.run();
    let sent = card.sent.lock().expect("no panic");
    assert_eq!(sent.len(), 30_000usize.div_ceil(1400) + 1);
    for (frame, _) in sent.iter() {
        assert!(frame.len() <= 1514);
        let mut right = frame.clone();
        assert!(complete(&mut right));
        assert_eq!(&right, frame, "the checksum is there");
    }
    drop(sent);
    assert_eq!(world.hub.stats(port).expect("a port").too_long, 1);
    card.to_receive.lock().expect("no panic").push_back(frame(mac(1), [2; 6], 900, 5));
    world.guests[0].post(4);
    world.run();
    assert_eq!(world.guests[0].receive_all(), [frame(mac(1), [2; 6], 900, 5)]);
    world.end();
}

/// The sender says how large pieces are: tiny ones must not cost more work than a port has room for.
#[test]
fn a_packet_in_very_many_pieces_costs_no_more_than_a_port_holds() {
    let mut world = World::with_pool(Pool::new(1000, 16), &[large()]);
    let card = Arc::new(Card::default());
    let port = world.hub.add_card(card.clone());
    world.ports.push(port);
    let blank = FrameMeta { checksum: Checksum::Blank, segment: 1 };
    assert!(world.guests[0].send(&tcp(60_000), 100, blank));
    world.run();
    let sent = card.sent.lock().expect("no panic").len();
    assert_eq!(sent, MAX_WAITING);
    assert_eq!(world.hub.stats(port).expect("a port").unclaimed, 1, "the rest is not even made");
    world.end();
}

#[test]
fn dom0_reads_and_writes_frames_where_they_lie() {
    let mut world = World::new(&[large()]);
    let woken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let told = Arc::clone(&woken);
    let wake = Box::new(move || {
        told.fetch_add(1, Ordering::Relaxed);
    });
    let local = Arc::new(LocalPort::new(mac(77), 65_500, Arc::clone(&world.pool), wake));
    world.ports.push(world.hub.add_stack(Arc::clone(&local)));
    world.guests[0].post(255);
    let big = frame(ALL, mac(77), 65_514, 3);
    assert!(local.transmit(big.len(), plain(), &mut |to| to.copy_from_slice(&big)));
    assert!(!local.transmit(65_515, plain(), &mut |_| panic!("too long")));
    local.flush();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    world.run();
    assert_eq!(world.guests[0].receive_all(), [big]);
    world.guests[0].send(&frame(mac(77), mac(1), 5000, 9), 10, plain());
    world.run();
    let mut seen = Vec::new();
    assert!(local.receive(&mut |bytes, _| seen = bytes.to_vec()));
    assert_eq!(seen, frame(mac(77), mac(1), 5000, 9));
    assert!(!local.receive(&mut |_, _| panic!("nothing is left")));
    world.end();
}

#[test]
fn memory_that_cannot_be_copied_fails_one_packet() {
    let mut world = World::new(&[large(), large()]);
    world.guests[1].post(64);
    for fill in 0..3 {
        world.guests[0].send(&frame(ALL, mac(1), 9000, fill), 0, plain());
    }
    // The second page of the second packet is not granted.
    world.guests[0].shared.pages.lock().expect("no panic").remove(&10_004);
    world.run();
    let fills: Vec<u8> = world.guests[1].receive_all().iter().map(|frame| frame[8999]).collect();
    assert_eq!(fills, [0, 2]);
    world.guests[0].reap();
    assert_eq!((world.guests[0].answered, world.guests[0].failed), (9, 3));
    world.end();
}

#[test]
fn a_guest_may_go_at_any_moment() {
    for turns in 0..4 {
        let mut world = World::new(&[large(), large()]);
        world.guests[1].post(10);
        for fill in 0..12 {
            world.guests[0].send(&frame(ALL, mac(1), 60_000, fill), 0, plain());
        }
        for _ in 0..turns {
            world.hub.turn(&mut world.machine, 0);
        }
        world.hub.remove(world.ports[turns % 2]);
        world.run();
        world.end();
    }
}

/// What each guest may still get from each other, oldest first.
type Expected = Vec<Vec<Vec<Vec<u8>>>>;

/// Takes what guests got out of what they may get: frames are lost when too many wait, but those that
/// come are whole and in order.
fn receive_expected(world: &mut World, expected: &mut Expected) -> usize {
    world.run();
    let mut count = 0;
    for (guest, expected) in world.guests.iter_mut().zip(expected) {
        for frame in guest.receive_all() {
            let from = &mut expected[usize::from(frame[11]) - 1];
            let at =
                from.iter().position(|other| *other == frame).expect("sent, and not overtaken");
            from.drain(..=at);
            count += 1;
        }
        guest.post(255);
        guest.reap();
    }
    count
}

proptest! {
    #[test]
    fn what_guests_broadcast_arrives_whole_and_in_order(
        sends in proptest::collection::vec((0usize..3, 14usize..66_000, 0usize..4000, 0u16..5), 1..60),
    ) {
        let options = VifOptions { takes_large: true, ..large() };
        let mut world = World::new(&[options.clone(), options.clone(), options]);
        let mut expected: Expected = vec![vec![Vec::new(); 3]; 3];
        world.guests.iter_mut().for_each(|guest| guest.post(255));
        let (mut wanted, mut got) = (0, 0);
        for (number, (sender, len, offset, gap)) in sends.into_iter().enumerate() {
            let len = len.min(65_514);
            let bytes = frame(ALL, mac(sender as u16 + 1), len, number as u8);
            let is_sound = len.div_ceil(4096 - offset) <= 18;
            if world.guests[sender].send(&bytes, offset, plain()) && is_sound {
                for to in (0..3).filter(|to| *to != sender) {
                    expected[to][sender].push(bytes.clone());
                    wanted += 1;
                }
            }
            if gap > 0 {
                got += receive_expected(&mut world, &mut expected);
            }
        }
        for _ in 0..30 {
            got += receive_expected(&mut world, &mut expected);
        }
        let lost: u64 = world.ports.iter().filter_map(|port| world.hub.stats(*port)).map(|s| s.unclaimed).sum();
        prop_assert_eq!(got + lost as usize, wanted, "every loss is counted");
        prop_assert!(world.guests.iter().all(Guest::is_quiet));
        prop_assert!(world.pool.is_whole());
        world.end();
    }

    #[test]
    fn slots_of_anything_harm_nobody(
        slots in proptest::collection::vec((9_990u32..10_010, any::<u32>(), any::<u32>()), 1..600),
        jumps in proptest::collection::vec(any::<u32>(), 0..3),
    ) {
        let mut world = World::new(&[large(), large(), large()]);
        world.guests[2].post(64);
        let hostile = Arc::clone(&world.guests[0].shared);
        for gref in 9_990..10_010 {
            hostile.pages.lock().expect("no panic").insert(gref, vec![0xff; 4096]);
        }
        let mut prod = 0u32;
        for some in slots.chunks(100) {
            for (gref, second, third) in some {
                let words = [*gref, second & 0x000f_0fff, third & 0x3fff_ffff];
                hostile.tx.write_req(prod % 256, &TxSlot(words));
                prod = prod.wrapping_add(1);
            }
            hostile.tx.store_req_prod(prod);
            hostile.event.store(true, Ordering::Relaxed);
            world.run();
        }
        for jump in jumps {
            hostile.tx.store_req_prod(jump);
            hostile.rx.store_req_prod(jump.rotate_left(7));
            hostile.event.store(true, Ordering::Relaxed);
            world.run();
        }
        world.guests[2].receive_all();
        world.guests[2].post(255);
        world.guests[1].send(&frame(mac(3), mac(2), 60, 1), 0, plain());
        world.now_ns += 2_000_000_000;
        world.run();
        let seen = world.guests[2].receive_all();
        prop_assert!(seen.contains(&frame(mac(3), mac(2), 60, 1)));
        world.end();
    }
}
