//! The memory ordering of the rings under every interleaving loom finds.

use loom::sync::atomic::{fence, AtomicBool, AtomicU32, AtomicU8, Ordering};
use loom::sync::Arc;
use loom::thread;
use pv_ring::{BackRing, ByteRing, Consumer, FrontRing, Producer, SlotRing};

struct Bytes {
    bytes: [AtomicU8; 2],
    cons: AtomicU32,
    prod: AtomicU32,
}

impl ByteRing for Bytes {
    const SIZE: u32 = 2;

    fn load_prod(&self) -> u32 {
        self.prod.load(Ordering::Acquire)
    }
    fn load_cons(&self) -> u32 {
        self.cons.load(Ordering::Acquire)
    }
    fn store_prod(&self, prod: u32) {
        self.prod.store(prod, Ordering::Release);
    }
    fn store_cons(&self, cons: u32) {
        self.cons.store(cons, Ordering::Release);
    }
    fn read_byte(&self, offset: u32) -> u8 {
        self.bytes[offset as usize].load(Ordering::Relaxed)
    }
    fn write_byte(&self, offset: u32, byte: u8) {
        self.bytes[offset as usize].store(byte, Ordering::Relaxed);
    }
}

#[test]
fn a_byte_is_never_read_before_it_was_written() {
    loom::model(|| {
        let ring = Arc::new(Bytes {
            bytes: [AtomicU8::new(0), AtomicU8::new(0)],
            cons: AtomicU32::new(0),
            prod: AtomicU32::new(0),
        });
        let (mut producer, mut consumer) = (Producer::attach(&*ring), Consumer::attach(&*ring));
        let writer = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let first = producer.write(&*ring, &[1, 2]).expect("the ring is sound");
                assert_eq!(first, 2);
                producer.write(&*ring, &[3]).expect("the ring is sound")
            }
        });
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut buffer = [0; 4];
            let got = consumer.read(&*ring, &mut buffer).expect("the ring is sound");
            seen.extend_from_slice(&buffer[..got]);
        }
        let more = writer.join().expect("the writer ends");
        assert!([1, 2, 3].starts_with(&seen), "{seen:?}");
        assert!(seen.len() <= 2 + more);
    });
}

struct Slots {
    slot: AtomicU32,
    req_prod: AtomicU32,
    req_event: AtomicU32,
    rsp_prod: AtomicU32,
    rsp_event: AtomicU32,
}

impl SlotRing for Slots {
    type Req = u32;
    type Rsp = u32;
    const SLOTS: u32 = 1;

    fn load_req_prod(&self) -> u32 {
        self.req_prod.load(Ordering::Acquire)
    }
    fn store_req_prod(&self, prod: u32) {
        self.req_prod.store(prod, Ordering::Release);
    }
    fn load_req_event(&self) -> u32 {
        self.req_event.load(Ordering::Acquire)
    }
    fn store_req_event(&self, event: u32) {
        self.req_event.store(event, Ordering::Release);
    }
    fn load_rsp_prod(&self) -> u32 {
        self.rsp_prod.load(Ordering::Acquire)
    }
    fn store_rsp_prod(&self, prod: u32) {
        self.rsp_prod.store(prod, Ordering::Release);
    }
    fn load_rsp_event(&self) -> u32 {
        self.rsp_event.load(Ordering::Acquire)
    }
    fn store_rsp_event(&self, event: u32) {
        self.rsp_event.store(event, Ordering::Release);
    }
    fn read_req(&self, _slot: u32) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }
    fn write_req(&self, _slot: u32, req: &u32) {
        self.slot.store(*req, Ordering::Relaxed);
    }
    fn read_rsp(&self, _slot: u32) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }
    fn write_rsp(&self, _slot: u32, rsp: &u32) {
        self.slot.store(*rsp, Ordering::Relaxed);
    }
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }
}

#[test]
fn a_back_end_that_goes_to_sleep_is_always_woken() {
    loom::model(|| {
        let ring = Arc::new(Slots {
            slot: AtomicU32::new(0),
            req_prod: AtomicU32::new(0),
            // The event lies behind: without arming again, nobody would be woken.
            req_event: AtomicU32::new(0),
            rsp_prod: AtomicU32::new(0),
            rsp_event: AtomicU32::new(1),
        });
        let mut back = BackRing::attach(&*ring);
        let notified = Arc::new(AtomicBool::new(false));
        let front = thread::spawn({
            let (ring, notified) = (Arc::clone(&ring), Arc::clone(&notified));
            move || {
                let mut front = FrontRing::new();
                front.push(&*ring, &42).expect("the ring has room");
                if front.publish(&*ring) {
                    notified.store(true, Ordering::Relaxed);
                }
            }
        });
        let mut got = back.pop(&*ring).expect("the ring is sound");
        let sleeps = got.is_none() && !back.arm(&*ring).expect("the ring is sound");
        front.join().expect("the front end ends");
        if sleeps {
            assert!(notified.load(Ordering::Relaxed), "asleep with a request waiting");
        }
        if got.is_none() {
            got = back.pop(&*ring).expect("the ring is sound");
        }
        assert_eq!(got, Some(42));
    });
}
