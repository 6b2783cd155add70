//! Domains at the other end of a ring page, well-behaved and otherwise.

use super::{dom, server};
use crate::line::{Line, Page, Turn, Word};
use crate::server::{Conn, Server};
use crate::Quota;
use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::io::xs_wire::{
    CONNECTED, ERROR_NONE, ERROR_PROTO, ERROR_RINGIDX, RECONNECT, RING_SIZE,
};
use proptest::prelude::*;
use pv_ring::{ByteRing, Consumer, Producer, XenstorePage};
use pv_xenbus::wire::*;
use pv_xenbus::Tx;

struct Guest<'p> {
    page: &'p XenstorePage,
    requests: Producer,
    responses: Consumer,
    decoder: Decoder,
    got: Vec<Message>,
}

impl<'p> Guest<'p> {
    fn new(page: &'p XenstorePage) -> Self {
        Self {
            page,
            requests: Producer::attach(&page.requests()),
            responses: Consumer::attach(&page.responses()),
            decoder: Decoder::new(),
            got: Vec::new(),
        }
    }

    /// Writes what fits; returns how much that was.
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.requests.write(&self.page.requests(), bytes).unwrap()
    }

    fn read(&mut self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        let read = self.responses.read(&self.page.responses(), &mut bytes).unwrap();
        let mut rest = &bytes[..read];
        while !rest.is_empty() {
            let (taken, message) = self.decoder.feed(rest).unwrap();
            self.got.extend(message);
            rest = &rest[taken..];
        }
        read
    }
}

fn run_dry(line: &mut Line, server: &mut Server, page: &XenstorePage) {
    for _ in 0..1000 {
        if !line.turn(server, page).more {
            return;
        }
    }
    panic!("the line never comes to rest");
}

#[test]
fn requests_go_through_the_ring_and_a_turn_is_bounded() {
    let (page, mut s) = (XenstorePage::new(), server(Quota::default()));
    let mut line = Line::open(dom(1), &page);
    assert_eq!(page.load(Word::Features), 3);
    assert_eq!(line.turn(&mut s, &page), Turn::default());
    let mut guest = Guest::new(&page);
    for number in 0..6 {
        let request = Message::new(XS_WRITE, number, Tx::NONE, b"a\0x".to_vec());
        assert_eq!(guest.write(&request.encode()), request.wire_len());
    }
    assert_eq!(line.turn(&mut s, &page), Turn { moved: true, more: true });
    guest.read(RING_SIZE);
    assert_eq!(guest.got.len(), 4);
    run_dry(&mut line, &mut s, &page);
    guest.read(RING_SIZE);
    assert_eq!(guest.got.iter().map(|m| m.req_id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(guest.got.iter().all(|message| message.payload == b"OK\0"));
}

#[test]
fn a_broken_ring_is_left_alone_until_it_starts_over() {
    type Spoil = fn(&mut Guest);
    let wrong: [(u32, Spoil); 3] = [
        (ERROR_RINGIDX, |guest| guest.page.requests().store_prod(5000)),
        (ERROR_RINGIDX, |guest| guest.page.responses().store_cons(77)),
        (ERROR_PROTO, |guest| {
            guest.write(&[0xff; 16]);
        }),
    ];
    for (error, spoil) in wrong {
        let (page, mut s) = (XenstorePage::new(), server(Quota::default()));
        let mut line = Line::open(dom(1), &page);
        s.watch(Conn::Domain(dom(1)), "x", b"t").unwrap();
        s.begin(Conn::Domain(dom(1))).unwrap();
        spoil(&mut Guest::new(&page));
        assert_eq!(line.turn(&mut s, &page), Turn { moved: true, more: false });
        assert_eq!((page.load(Word::Error), line.is_broken()), (error, true));
        assert_eq!(s.watches_of(Conn::Domain(dom(1))).len(), 0);
        assert_eq!(s.transactions(Conn::Domain(dom(1))), 0);
        assert_eq!(line.turn(&mut s, &page), Turn::default());
        page.store(Word::Connection, RECONNECT);
        assert!(line.turn(&mut s, &page).moved);
        assert_eq!(page.load(Word::Connection), CONNECTED);
        assert_eq!(page.load(Word::Error), ERROR_NONE);
        let mut guest = Guest::new(&page);
        guest.write(&Message::new(XS_READ, 9, Tx::NONE, b"x\0".to_vec()).encode());
        run_dry(&mut line, &mut s, &page);
        guest.read(RING_SIZE);
        assert_eq!(guest.got.len(), 1);
        assert!(!line.is_broken());
    }
}

#[test]
fn who_never_reads_stops_being_heard() {
    let (page, mut s) = (XenstorePage::new(), server(Quota::default()));
    let mut line = Line::open(dom(1), &page);
    let mut guest = Guest::new(&page);
    let request = Message::new(XS_GET_DOMAIN_PATH, 1, Tx::NONE, b"1\0".to_vec()).encode();
    let mut written = 0;
    for _ in 0..10_000 {
        written += guest.write(&request);
        run_dry(&mut line, &mut s, &page);
    }
    // Both rings, the answers that wait, and one request between them.
    assert!(written < 4 * RING_SIZE, "{written}");
    let mut answered = 0;
    while guest.read(100) > 0 {
        run_dry(&mut line, &mut s, &page);
        answered = guest.got.len();
    }
    assert_eq!(answered, written / request.len());
}

proptest! {
    #[test]
    fn whatever_is_written_into_the_page_the_turn_ends(
        steps in prop::collection::vec(
            (0usize..8, any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
    ) {
        let (page, mut s) = (XenstorePage::new(), server(Quota::default()));
        let mut line = Line::open(dom(1), &page);
        for (what, number, bytes) in &steps {
            match what {
                0 => page.requests().store_prod(*number),
                1 => page.requests().store_cons(*number),
                2 => page.responses().store_cons(number % 2000),
                3 => page.responses().store_prod(*number),
                4 => page.store(Word::Connection, number % 3),
                5 => page.store(Word::Error, *number),
                _ => {
                    let mut requests = Producer::attach(&page.requests());
                    let head = Message::new(number % 24, 1, Tx::NONE, bytes.clone()).encode();
                    let _ = requests.write(&page.requests(), &head);
                }
            }
            line.turn(&mut s, &page);
        }
        prop_assert_eq!(s.tree().check(), None);
        page.store(Word::Connection, RECONNECT);
        line.turn(&mut s, &page);
        prop_assert!(!line.is_broken());
    }
}
