//! Rings of requests and responses against a queue, and against a hostile other end.

use proptest::prelude::*;
use pv_ring::{BackRing, FrontRing, PushError, SlotRing};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

const SLOTS: u32 = 8;

/// Memory of a ring. With a script, the loads of the other end's index come from there.
#[derive(Default)]
struct Memory {
    slots: [Cell<u64>; SLOTS as usize],
    req_prod: Cell<u32>,
    req_event: Cell<u32>,
    rsp_prod: Cell<u32>,
    rsp_event: Cell<u32>,
    script: RefCell<VecDeque<u32>>,
}

impl Memory {
    fn scripted_or(&self, honest: u32) -> u32 {
        self.script.borrow_mut().pop_front().unwrap_or(honest)
    }

    fn slot(&self, slot: u32) -> &Cell<u64> {
        self.slots.get(slot as usize).expect("no access leaves the ring")
    }
}

impl SlotRing for Memory {
    type Req = u64;
    type Rsp = u64;
    const SLOTS: u32 = SLOTS;

    fn load_req_prod(&self) -> u32 {
        self.scripted_or(self.req_prod.get())
    }
    fn store_req_prod(&self, prod: u32) {
        self.req_prod.set(prod);
    }
    fn load_req_event(&self) -> u32 {
        self.req_event.get()
    }
    fn store_req_event(&self, event: u32) {
        self.req_event.set(event);
    }
    fn load_rsp_prod(&self) -> u32 {
        self.scripted_or(self.rsp_prod.get())
    }
    fn store_rsp_prod(&self, prod: u32) {
        self.rsp_prod.set(prod);
    }
    fn load_rsp_event(&self) -> u32 {
        self.rsp_event.get()
    }
    fn store_rsp_event(&self, event: u32) {
        self.rsp_event.set(event);
    }
    fn read_req(&self, slot: u32) -> u64 {
        self.slot(slot).get()
    }
    fn write_req(&self, slot: u32, req: &u64) {
        self.slot(slot).set(*req);
    }
    fn read_rsp(&self, slot: u32) -> u64 {
        self.slot(slot).get()
    }
    fn write_rsp(&self, slot: u32, rsp: &u64) {
        self.slot(slot).set(*rsp);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    PublishRequests,
    TakeRequest,
    Answer,
    PublishResponses,
    TakeResponse,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop::sample::select(vec![
        Step::Ask,
        Step::Ask,
        Step::PublishRequests,
        Step::TakeRequest,
        Step::TakeRequest,
        Step::Answer,
        Step::Answer,
        Step::PublishResponses,
        Step::TakeResponse,
        Step::TakeResponse,
    ])
}

proptest! {
    #[test]
    fn every_request_is_answered_once_and_in_order(
        steps in prop::collection::vec(any_step(), 0..400),
    ) {
        let ring = Memory::default();
        let mut front = FrontRing::init(&ring);
        let mut back = BackRing::attach(&ring);
        let (mut next, mut in_use) = (0_u64, 0_u32);
        let mut pushed = VecDeque::new();
        let mut published = VecDeque::new();
        let mut taken = VecDeque::new();
        let mut answered = VecDeque::new();
        let mut visible = VecDeque::new();
        for step in steps {
            match step {
                Step::Ask if in_use == SLOTS => {
                    prop_assert_eq!(front.push(&ring, &next), Err(PushError::Full));
                }
                Step::Ask => {
                    prop_assert_eq!(front.push(&ring, &next), Ok(()));
                    pushed.push_back(next);
                    next += 1;
                    in_use += 1;
                }
                Step::PublishRequests => {
                    let _ = front.publish(&ring);
                    published.append(&mut pushed);
                }
                Step::TakeRequest => {
                    let expected = published.pop_front();
                    prop_assert_eq!(back.pop(&ring), Ok(expected));
                    taken.extend(expected);
                }
                Step::Answer => match taken.pop_front() {
                    None => prop_assert_eq!(back.push(&ring, &0), Err(PushError::Full)),
                    Some(req) => {
                        prop_assert_eq!(back.push(&ring, &(req + 1000)), Ok(()));
                        answered.push_back(req + 1000);
                    }
                },
                Step::PublishResponses => {
                    let _ = back.publish(&ring);
                    visible.append(&mut answered);
                }
                Step::TakeResponse => {
                    let expected = visible.pop_front();
                    prop_assert_eq!(front.pop(&ring), Ok(expected));
                    in_use -= u32::from(expected.is_some());
                }
            }
            prop_assert_eq!(front.free::<Memory>(), SLOTS - in_use);
        }
    }

    #[test]
    fn a_front_end_takes_no_more_responses_than_it_asked_for(
        asked in 0..=SLOTS, script in prop::collection::vec(
            prop_oneof![0..2 * SLOTS, any::<u32>()], 1..40),
    ) {
        let ring = Memory::default();
        let mut front = FrontRing::init(&ring);
        for request in 0..asked {
            front.push(&ring, &request.into()).expect("the ring has room");
        }
        let _ = front.publish(&ring);
        *ring.script.borrow_mut() = script.iter().copied().collect();
        let mut taken = 0;
        for prod in script {
            let waiting = prod.wrapping_sub(taken);
            match front.pop(&ring) {
                Err(corrupt) => prop_assert_eq!(corrupt.distance, waiting),
                Ok(None) => prop_assert_eq!(waiting, 0),
                Ok(Some(_)) => {
                    prop_assert!(waiting <= asked - taken);
                    taken += 1;
                }
            }
        }
        prop_assert!(taken <= asked);
    }

    #[test]
    fn a_back_end_never_has_more_open_requests_than_slots(
        script in prop::collection::vec(prop_oneof![0..2 * SLOTS, any::<u32>()], 1..60),
        answers in prop::collection::vec(any::<bool>(), 60),
    ) {
        let ring = Memory::default();
        let mut back = BackRing::attach(&ring);
        *ring.script.borrow_mut() = script.iter().copied().collect();
        let (mut taken, mut done) = (0_u32, 0_u32);
        for (prod, answer) in script.into_iter().zip(answers) {
            let result = back.pop(&ring);
            let possible = prod.wrapping_sub(done) <= SLOTS && prod.wrapping_sub(taken) <= SLOTS;
            prop_assert_eq!(result.is_ok(), possible);
            taken += u32::from(matches!(result, Ok(Some(_))));
            prop_assert!(taken - done <= SLOTS);
            if answer {
                let pushed = back.push(&ring, &7);
                prop_assert_eq!(pushed.is_ok(), done < taken);
                done += u32::from(pushed.is_ok());
            }
        }
    }
}

#[test]
fn a_notification_is_asked_for_exactly_when_the_event_is_passed() {
    let ring = Memory::default();
    let mut front = FrontRing::init(&ring);
    let back = BackRing::attach(&ring);
    front.push(&ring, &1).expect("the ring has room");
    assert!(front.publish(&ring), "the first request wakes the other end");
    front.push(&ring, &2).expect("the ring has room");
    assert!(!front.publish(&ring), "nobody asked for the second");
    assert_eq!(back.arm(&ring), Ok(true), "requests wait, so sleeping would be wrong");
    assert!(!front.publish(&ring), "publishing nothing wakes nobody");
}
