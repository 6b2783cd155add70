//! The ring of a disk, misused.

use alloc::format;
use alloc::string::{String, ToString};

use hypercall_abi::io::block::{
    BlkifRequest, BlkifRequestIndirect, BlkifRequestSegment, OP_DISCARD, OP_FLUSH_DISKCACHE,
    OP_INDIRECT, OP_READ, OP_WRITE, OP_WRITE_BARRIER,
};
use hypercall_abi::io::ring::SringHeader;
use hypercall_abi::io::xenbus::STATE_INITIALISED;
use hypercall_abi::{DomId, PAGE_SIZE};
use pv_ring::SlotRing;
use pvkernel_xen::blkring::BlkRing;
use pvkernel_xen::grants::GrantedPages;
use pvkernel_xen::{println, thread, time};
use zerocopy::{FromZeros, IntoBytes};

use crate::dice::Dice;
use crate::half::Half;
use crate::pages::Hand;
use crate::{Endless, Rounds};

const SLOTS: u32 = BlkRing::SLOTS;
/// How long requests may take to be answered; there is other load.
const LIMIT_NS: u64 = 20_000_000_000;
/// After so long without an answer the other side is told again.
const AGAIN_NS: u64 = 3_000_000_000;
/// Rounds with one ring.
const ROUNDS_EACH: u32 = 50;

/// A disk with a ring of ours.
struct Front {
    half: Half,
    ring: GrantedPages,
}

impl Front {
    fn new() -> Result<Self, String> {
        Ok(Self { half: Half::find("vbd")?, ring: page()? })
    }

    fn ring(&self) -> BlkRing<'_> {
        BlkRing::new(self.ring.memory())
    }

    /// Connects with an empty ring.
    fn connect(&mut self, is_persistent: bool) -> Result<(), String> {
        // Whoever had the old one mapped may still look at it.
        self.ring = page()?;
        self.ring.memory().write(0, SringHeader::initial().as_bytes());
        let flag = u8::from(is_persistent).to_string();
        let nodes = [
            ("ring-ref", self.ring.refs()[0].to_string()),
            ("protocol", String::from("x86_64-abi")),
            ("feature-persistent", flag),
        ];
        self.half.connect(&nodes, STATE_INITIALISED)
    }

    /// Publishes requests and notifies whatever the other side asked for.
    fn publish(&self, prod: u32) {
        self.ring().store_req_prod(prod);
        self.half.notify();
    }

    /// Waits until every request was answered; more answers than requests are a failure, too.
    fn settle(&self, prod: u32) -> Result<(), String> {
        let start_ns = time::now_ns();
        let mut again_ns = start_ns + AGAIN_NS;
        loop {
            let open = prod.wrapping_sub(self.ring().load_rsp_prod());
            if open == 0 {
                return Ok(());
            }
            let now_ns = time::now_ns();
            if open > SLOTS || now_ns > start_ns + LIMIT_NS {
                return Err(format!("{open} of {SLOTS} requests are not answered"));
            }
            if now_ns > again_ns {
                println!("badfront: {open} requests wait; the other side is told again");
                self.half.notify();
                again_ns = now_ns + AGAIN_NS;
            }
            thread::sleep_ns(100_000);
        }
    }
}

fn page() -> Result<GrantedPages, String> {
    GrantedPages::new(DomId::DOM0, 1, true).map_err(|errno| errno.name().to_string())
}

/// Indices that cannot be: the back half gives the ring up, and takes the next one.
pub fn indices(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut front = Front::new()?;
    loop {
        front.connect(dice.one_in(2))?;
        for _ in 0..4 {
            let ring = front.ring();
            ring.store_rsp_prod(dice.index(0));
            ring.store_rsp_event(dice.index(0));
            ring.store_req_event(dice.index(0));
            let slot = BlkifRequest { operation: OP_READ, ..BlkifRequest::default() };
            (0..SLOTS).for_each(|at| ring.write_req(at, &slot));
            front.publish(dice.index(0));
            thread::sleep_ns(dice.below(1_000_000));
        }
        rounds.add("");
    }
}

fn segment(hand: &Hand, dice: &mut Dice) -> BlkifRequestSegment {
    let gref = hand.gref(dice);
    let (first_sect, last_sect) = match dice.below(8) {
        0 => (dice.next() as u8, dice.next() as u8),
        1 => (dice.below(10) as u8, dice.below(10) as u8),
        _ => (0, 7),
    };
    BlkifRequestSegment { gref, first_sect, last_sect, ..Default::default() }
}

fn sector(dice: &mut Dice) -> u64 {
    match dice.below(8) {
        0 => dice.next(),
        1 => u64::MAX - dice.below(100),
        2 => 4090 + dice.below(20),
        _ => dice.below(4000),
    }
}

/// A request that makes sense, nearly, or not at all.
fn request(hand: &Hand, dice: &mut Dice) -> BlkifRequest {
    let mut slot = BlkifRequest::new_zeroed();
    if dice.one_in(8) {
        dice.fill(slot.as_mut_bytes());
        return slot;
    }
    if dice.one_in(4) {
        return indirect(hand, dice);
    }
    let known = [OP_READ, OP_WRITE, OP_WRITE_BARRIER, OP_FLUSH_DISKCACHE, OP_DISCARD];
    slot.operation = if dice.one_in(10) { dice.next() as u8 } else { dice.pick(&known) };
    slot.nr_segments = if dice.one_in(6) { dice.next() as u8 } else { 1 + dice.below(11) as u8 };
    slot.id = dice.next();
    slot.sector_number = sector(dice);
    for one in &mut slot.seg {
        *one = segment(hand, dice);
    }
    slot
}

/// A request whose segments stand in pages that are written again while it waits.
fn indirect(hand: &Hand, dice: &mut Dice) -> BlkifRequest {
    let mut slot = BlkifRequestIndirect {
        operation: OP_INDIRECT,
        indirect_op: dice.pick(&[OP_READ, OP_WRITE, OP_INDIRECT, OP_DISCARD, 77]),
        nr_segments: if dice.one_in(5) { dice.next() as u16 } else { dice.below(300) as u16 },
        id: dice.next(),
        sector_number: sector(dice),
        ..BlkifRequestIndirect::new_zeroed()
    };
    for gref in &mut slot.indirect_grefs {
        *gref = hand.gref(dice);
    }
    scribble(hand, dice);
    let mut whole = BlkifRequest::new_zeroed();
    let bytes = slot.as_bytes();
    whole.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    whole
}

/// Writes segments over one of the pages that dom0 may use.
fn scribble(hand: &Hand, dice: &mut Dice) {
    let page = dice.below(hand.open.pages() as u64) as usize * PAGE_SIZE;
    for at in 0..64 {
        hand.open.memory().write(page + at * 8, segment(hand, dice).as_bytes());
    }
}

/// Random requests with honest indices; slots and pages are written again behind them.
pub fn requests(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut front = Front::new()?;
    let hand = Hand::new()?;
    loop {
        front.connect(dice.one_in(2))?;
        let mut prod: u32 = 0;
        for _ in 0..ROUNDS_EACH {
            let count = 1 + dice.below(u64::from(SLOTS)) as u32;
            let first = prod;
            for _ in 0..count {
                front.ring().write_req(prod % SLOTS, &request(&hand, dice));
                prod = prod.wrapping_add(1);
            }
            front.publish(prod);
            for _ in 0..dice.below(200) {
                let slot = first.wrapping_add(dice.below(u64::from(count)) as u32) % SLOTS;
                front.ring().write_req(slot, &request(&hand, dice));
                scribble(&hand, dice);
            }
            front.settle(prod)?;
            rounds.add("");
        }
        hand.check()?;
    }
}

/// A ring that is filled up as fast as it empties.
pub fn endless(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut front = Front::new()?;
    let hand = Hand::new()?;
    front.connect(true)?;
    let refs = hand.open.refs();
    let mut slot = BlkifRequest::new_zeroed();
    slot.nr_segments = 11;
    for (one, gref) in slot.seg.iter_mut().zip(refs) {
        *one = BlkifRequestSegment { gref: *gref, last_sect: 7, ..Default::default() };
    }
    let mut prod: u32 = 0;
    loop {
        let free = SLOTS - prod.wrapping_sub(front.ring().load_rsp_prod()).min(SLOTS);
        for _ in 0..free {
            slot.operation = dice.pick(&[OP_READ, OP_WRITE]);
            slot.sector_number = dice.below(3000);
            front.ring().write_req(prod % SLOTS, &slot);
            prod = prod.wrapping_add(1);
        }
        // Each of them may be more than asked for.
        front.publish(prod);
        rounds.add("");
    }
}
