//! A front half against a back half that answers in any order, goes away, and lies.

use super::{encode, Encoded, Features, Front, FrontError, Operation, MAX_INDIRECT};
use crate::device::block::BlockOp;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use hypercall_abi::io::block::{
    BlkifRequest, BlkifRequestDiscard, BlkifRequestIndirect, BlkifResponse, OP_DISCARD,
    OP_FLUSH_DISKCACHE, OP_INDIRECT, OP_READ, OP_WRITE, OP_WRITE_BARRIER,
};
use hypercall_abi::GrantRef;
use proptest::prelude::*;
use pv_ring::{BackRing, SlotRing};
use zerocopy::{FromBytes, IntoBytes};

#[derive(Default)]
struct Memory {
    requests: RefCell<[BlkifRequest; 32]>,
    responses: RefCell<[BlkifResponse; 32]>,
    indices: [Cell<u32>; 4],
}

impl SlotRing for Memory {
    type Req = BlkifRequest;
    type Rsp = BlkifResponse;
    const SLOTS: u32 = 32;

    fn load_req_prod(&self) -> u32 {
        self.indices[0].get()
    }
    fn store_req_prod(&self, prod: u32) {
        self.indices[0].set(prod);
    }
    fn load_req_event(&self) -> u32 {
        self.indices[1].get()
    }
    fn store_req_event(&self, event: u32) {
        self.indices[1].set(event);
    }
    fn load_rsp_prod(&self) -> u32 {
        self.indices[2].get()
    }
    fn store_rsp_prod(&self, prod: u32) {
        self.indices[2].set(prod);
    }
    fn load_rsp_event(&self) -> u32 {
        self.indices[3].get()
    }
    fn store_rsp_event(&self, event: u32) {
        self.indices[3].set(event);
    }
    fn read_req(&self, slot: u32) -> BlkifRequest {
        self.requests.borrow()[slot as usize]
    }
    fn write_req(&self, slot: u32, req: &BlkifRequest) {
        self.requests.borrow_mut()[slot as usize] = *req;
    }
    fn read_rsp(&self, slot: u32) -> BlkifResponse {
        self.responses.borrow()[slot as usize]
    }
    fn write_rsp(&self, slot: u32, rsp: &BlkifResponse) {
        self.responses.borrow_mut()[slot as usize] = *rsp;
    }
}

const FEATURES: Features =
    Features { sectors: 4096, info: 0, flush: true, barrier: false, discard: true, indirect: 256 };

fn refs(count: u32) -> Vec<GrantRef> {
    (0..count).map(|at| GrantRef::new(at + 100)).collect()
}

fn operation(op: BlockOp, sectors: u32, page: usize) -> Operation {
    Operation { op, sector: 7, sectors, page }
}

proptest! {
    #[test]
    fn the_segments_of_a_request_are_its_sectors(
        sectors in 0u32..2100, page in 0usize..40, indirect in 0u32..300, writes in any::<bool>(),
    ) {
        let op = if writes { BlockOp::Write } else { BlockOp::Read };
        let features = Features { indirect, ..FEATURES };
        let wanted = operation(op, sectors, page);
        let refs = refs(280);
        let pages = sectors.div_ceil(8) as usize;
        let fits = pages > 0 && pages <= features.max_pages() && page + pages <= refs.len();
        let encoded = encode(5, &wanted, &features, &refs, Some(GrantRef::new(9)));
        prop_assert_eq!(encoded.is_some(), fits);
        let Some(encoded) = encoded else { return Ok(()) };
        let code = if writes { OP_WRITE } else { OP_READ };
        let segments = match encoded {
            Encoded::Slot(slot) => {
                prop_assert!(pages <= 11);
                prop_assert_eq!((slot.operation, slot.id, slot.sector_number), (code, 5, 7));
                slot.seg[..usize::from(slot.nr_segments)].to_vec()
            }
            Encoded::WithSegments(slot, segments) => {
                let (slot, _) = BlkifRequestIndirect::read_from_prefix(slot.as_bytes()).expect("fits");
                prop_assert!(pages > 11 && segments.len() <= MAX_INDIRECT);
                prop_assert_eq!((slot.operation, slot.indirect_op, slot.id), (OP_INDIRECT, code, 5));
                prop_assert_eq!(slot.indirect_grefs[0], GrantRef::new(9));
                prop_assert_eq!(usize::from(slot.nr_segments), segments.len());
                segments
            }
        };
        let total: u32 = segments.iter().map(|s| u32::from(s.last_sect - s.first_sect) + 1).sum();
        prop_assert_eq!(total, sectors);
        prop_assert!(segments.iter().zip(&refs[page..]).all(|(s, gref)| s.gref == *gref));
        prop_assert!(segments.iter().rev().skip(1).all(|s| (s.first_sect, s.last_sect) == (0, 7)));
    }

    #[test]
    fn every_request_ends_once_whatever_becomes_of_the_ring(
        steps in proptest::collection::vec((0u8..8, any::<u8>()), 0..300),
    ) {
        let mut ring = Memory::default();
        let mut front: Front<u32> = Front::new(32);
        front.restart(&ring);
        let mut back = BackRing::attach(&ring);
        // What the back half has taken.
        let mut taken = Vec::new();
        let (mut next, mut ended) = (0, BTreeSet::new());
        for (step, pick) in steps {
            match step {
                0..=2 => match front.accept(operation(BlockOp::Read, 8, 0), next) {
                    Ok(number) => {
                        let slot = BlkifRequest { id: u64::from(number), ..Default::default() };
                        front.send(&ring, number, &slot);
                        next += 1;
                    }
                    Err(_) => prop_assert_eq!(front.in_flight(), 32),
                },
                3 => { let _ = front.publish(&ring); }
                4 => while let Some(request) = back.pop(&ring).expect("honest") {
                    taken.push(request.id);
                },
                5 if !taken.is_empty() => {
                    let id = taken.swap_remove(usize::from(pick) % taken.len());
                    let answer = BlkifResponse { id, ..Default::default() };
                    back.push(&ring, &answer).expect("it was taken");
                    let _ = back.publish(&ring);
                }
                6 => while let Some((owner, ..)) = front.answer(&ring).expect("honest") {
                    prop_assert!(ended.insert(owner), "ended twice");
                },
                7 if pick < 32 => {
                    ring = Memory::default();
                    front.restart(&ring);
                    prop_assert_eq!(front.unsent().len(), front.in_flight());
                    for number in front.unsent() {
                        let slot = BlkifRequest { id: u64::from(number), ..Default::default() };
                        front.send(&ring, number, &slot);
                    }
                    back = BackRing::attach(&ring);
                    taken.clear();
                }
                _ => {}
            }
        }
        for (owner, _) in front.give_up_all() {
            prop_assert!(ended.insert(owner), "ended twice");
        }
        prop_assert_eq!(ended.len() as u32, next);
        prop_assert_eq!(front.in_flight(), 0);
    }

    #[test]
    fn false_answers_are_noticed(ids in proptest::collection::vec(prop_oneof![0u64..4, any::<u64>()], 1..32)) {
        let ring = Memory::default();
        let mut front: Front<u64> = Front::new(32);
        front.restart(&ring);
        let mut open = BTreeMap::new();
        for owner in 0..3 {
            let number = front.accept(operation(BlockOp::Read, 8, 0), owner).expect("room");
            front.send(&ring, number, &BlkifRequest { id: u64::from(number), ..Default::default() });
            open.insert(u64::from(number), owner);
        }
        let _ = front.publish(&ring);
        for (at, id) in ids.iter().take(3).enumerate() {
            ring.write_rsp(at as u32, &BlkifResponse { id: *id, ..Default::default() });
            ring.store_rsp_prod(at as u32 + 1);
            match (front.answer(&ring), open.remove(id)) {
                (Ok(Some((owner, _, is_success))), Some(expected)) => {
                    prop_assert_eq!((owner, is_success), (expected, true));
                }
                (Err(FrontError::UnknownAnswer(found)), None) => {
                    prop_assert_eq!(found, *id);
                    return Ok(());
                }
                (got, expected) => prop_assert!(false, "{got:?} where {expected:?} is open"),
            }
        }
    }
}

#[test]
fn a_back_half_that_answers_more_than_was_asked_is_found_out() {
    let ring = Memory::default();
    let mut front: Front<u32> = Front::new(32);
    front.restart(&ring);
    ring.store_rsp_prod(1);
    assert!(matches!(front.answer(&ring), Err(FrontError::Corrupt(_))));
    assert!(matches!(front.arm(&ring), Err(FrontError::Corrupt(_))));
}

#[test]
fn flush_and_discard_are_said_in_the_words_the_back_half_knows() {
    let slot = |op, features| match encode(1, &operation(op, 3, 0), &features, &[], None) {
        Some(Encoded::Slot(slot)) => Some(slot),
        _ => None,
    };
    let code = |features| slot(BlockOp::Flush, features).map(|slot| slot.operation);
    assert_eq!(code(FEATURES), Some(OP_FLUSH_DISKCACHE));
    let barrier = Features { flush: false, barrier: true, ..FEATURES };
    assert_eq!(code(barrier), Some(OP_WRITE_BARRIER));
    assert_eq!(code(Features { barrier: false, ..barrier }), None);
    let discard = slot(BlockOp::Discard, FEATURES).expect("it can");
    let (discard, _) = BlkifRequestDiscard::read_from_prefix(discard.as_bytes()).expect("it fits");
    assert_eq!((discard.operation, discard.sector_number, discard.nr_sectors), (OP_DISCARD, 7, 3));
    assert!(slot(BlockOp::Discard, Features { discard: false, ..FEATURES }).is_none());
}
