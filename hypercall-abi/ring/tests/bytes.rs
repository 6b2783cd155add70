//! Byte rings against a queue, and against another end that writes whatever it likes.

use proptest::prelude::*;
use pv_ring::{AtomicByteRing, ByteRing, ConsolePage, Consumer, Producer, XenstorePage};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU8};

const SIZE: usize = 16;

struct Memory {
    bytes: [AtomicU8; SIZE],
    cons: AtomicU32,
    prod: AtomicU32,
}

impl Memory {
    fn starting_at(index: u32) -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; SIZE],
            cons: AtomicU32::new(index),
            prod: AtomicU32::new(index),
        }
    }

    fn ring(&self) -> AtomicByteRing<'_, SIZE> {
        AtomicByteRing::new(&self.bytes, &self.cons, &self.prod)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Read(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2 * SIZE).prop_map(Step::Write),
        (0..2 * SIZE).prop_map(Step::Read),
    ]
}

/// An end that answers every load of an index from a script and notes every access.
struct Hostile {
    script: RefCell<VecDeque<u32>>,
    accesses: Cell<usize>,
    stores: Cell<usize>,
}

impl Hostile {
    fn new(script: Vec<u32>) -> Self {
        Self { script: RefCell::new(script.into()), accesses: Cell::new(0), stores: Cell::new(0) }
    }

    fn next(&self) -> u32 {
        self.script.borrow_mut().pop_front().unwrap_or(0)
    }

    fn access(&self, offset: u32) {
        assert!(offset < Self::SIZE, "access at {offset} leaves the ring");
        self.accesses.set(self.accesses.get() + 1);
    }
}

impl ByteRing for Hostile {
    const SIZE: u32 = SIZE as u32;

    fn load_prod(&self) -> u32 {
        self.next()
    }
    fn load_cons(&self) -> u32 {
        self.next()
    }
    fn store_prod(&self, _prod: u32) {
        self.stores.set(self.stores.get() + 1);
    }
    fn store_cons(&self, _cons: u32) {
        self.stores.set(self.stores.get() + 1);
    }
    fn read_byte(&self, offset: u32) -> u8 {
        self.access(offset);
        0xee
    }
    fn write_byte(&self, offset: u32, _byte: u8) {
        self.access(offset);
    }
}

/// Indices near each other and anywhere.
fn any_script() -> impl Strategy<Value = Vec<u32>> {
    let near = (any::<u32>(), prop::collection::vec(0_u32..2 * SIZE as u32, 1..40))
        .prop_map(|(base, by)| by.into_iter().map(|by| base.wrapping_add(by)).collect());
    prop_oneof![near, prop::collection::vec(any::<u32>(), 1..40)]
}

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in(
        start in prop_oneof![any::<u32>(), Just(u32::MAX - 3)],
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let memory = Memory::starting_at(start);
        let ring = memory.ring();
        let (mut producer, mut consumer) = (Producer::attach(&ring), Consumer::attach(&ring));
        let mut queue = VecDeque::new();
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    let fits = bytes.len().min(SIZE - queue.len());
                    prop_assert_eq!(producer.free(&ring), Ok((SIZE - queue.len()) as u32));
                    prop_assert_eq!(producer.write(&ring, &bytes), Ok(fits));
                    queue.extend(&bytes[..fits]);
                }
                Step::Read(room) => {
                    let mut buffer = vec![0; room];
                    let expected: Vec<u8> = queue.drain(..room.min(queue.len())).collect();
                    prop_assert_eq!(consumer.read(&ring, &mut buffer), Ok(expected.len()));
                    prop_assert_eq!(&buffer[..expected.len()], expected);
                }
            }
            prop_assert_eq!(consumer.available(&ring), Ok(queue.len() as u32));
        }
    }

    #[test]
    fn a_producer_never_writes_more_than_a_hostile_reader_left_room_for(
        script in any_script(), lens in prop::collection::vec(0_usize..40, 0..20),
    ) {
        let ring = Hostile::new(script.clone());
        let mut script = script.into_iter();
        let mut producer = Producer::attach(&ring);
        let mut prod = script.next().unwrap_or(0);
        for len in lens {
            let cons = script.next().unwrap_or(0);
            let used = prod.wrapping_sub(cons);
            let (before, stores) = (ring.accesses.get(), ring.stores.get());
            let result = producer.write(&ring, &vec![1; len]);
            let touched = ring.accesses.get() - before;
            if used > SIZE as u32 {
                let corrupt = result.expect_err("impossible indices are an error");
                prop_assert_eq!((corrupt.distance, corrupt.limit), (used, SIZE as u32));
                prop_assert_eq!((touched, ring.stores.get()), (0, stores));
            } else {
                let fits = len.min(SIZE - used as usize);
                prop_assert_eq!(result, Ok(fits));
                prop_assert_eq!(touched, fits);
                prod = prod.wrapping_add(fits as u32);
            }
        }
    }

    #[test]
    fn a_consumer_never_reads_more_than_a_hostile_writer_can_have_written(
        script in any_script(), lens in prop::collection::vec(0_usize..40, 0..20),
    ) {
        let ring = Hostile::new(script.clone());
        let mut script = script.into_iter();
        let mut consumer = Consumer::attach(&ring);
        let mut cons = script.next().unwrap_or(0);
        for len in lens {
            let prod = script.next().unwrap_or(0);
            let waiting = prod.wrapping_sub(cons);
            let (before, stores) = (ring.accesses.get(), ring.stores.get());
            let mut buffer = vec![0; len];
            let result = consumer.read(&ring, &mut buffer);
            let touched = ring.accesses.get() - before;
            if waiting > SIZE as u32 {
                prop_assert!(result.is_err());
                prop_assert_eq!((touched, ring.stores.get()), (0, stores));
            } else {
                let got = len.min(waiting as usize);
                prop_assert_eq!(result, Ok(got));
                prop_assert_eq!(touched, got);
                prop_assert!(buffer[got..].iter().all(|byte| *byte == 0));
                cons = cons.wrapping_add(got as u32);
            }
        }
    }
}

#[test]
fn the_directions_of_the_console_page_are_separate() {
    let page = ConsolePage::new();
    let mut guest = Producer::attach(&page.output());
    let mut service = Producer::attach(&page.input());
    assert_eq!(guest.write(&page.output(), &[1; 4096]), Ok(2048));
    assert_eq!(service.write(&page.input(), &[2; 4096]), Ok(1024));
    let mut buffer = [0; 4096];
    let from_guest = Consumer::attach(&page.output()).read(&page.output(), &mut buffer);
    assert_eq!(from_guest, Ok(2048));
    assert!(buffer[..2048].iter().all(|byte| *byte == 1));
    let to_guest = Consumer::attach(&page.input()).read(&page.input(), &mut buffer);
    assert_eq!(to_guest, Ok(1024));
    assert!(buffer[..1024].iter().all(|byte| *byte == 2));
}

#[test]
fn the_directions_of_the_store_page_are_separate() {
    let page = XenstorePage::new();
    assert_eq!(Producer::attach(&page.requests()).write(&page.requests(), b"ask"), Ok(3));
    assert_eq!(Producer::attach(&page.responses()).write(&page.responses(), b"tell"), Ok(4));
    assert_eq!(Consumer::attach(&page.requests()).available(&page.requests()), Ok(3));
    assert_eq!(Consumer::attach(&page.responses()).available(&page.responses()), Ok(4));
}
