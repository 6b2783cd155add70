//! The rings of a network card, misused.

use alloc::format;
use alloc::string::{String, ToString};

use hypercall_abi::io::net::{NetifExtraInfo, NetifRxRequest, NetifTxRequest, TXF_MORE_DATA};
use hypercall_abi::io::ring::SringHeader;
use hypercall_abi::io::xenbus::STATE_CONNECTED;
use hypercall_abi::{DomId, PAGE_SIZE};
use pv_ring::{NetRxPage, NetTxPage, SlotRing, TxSlot, NET_SLOTS};
use pvkernel_xen::grants::GrantedPages;
use pvkernel_xen::netring::{rx_ring, tx_ring};
use pvkernel_xen::{thread, time};
use zerocopy::IntoBytes;

use crate::dice::Dice;
use crate::half::Half;
use crate::pages::Hand;
use crate::{Endless, Rounds};

/// How long requests may take to be answered; there is other load.
const LIMIT_NS: u64 = 20_000_000_000;
/// Rounds with one pair of rings.
const ROUNDS_EACH: u32 = 50;
/// Slots that end any packet.
const ENDING: u32 = 4;
/// A frame to everybody, of a kind for local experiments (IEEE 802).
const FRAME: [u8; 16] =
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x5a, 0x4c, 0xbd, 0, 1, 0x88, 0xb5, 0, 0];

/// A card with rings of ours.
struct Front {
    half: Half,
    rings: GrantedPages,
}

impl Front {
    fn new() -> Result<Self, String> {
        Ok(Self { half: Half::find("vif")?, rings: pages()? })
    }

    fn tx(&self) -> &NetTxPage {
        tx_ring(self.rings.memory(), 0)
    }

    fn rx(&self) -> &NetRxPage {
        rx_ring(self.rings.memory(), 1)
    }

    fn connect(&mut self, dice: &mut Dice) -> Result<(), String> {
        // Whoever had the old ones mapped may still look at them.
        self.rings = pages()?;
        for page in 0..2 {
            self.rings.memory().write(page * PAGE_SIZE, SringHeader::initial().as_bytes());
        }
        let mut flag = || dice.below(2).to_string();
        let nodes = [
            ("tx-ring-ref", self.rings.refs()[0].to_string()),
            ("rx-ring-ref", self.rings.refs()[1].to_string()),
            ("request-rx-copy", String::from("1")),
            ("feature-sg", flag()),
            ("feature-gso-tcpv4", flag()),
            ("feature-no-csum-offload", flag()),
        ];
        self.half.connect(&nodes, STATE_CONNECTED)
    }

    /// Waits until every slot of the outgoing ring was answered; more answers than slots are a
    /// failure, too.
    fn settle(&self, prod: u32) -> Result<(), String> {
        let end_ns = time::now_ns() + LIMIT_NS;
        loop {
            let open = prod.wrapping_sub(self.tx().load_rsp_prod());
            if open == 0 {
                return Ok(());
            }
            if open > NET_SLOTS || time::now_ns() > end_ns {
                return Err(format!("{open} of {NET_SLOTS} slots are not answered"));
            }
            thread::sleep_ns(100_000);
        }
    }
}

fn pages() -> Result<GrantedPages, String> {
    GrantedPages::new(DomId::DOM0, 2, true).map_err(|errno| errno.name().to_string())
}

/// Indices that cannot be: the back half gives the rings up, and takes the next ones.
pub fn indices(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut front = Front::new()?;
    loop {
        front.connect(dice)?;
        for _ in 0..4 {
            front.tx().store_rsp_prod(dice.index(0));
            front.tx().store_req_event(dice.index(0));
            front.rx().store_rsp_prod(dice.index(0));
            front.rx().store_rsp_event(dice.index(0));
            if dice.one_in(2) {
                front.rx().store_req_prod(dice.index(0));
            } else {
                front.tx().store_req_prod(dice.index(0));
            }
            front.half.notify();
            thread::sleep_ns(dice.below(1_000_000));
        }
        rounds.add("");
    }
}

/// A slot of a packet that makes sense, nearly, or not at all.
fn slot(hand: &Hand, dice: &mut Dice) -> TxSlot {
    if dice.one_in(8) {
        return TxSlot([dice.next() as u32, dice.next() as u32, dice.next() as u32]);
    }
    if dice.one_in(6) {
        let u = [dice.below(3000) as u16, dice.below(4) as u16, dice.next() as u16];
        let (kind, flags) = (dice.below(6) as u8, dice.below(2) as u8);
        return TxSlot::of_extra(&NetifExtraInfo { kind, flags, u });
    }
    let (offset, size) = match dice.below(6) {
        0 => (dice.next() as u16, dice.next() as u16),
        1 => (4000 + dice.below(200) as u16, dice.below(200) as u16),
        2 => (0, dice.below(20) as u16),
        _ => (dice.below(64) as u16, 14 + dice.below(3000) as u16),
    };
    let flags = match dice.below(4) {
        0 => dice.below(16) as u16,
        1 => TXF_MORE_DATA,
        _ => 0,
    };
    let gref = hand.gref(dice);
    TxSlot::of_request(&NetifTxRequest { gref, offset, flags, id: dice.next() as u16, size })
}

/// Random slots with honest indices; slots and pages are written again behind them.
pub fn requests(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut front = Front::new()?;
    let hand = Hand::new()?;
    let memory = hand.open.memory();
    loop {
        front.connect(dice)?;
        let (mut tx, mut rx): (u32, u32) = (0, 0);
        for _ in 0..ROUNDS_EACH {
            let mut heads = [0; 64];
            dice.fill(&mut heads);
            heads[..16].copy_from_slice(&FRAME);
            let page = dice.below(hand.open.pages() as u64) as usize;
            memory.write(page * PAGE_SIZE, &heads);
            rx = post(&front, &hand, dice, rx);
            let count = 1 + dice.below(u64::from(NET_SLOTS - ENDING)) as u32;
            let first = tx;
            for _ in 0..count {
                front.tx().write_req(tx % NET_SLOTS, &slot(&hand, dice));
                tx = tx.wrapping_add(1);
            }
            front.tx().store_req_prod(tx);
            front.half.notify();
            for _ in 0..dice.below(300) {
                let at = first.wrapping_add(dice.below(u64::from(count)) as u32) % NET_SLOTS;
                front.tx().write_req(at, &slot(&hand, dice));
            }
            // Whatever was begun ends in a few slots without flags, and then all are answered.
            for _ in 0..ENDING {
                front.tx().write_req(tx % NET_SLOTS, &TxSlot::default());
                tx = tx.wrapping_add(1);
            }
            front.tx().store_req_prod(tx);
            front.half.notify();
            front.settle(tx)?;
            rounds.add("");
        }
        hand.check()?;
    }
}

/// Posts pages to receive into, good and bad ones.
fn post(front: &Front, hand: &Hand, dice: &mut Dice, rx: u32) -> u32 {
    let used = rx.wrapping_sub(front.rx().load_rsp_prod()).min(NET_SLOTS);
    let count = dice.below(u64::from(NET_SLOTS - used) + 1) as u32;
    for at in 0..count {
        let gref = hand.gref(dice);
        let request = NetifRxRequest { id: dice.next() as u16, pad: 0, gref };
        front.rx().write_req(rx.wrapping_add(at) % NET_SLOTS, &request);
    }
    let prod = rx.wrapping_add(count);
    front.rx().store_req_prod(prod);
    prod
}

/// Frames to everybody as fast as they are taken, and pages for all that comes back.
pub fn endless(rounds: &mut Rounds) -> Endless {
    let mut front = Front::new()?;
    let hand = Hand::new()?;
    front.connect(&mut Dice::new(1))?;
    (0..hand.open.pages()).for_each(|page| hand.open.memory().write(page * PAGE_SIZE, &FRAME));
    let refs = hand.open.refs();
    let (mut tx, mut rx): (u32, u32) = (0, 0);
    loop {
        while tx.wrapping_sub(front.tx().load_rsp_prod()) < NET_SLOTS {
            let gref = refs[tx as usize % refs.len()];
            let request = NetifTxRequest { gref, offset: 0, flags: 0, id: tx as u16, size: 1514 };
            front.tx().write_req(tx % NET_SLOTS, &TxSlot::of_request(&request));
            tx = tx.wrapping_add(1);
        }
        while rx.wrapping_sub(front.rx().load_rsp_prod()) < NET_SLOTS {
            let request =
                NetifRxRequest { id: rx as u16, pad: 0, gref: refs[rx as usize % refs.len()] };
            front.rx().write_req(rx % NET_SLOTS, &request);
            rx = rx.wrapping_add(1);
        }
        front.tx().store_req_prod(tx);
        front.rx().store_req_prod(rx);
        front.half.notify();
        rounds.add("");
    }
}
