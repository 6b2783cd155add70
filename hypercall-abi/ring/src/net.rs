//! The rings of a network device as atomics.
//!
//! A packet takes several slots, and what a slot holds depends on the slot before it, so slots are
//! copied as plain words and read as one thing or the other afterwards. Whoever has a ring's page
//! mapped makes one reference of these types to it; from then on all access is safe code.

use crate::slot::SlotRing;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU32, Ordering};
use hypercall_abi::io::net::{
    NetifExtraInfo, NetifRxRequest, NetifRxResponse, NetifTxRequest, NetifTxResponse,
};
use hypercall_abi::io::ring::{slots_per_page, SringHeader, HEADER_SIZE};
use hypercall_abi::{GrantRef, PAGE_SIZE};

/// Slots of each of the two rings.
pub const NET_SLOTS: u32 = 256;

const TX_WORDS: usize = size_of::<NetifTxRequest>() / 4;
const RX_WORDS: usize = size_of::<NetifRxRequest>() / 4;

/// A slot of the ring of outgoing packets: a request, or extra information behind one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxSlot(pub [u32; TX_WORDS]);

/// A slot of the ring of incoming packets: a response, or extra information behind one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxSlot(pub [u32; RX_WORDS]);

const fn low(word: u32) -> u16 {
    word as u16
}

const fn high(word: u32) -> u16 {
    (word >> 16) as u16
}

const fn both(low: u16, high: u16) -> u32 {
    low as u32 | (high as u32) << 16
}

const fn extra_words(extra: &NetifExtraInfo) -> [u32; 2] {
    let kind = extra.kind as u16 | (extra.flags as u16) << 8;
    [both(kind, extra.u[0]), both(extra.u[1], extra.u[2])]
}

const fn extra_of(words: [u32; 2]) -> NetifExtraInfo {
    let kind = low(words[0]);
    let u = [high(words[0]), low(words[1]), high(words[1])];
    NetifExtraInfo { kind: kind as u8, flags: (kind >> 8) as u8, u }
}

impl TxSlot {
    /// A request as a slot.
    #[must_use]
    pub const fn of_request(req: &NetifTxRequest) -> Self {
        Self([req.gref.get(), both(req.offset, req.flags), both(req.id, req.size)])
    }

    /// Extra information as a slot.
    #[must_use]
    pub const fn of_extra(extra: &NetifExtraInfo) -> Self {
        let [first, second] = extra_words(extra);
        Self([first, second, 0])
    }

    /// The slot as a request.
    #[must_use]
    pub const fn request(self) -> NetifTxRequest {
        let [gref, second, third] = self.0;
        NetifTxRequest {
            gref: GrantRef::new(gref),
            offset: low(second),
            flags: high(second),
            id: low(third),
            size: high(third),
        }
    }

    /// The slot as extra information.
    #[must_use]
    pub const fn extra(self) -> NetifExtraInfo {
        extra_of([self.0[0], self.0[1]])
    }
}

impl RxSlot {
    /// A response as a slot.
    #[must_use]
    pub const fn of_response(rsp: &NetifRxResponse) -> Self {
        Self([both(rsp.id, rsp.offset), both(rsp.flags, rsp.status as u16)])
    }

    /// Extra information as a slot.
    #[must_use]
    pub const fn of_extra(extra: &NetifExtraInfo) -> Self {
        Self(extra_words(extra))
    }

    /// The slot as a response.
    #[must_use]
    pub const fn response(self) -> NetifRxResponse {
        let [first, second] = self.0;
        let status = high(second) as i16;
        NetifRxResponse { id: low(first), offset: high(first), flags: low(second), status }
    }

    /// The slot as extra information.
    #[must_use]
    pub const fn extra(self) -> NetifExtraInfo {
        extra_of(self.0)
    }
}

/// A ring page: the head, then slots of `WORDS` words.
#[derive(Debug)]
#[repr(C)]
struct RingPage<const WORDS: usize> {
    req_prod: AtomicU32,
    req_event: AtomicU32,
    rsp_prod: AtomicU32,
    rsp_event: AtomicU32,
    _pad: [AtomicU32; 12],
    slots: [[AtomicU32; WORDS]; NET_SLOTS as usize],
}

impl<const WORDS: usize> RingPage<WORDS> {
    const fn new() -> Self {
        Self {
            req_prod: AtomicU32::new(0),
            req_event: AtomicU32::new(1),
            rsp_prod: AtomicU32::new(0),
            rsp_event: AtomicU32::new(1),
            _pad: [const { AtomicU32::new(0) }; 12],
            slots: [const { [const { AtomicU32::new(0) }; WORDS] }; NET_SLOTS as usize],
        }
    }

    fn read<const N: usize>(&self, slot: u32) -> [u32; N] {
        let mut words = [0; N];
        if let Some(from) = self.slots.get(slot as usize) {
            for (word, from) in words.iter_mut().zip(from) {
                *word = from.load(Ordering::Relaxed);
            }
        }
        words
    }

    fn write(&self, slot: u32, words: &[u32]) {
        if let Some(to) = self.slots.get(slot as usize) {
            for (to, word) in to.iter().zip(words) {
                to.store(*word, Ordering::Relaxed);
            }
        }
    }
}

/// The page of the ring of outgoing packets.
#[derive(Debug)]
#[repr(transparent)]
pub struct NetTxPage(RingPage<TX_WORDS>);

/// The page of the ring of incoming packets.
#[derive(Debug)]
#[repr(transparent)]
pub struct NetRxPage(RingPage<RX_WORDS>);

const _: () = {
    assert!(offset_of!(RingPage<TX_WORDS>, req_event) == offset_of!(SringHeader, req_event));
    assert!(offset_of!(RingPage<TX_WORDS>, rsp_prod) == offset_of!(SringHeader, rsp_prod));
    assert!(offset_of!(RingPage<TX_WORDS>, rsp_event) == offset_of!(SringHeader, rsp_event));
    assert!(offset_of!(RingPage<TX_WORDS>, slots) == HEADER_SIZE);
    assert!(size_of::<NetTxPage>() <= PAGE_SIZE && size_of::<NetRxPage>() <= PAGE_SIZE);
    assert!(slots_per_page(size_of::<NetifTxRequest>()) == NET_SLOTS);
    assert!(slots_per_page(size_of::<NetifRxResponse>()) == NET_SLOTS);
    assert!(size_of::<NetifRxRequest>() == size_of::<NetifRxResponse>());
};

macro_rules! indices {
    () => {
        const SLOTS: u32 = NET_SLOTS;

        fn load_req_prod(&self) -> u32 {
            self.0.req_prod.load(Ordering::Acquire)
        }
        fn store_req_prod(&self, prod: u32) {
            self.0.req_prod.store(prod, Ordering::Release);
        }
        fn load_req_event(&self) -> u32 {
            self.0.req_event.load(Ordering::Relaxed)
        }
        fn store_req_event(&self, event: u32) {
            self.0.req_event.store(event, Ordering::Relaxed);
        }
        fn load_rsp_prod(&self) -> u32 {
            self.0.rsp_prod.load(Ordering::Acquire)
        }
        fn store_rsp_prod(&self, prod: u32) {
            self.0.rsp_prod.store(prod, Ordering::Release);
        }
        fn load_rsp_event(&self) -> u32 {
            self.0.rsp_event.load(Ordering::Relaxed)
        }
        fn store_rsp_event(&self, event: u32) {
            self.0.rsp_event.store(event, Ordering::Relaxed);
        }
    };
}

impl SlotRing for NetTxPage {
    type Req = TxSlot;
    type Rsp = NetifTxResponse;
    indices!();

    fn read_req(&self, slot: u32) -> TxSlot {
        TxSlot(self.0.read(slot))
    }

    fn write_req(&self, slot: u32, req: &TxSlot) {
        self.0.write(slot, &req.0);
    }

    fn read_rsp(&self, slot: u32) -> NetifTxResponse {
        let [word] = self.0.read(slot);
        NetifTxResponse { id: low(word), status: high(word) as i16 }
    }

    fn write_rsp(&self, slot: u32, rsp: &NetifTxResponse) {
        self.0.write(slot, &[both(rsp.id, rsp.status as u16)]);
    }
}

impl SlotRing for NetRxPage {
    type Req = NetifRxRequest;
    type Rsp = RxSlot;
    indices!();

    fn read_req(&self, slot: u32) -> NetifRxRequest {
        let [first, gref] = self.0.read(slot);
        NetifRxRequest { id: low(first), pad: 0, gref: GrantRef::new(gref) }
    }

    fn write_req(&self, slot: u32, req: &NetifRxRequest) {
        self.0.write(slot, &[both(req.id, 0), req.gref.get()]);
    }

    fn read_rsp(&self, slot: u32) -> RxSlot {
        RxSlot(self.0.read(slot))
    }

    fn write_rsp(&self, slot: u32, rsp: &RxSlot) {
        self.0.write(slot, &rsp.0);
    }
}

macro_rules! page {
    ($name:ident) => {
        impl $name {
            /// A ring that was never used.
            #[must_use]
            pub const fn new() -> Self {
                Self(RingPage::new())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

page!(NetTxPage);
page!(NetRxPage);
