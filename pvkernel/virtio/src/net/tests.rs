//! The card against a device on paper.

use super::*;
use crate::setup::VERSION_1;
use crate::testkit::{Device, Paper};
use core::sync::atomic::{AtomicUsize, Ordering};
use proptest::prelude::*;
use pvkernel_core::device::ram::HeapMemory;

struct Bench {
    card: VirtioNet<Device, Paper>,
    queues: [Paper; 2],
    device: Device,
    woken: Arc<AtomicUsize>,
}

fn bench() -> Bench {
    let config = [2, 0, 0, 0, 0, 9, 1, 0];
    let device = Device::new(VERSION_1 | FEATURE_MAC | FEATURE_STATUS | 1, &config);
    let queues = [Paper::new(BUFFERS), Paper::new(BUFFERS)];
    let make = |_: &mut Device, queue: u16| Ok(queues[usize::from(queue)].clone());
    let card = VirtioNet::new(device.clone(), make, || HeapMemory::source(BUFFER));
    let card = card.unwrap_or_else(|error| panic!("{error}"));
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    card.set_wake(Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    Bench { card, queues, device, woken }
}

impl Bench {
    fn arrives(&self, len: usize, fill: u8) -> bool {
        self.queues[0].serve(0, |_, bytes| {
            bytes[..HEADER].fill(0xff);
            bytes[HEADER..HEADER + len].fill(fill);
            (0, HEADER + len)
        })
    }

    fn interrupt(&self) {
        self.device.0.lock().isr = 1;
        self.card.interrupt();
    }

    fn received(&self) -> Option<(usize, u8)> {
        let mut seen = None;
        let got = self.card.receive(&mut |frame, _| seen = Some((frame.len(), frame[0])));
        assert_eq!(got, seen.is_some());
        seen
    }

    fn send(&self, len: usize, fill: u8) -> bool {
        self.card.transmit(len, FrameMeta::default(), &mut |frame| {
            assert_eq!(frame.len(), len);
            frame.fill(fill);
        })
    }
}

#[test]
fn a_card_comes_up_with_its_address_and_all_buffers_given_to_the_device() {
    let bench = bench();
    let info = bench.card.info();
    assert_eq!((info.mac, info.mtu, info.is_up), ([2, 0, 0, 0, 0, 9], 1500, true));
    assert_eq!(bench.queues[0].0.lock().added.len(), BUFFERS);
    let state = bench.device.0.lock();
    assert_eq!(state.accepted, VERSION_1 | FEATURE_MAC | FEATURE_STATUS);
    assert_eq!(state.notified, [RECEIVE]);
}

proptest! {
    #[test]
    fn frames_arrive_in_order_and_no_buffer_is_lost(steps in prop::collection::vec(0_usize..200, 0..300)) {
        let bench = bench();
        let mut model = std::collections::VecDeque::new();
        for (number, step) in steps.into_iter().enumerate() {
            if step < 100 {
                if bench.arrives(step, number as u8) && step >= ETHERNET_HEAD {
                    model.push_back((step, number as u8));
                }
            } else {
                prop_assert_eq!(bench.received(), model.pop_front());
            }
            bench.card.flush();
        }
        while let Some(frame) = model.pop_front() {
            prop_assert_eq!(bench.received(), Some(frame));
        }
        prop_assert_eq!(bench.received(), None);
        prop_assert_eq!(bench.queues[0].0.lock().added.len(), BUFFERS);
    }
}

#[test]
fn a_device_that_claims_more_than_the_buffer_is_believed_no_further() {
    let bench = bench();
    bench.queues[0].serve(0, |_, _| (0, 1 << 20));
    assert_eq!(bench.received(), Some((BUFFER - HEADER, 0)));
}

#[test]
fn interrupts_are_wanted_only_by_who_found_nothing() {
    let bench = bench();
    let wanted = |queue: usize| bench.queues[queue].0.lock().interrupts;
    assert!(wanted(0) && !wanted(1));
    bench.arrives(60, 1);
    bench.interrupt();
    assert!(!wanted(0));
    assert_eq!(bench.woken.load(Ordering::Relaxed), 1);
    bench.card.interrupt();
    assert_eq!(bench.woken.load(Ordering::Relaxed), 1, "the line was another device's");
    assert_eq!(bench.received(), Some((60, 1)));
    assert!(!wanted(0));
    assert!(!bench.card.has_received());
    assert!(wanted(0));
}

#[test]
fn sending_ends_when_the_ring_is_full_and_goes_on_when_the_device_has_sent() {
    let bench = bench();
    bench.device.0.lock().notified.clear();
    let sent = (0..100).filter(|number| bench.send(100, *number as u8)).count();
    assert_eq!(sent, BUFFERS);
    bench.card.flush();
    bench.card.flush();
    assert_eq!(bench.device.0.lock().notified, [TRANSMIT], "one notification for all");
    assert!(!bench.card.can_transmit());
    assert!(bench.queues[1].0.lock().interrupts, "somebody waits for room");
    for number in 0..BUFFERS {
        let served = bench.queues[1].serve(0, |_, bytes| {
            assert_eq!(bytes.len(), HEADER + 100);
            assert!(bytes[..HEADER].iter().all(|byte| *byte == 0));
            assert!(bytes[HEADER..].iter().all(|byte| *byte == number as u8));
            (0, 0)
        });
        assert!(served);
    }
    bench.interrupt();
    assert!(bench.card.can_transmit() && bench.send(1514, 0));
    assert!(!bench.queues[1].0.lock().interrupts);
}

#[test]
fn frames_the_card_cannot_send_are_refused_untouched() {
    let bench = bench();
    let blank = FrameMeta { checksum: Checksum::Blank, segment: 0 };
    let large = FrameMeta { checksum: Checksum::Valid, segment: 1460 };
    let untouched = &mut |_: &mut [u8]| panic!("called");
    assert!(!bench.card.transmit(60, blank, untouched));
    assert!(!bench.card.transmit(60, large, untouched));
    assert!(!bench.card.transmit(1515, FrameMeta::default(), untouched));
}

#[test]
fn the_link_is_looked_at_when_the_device_says_so() {
    let bench = bench();
    bench.device.0.lock().config[6] = 0;
    assert!(bench.card.info().is_up);
    bench.device.0.lock().isr = 2;
    bench.card.interrupt();
    assert!(!bench.card.info().is_up);
}
