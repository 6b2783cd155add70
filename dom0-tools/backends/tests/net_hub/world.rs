//! Guests with memory, a machine that copies, and a card, for tests of the hub.

use hypercall_abi::io::net::{
    NetifExtraInfo, NetifRxRequest, NetifTxRequest, EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, RSP_NULL,
    RSP_OKAY, RXF_EXTRA_INFO, RXF_MORE_DATA, TXF_CSUM_BLANK, TXF_EXTRA_INFO, TXF_MORE_DATA,
};
use hypercall_abi::{DomId, GrantRef};
use pv_ring::{FrontRing, NetRxPage, NetTxPage, TxSlot};
use pvkernel_core::device::net::{Checksum, FrameMeta, NetDevice, NetInfo};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use zl_backends::net::{Copier, CopyIn, CopyOut, Wire};

/// What both ends of a guest's card see.
pub struct Shared {
    pub domain: DomId,
    pub tx: NetTxPage,
    pub rx: NetRxPage,
    pub event: AtomicBool,
    pub notified: AtomicUsize,
    /// Granted pages.
    pub pages: Mutex<BTreeMap<u32, Vec<u8>>>,
}

pub struct End(pub Arc<Shared>);

impl Wire for End {
    fn tx(&self) -> &NetTxPage {
        &self.0.tx
    }
    fn rx(&self) -> &NetRxPage {
        &self.0.rx
    }
    fn peer(&self) -> DomId {
        self.0.domain
    }
    fn notify(&self, _tx: bool, _rx: bool) {
        self.0.notified.fetch_add(1, Ordering::Relaxed);
    }
    fn take_event(&self) -> bool {
        self.0.event.swap(false, Ordering::Relaxed)
    }
}

/// The machine: all guests' memory.
#[derive(Default)]
pub struct Machine {
    pub guests: Vec<Arc<Shared>>,
    pub batches: usize,
}

impl Machine {
    fn with<T>(
        &self,
        dom: DomId,
        gref: GrantRef,
        body: impl FnOnce(&mut [u8]) -> Option<T>,
    ) -> Option<T> {
        let guest = self.guests.iter().find(|guest| guest.domain == dom)?;
        let mut pages = guest.pages.lock().expect("no panic");
        body(pages.get_mut(&gref.get())?)
    }
}

impl Copier for Machine {
    fn copy_in<'a>(&mut self, pieces: impl Iterator<Item = CopyIn<'a>>, verdicts: &mut Vec<bool>) {
        self.batches += 1;
        for CopyIn { peer, gref, offset, to } in pieces {
            let done = self.with(peer, gref, |page| {
                to.copy_from_slice(page.get(offset..offset + to.len())?);
                Some(())
            });
            verdicts.push(done.is_some());
        }
    }

    fn copy_out<'a>(
        &mut self,
        pieces: impl Iterator<Item = CopyOut<'a>>,
        verdicts: &mut Vec<bool>,
    ) {
        self.batches += 1;
        for CopyOut { peer, gref, from } in pieces {
            let done = self.with(peer, gref, |page| {
                page.get_mut(..from.len())?.copy_from_slice(from);
                Some(())
            });
            verdicts.push(done.is_some());
        }
    }
}

/// A guest's driver, slow and honest.
pub struct Guest {
    pub shared: Arc<Shared>,
    tx: FrontRing,
    rx: FrontRing,
    next_gref: u32,
    next_id: u16,
    /// Pages of a packet by the id of each slot.
    in_flight: BTreeMap<u16, u32>,
    pub answered: usize,
    pub failed: usize,
}

impl Guest {
    pub fn new(number: u16) -> Self {
        let shared = Arc::new(Shared {
            domain: DomId::new(number),
            tx: NetTxPage::new(),
            rx: NetRxPage::new(),
            event: AtomicBool::new(false),
            notified: AtomicUsize::new(0),
            pages: Mutex::new(BTreeMap::new()),
        });
        let (tx, rx) = (FrontRing::init(&shared.tx), FrontRing::init(&shared.rx));
        Self {
            shared,
            tx,
            rx,
            next_gref: 10_000,
            next_id: 0,
            in_flight: BTreeMap::new(),
            answered: 0,
            failed: 0,
        }
    }

    /// Sends a frame in pages that begin at `offset`; false when the ring is full.
    pub fn send(&mut self, frame: &[u8], offset: usize, meta: FrameMeta) -> bool {
        let parts: Vec<&[u8]> = frame.chunks(4096 - offset).collect();
        let extra = usize::from(meta.segment != 0);
        if (self.tx.free::<NetTxPage>() as usize) < parts.len() + extra {
            return false;
        }
        for (at, part) in parts.iter().enumerate() {
            let mut page = vec![0xdd; 4096];
            page[offset..offset + part.len()].copy_from_slice(part);
            let gref = self.next_gref;
            self.next_gref += 1;
            self.shared.pages.lock().expect("no panic").insert(gref, page);
            let mut flags = if at + 1 < parts.len() { TXF_MORE_DATA } else { 0 };
            let mut size = part.len();
            if at == 0 {
                size = frame.len();
                flags |= if extra > 0 { TXF_EXTRA_INFO } else { 0 };
                flags |= if meta.checksum == Checksum::Blank { TXF_CSUM_BLANK } else { 0 };
            }
            self.in_flight.insert(self.next_id, gref);
            let request = NetifTxRequest {
                gref: GrantRef::new(gref),
                offset: offset as u16,
                flags,
                id: self.next_id,
                size: size as u16,
            };
            self.next_id = self.next_id.wrapping_add(1);
            self.tx.push(&self.shared.tx, &TxSlot::of_request(&request)).expect("room");
            if at == 0 && extra > 0 {
                let u = [meta.segment, u16::from(GSO_TYPE_TCPV4), 0];
                let info = NetifExtraInfo { kind: EXTRA_TYPE_GSO, flags: 0, u };
                self.tx.push(&self.shared.tx, &TxSlot::of_extra(&info)).expect("room");
            }
        }
        if self.tx.publish(&self.shared.tx) {
            self.shared.event.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Takes the answers to what was sent.
    pub fn reap(&mut self) {
        while let Some(answer) = self.tx.pop(&self.shared.tx).expect("sound") {
            self.answered += 1;
            if answer.status == RSP_NULL {
                continue;
            }
            self.failed += usize::from(answer.status != RSP_OKAY);
            let gref = self.in_flight.remove(&answer.id).expect("answered once");
            self.shared.pages.lock().expect("no panic").remove(&gref);
        }
        let _ = self.tx.arm(&self.shared.tx);
    }

    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.tx.free::<NetTxPage>() == 256
    }

    /// Posts pages.
    pub fn post(&mut self, count: usize) {
        for _ in 0..count.min(self.rx.free::<NetRxPage>() as usize) {
            let gref = self.next_gref;
            self.next_gref += 1;
            self.shared.pages.lock().expect("no panic").insert(gref, vec![0xcc; 4096]);
            // The id of an incoming page is the low half of its grant.
            let request = NetifRxRequest { id: gref as u16, pad: 0, gref: GrantRef::new(gref) };
            self.rx.push(&self.shared.rx, &request).expect("room");
        }
        if self.rx.publish(&self.shared.rx) {
            self.shared.event.store(true, Ordering::Relaxed);
        }
    }

    /// The next frame, and its segment size.
    pub fn receive(&mut self) -> Option<(Vec<u8>, u16)> {
        let mut frame = Vec::new();
        let mut segment = 0;
        let mut response = self.rx.pop(&self.shared.rx).expect("sound")?.response();
        loop {
            let flags = response.flags;
            let gref = self.next_gref & !0xffff | u32::from(response.id);
            let page = self.shared.pages.lock().expect("no panic").remove(&gref).expect("posted");
            assert!(response.status >= 0, "what was posted can be copied to");
            frame.extend(&page[..response.status as usize]);
            if flags & RXF_EXTRA_INFO != 0 {
                let extra = self.rx.pop(&self.shared.rx).expect("sound").expect("extra").extra();
                segment = extra.u[0];
            }
            if flags & RXF_MORE_DATA == 0 {
                return Some((frame, segment));
            }
            response = self.rx.pop(&self.shared.rx).expect("sound").expect("more").response();
        }
    }

    pub fn receive_all(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.receive()).map(|(frame, _)| frame).collect()
    }
}

pub fn mac(number: u16) -> [u8; 6] {
    let [a, b] = number.to_be_bytes();
    [0x02, 0, 0, 0, a, b]
}

pub fn frame(to: [u8; 6], from: [u8; 6], len: usize, fill: u8) -> Vec<u8> {
    let mut frame = [&to[..], &from, &[0x88, 0xb5]].concat();
    frame.resize(len.max(14), fill);
    frame
}

/// A card of the machine with an MTU of 1500.
#[derive(Default)]
pub struct Card {
    pub sent: Mutex<Vec<(Vec<u8>, FrameMeta)>>,
    pub to_receive: Mutex<VecDeque<Vec<u8>>>,
}

impl NetDevice for Card {
    fn info(&self) -> NetInfo {
        NetInfo { mac: [0x52, 0x54, 0, 0, 0, 1], mtu: 1500, sends_blank: false, is_up: true }
    }
    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool {
        let Some(frame) = self.to_receive.lock().expect("no panic").pop_front() else {
            return false;
        };
        consume(&frame, FrameMeta::default());
        true
    }
    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let mut frame = vec![0; len];
        fill(&mut frame);
        self.sent.lock().expect("no panic").push((frame, meta));
        true
    }
    fn can_transmit(&self) -> bool {
        true
    }
    fn has_received(&self) -> bool {
        !self.to_receive.lock().expect("no panic").is_empty()
    }
    fn flush(&self) {}
    fn set_wake(&self, _wake: Box<dyn Fn() + Send + Sync>) {}
}
