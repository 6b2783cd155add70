//! One connection of a card with a back half: rings, pages and what is in them.
//!
//! Called by the card with its lock held; nothing here waits, and notifying and waking is left to the
//! caller. Memory of frames is lent by address only: whoever uses it keeps the link alive meanwhile.

use core::ops::Range;

use hypercall_abi::io::net::NetifRxRequest;
use hypercall_abi::{DomId, Errno, EvtchnPort, GrantRef, Pfn, PAGE_SIZE};
use pv_ring::{FrontRing, NetTxPage, RingCorrupt, SlotRing};
use pvkernel_core::device::net::FrameMeta;
use pvkernel_core::netfront::{request_slots, Assembler, Received, TxPages};

use super::pages::RxPages;
use crate::event;
use crate::grants::GrantedPages;
use crate::netring::{rx_ring, tx_ring};

/// Pages of the ring pair.
const TX_RING: usize = 0;
const RX_RING: usize = 1;

/// The other half does what is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Indices.
    Ring(RingCorrupt),
    /// An answer to something that was not asked.
    Answer,
    /// Not broken, but there is no memory to go on.
    Memory(Errno),
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ring(corrupt) => write!(f, "the back half is broken: {corrupt}"),
            Self::Answer => write!(f, "the back half is broken: it answers what was not asked"),
            Self::Memory(errno) => write!(f, "no page to receive into: {}", errno.name()),
        }
    }
}

impl From<RingCorrupt> for Broken {
    fn from(corrupt: RingCorrupt) -> Self {
        Self::Ring(corrupt)
    }
}

/// A connection.
pub(super) struct Link {
    rings: GrantedPages,
    port: EvtchnPort,
    tx: FrontRing,
    tx_pages: TxPages,
    tx_memory: GrantedPages,
    rx: FrontRing,
    rx_pages: RxPages,
    assembler: Assembler,
    /// Page of the next answer.
    next_rx: usize,
    /// Page that is posted next.
    next_post: usize,
    /// Pages that were read and are not posted again yet.
    to_post: usize,
}

impl Link {
    /// Makes rings, pages and a port for a back half in `peer`.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`.
    pub(super) fn new(peer: DomId, tx_pages: usize, rx_pages: usize) -> Result<Self, Errno> {
        let rings = GrantedPages::new(peer, 2, true)?;
        let tx_memory = GrantedPages::new(peer, tx_pages, false)?;
        let rx = FrontRing::init(rx_ring(rings.memory(), RX_RING));
        let tx = FrontRing::init(tx_ring(rings.memory(), TX_RING));
        // Answers to what was sent are looked at when room is needed.
        tx_ring(rings.memory(), TX_RING).store_rsp_event(u32::MAX / 2);
        let rx_pages = RxPages::new(peer, rx_pages)?;
        let to_post = rx_pages.len();
        let mut link = Self {
            port: event::alloc_unbound(peer)?,
            rings,
            tx,
            tx_pages: TxPages::new(tx_pages),
            tx_memory,
            rx,
            rx_pages,
            assembler: Assembler::default(),
            next_rx: 0,
            next_post: 0,
            to_post,
        };
        match link.post() {
            Ok(_) => Ok(link),
            Err(errno) => {
                link.close();
                Err(errno)
            }
        }
    }

    /// Closes the port.
    pub(super) fn close(&self) {
        // A port of ours can be closed.
        let _ = event::unbind(self.port);
    }

    pub(super) const fn port(&self) -> EvtchnPort {
        self.port
    }

    /// The grants of the rings.
    pub(super) fn ring_refs(&self) -> Option<(GrantRef, GrantRef)> {
        Some((*self.rings.refs().get(TX_RING)?, *self.rings.refs().get(RX_RING)?))
    }

    fn slots_needed(pages: usize) -> u32 {
        // One for extra information.
        pages as u32 + 1
    }

    /// Whether a frame of so many pages can be sent now; if not, asks to be notified when more can.
    ///
    /// # Errors
    /// The back half is broken.
    pub(super) fn has_room(&mut self, pages: usize) -> Result<bool, Broken> {
        if self.fits(pages) {
            return Ok(true);
        }
        self.reap()?;
        while !self.fits(pages) {
            if !self.tx.arm(tx_ring(self.rings.memory(), TX_RING))? {
                return Ok(false);
            }
            self.reap()?;
        }
        Ok(true)
    }

    fn fits(&self, pages: usize) -> bool {
        self.tx.free::<NetTxPage>() >= Self::slots_needed(pages) && self.tx_pages.has(pages)
    }

    /// Takes the answers to what was sent.
    fn reap(&mut self) -> Result<(), Broken> {
        let ring = tx_ring(self.rings.memory(), TX_RING);
        while let Some(answer) = self.tx.pop(ring)? {
            let is_extra = answer.status == hypercall_abi::io::net::RSP_NULL;
            if !is_extra && !self.tx_pages.give(usize::from(answer.id)) {
                return Err(Broken::Answer);
            }
        }
        Ok(())
    }

    /// Takes the pages for a frame; returns the first and its frame.
    pub(super) fn begin_send(&mut self, pages: usize) -> Option<(usize, Pfn)> {
        let first = self.tx_pages.take(pages)?;
        Some((first, self.tx_memory.pfn(first)))
    }

    /// Puts a frame that was written to its pages into the ring.
    pub(super) fn finish_send(&mut self, first: usize, len: usize, meta: FrameMeta) {
        let ring = tx_ring(self.rings.memory(), TX_RING);
        let refs = self.tx_memory.refs();
        let gref = |page: usize| refs.get(page).copied().unwrap_or_default();
        for slot in request_slots(first, len, meta, gref) {
            // There was room for all of them, and only sending takes any.
            let _ = self.tx.push(ring, &slot);
        }
    }

    /// Whether answers with received frames wait.
    pub(super) fn has_received(&self) -> bool {
        self.rx.waiting(rx_ring(self.rings.memory(), RX_RING)).is_ok_and(|waiting| waiting > 0)
    }

    /// The next received frame; its pages are ours again.
    ///
    /// # Errors
    /// The back half is broken.
    pub(super) fn receive(&mut self) -> Result<Option<Received>, Broken> {
        let ring = rx_ring(self.rings.memory(), RX_RING);
        while let Some(slot) = self.rx.pop(ring)? {
            let page = self.next_rx;
            self.next_rx = (page + 1) % self.rx_pages.len();
            if !self.rx_pages.end(page).map_err(Broken::Memory)? {
                self.assembler.spoil();
            }
            let frame = self.assembler.feed(slot, page as u16).map_err(|_| Broken::Answer)?;
            match frame {
                Some(frame) if frame.is_empty() => self.to_post += frame.slots(),
                Some(frame) => return Ok(Some(frame)),
                None => {}
            }
        }
        Ok(None)
    }

    /// The frame's bytes, if they are one piece: its first frame of memory and the range in it.
    pub(super) fn one_piece(&self, frame: &Received) -> Option<(Pfn, Range<usize>)> {
        let (first, offset) = frame.one_piece()?;
        let pfn = self.rx_pages.pfn(first)?;
        for (page, _, _) in frame.parts() {
            if self.rx_pages.pfn(page)?.get() != pfn.get() + (page - first) as u64 {
                return None;
            }
        }
        Some((pfn, offset..offset + frame.len()))
    }

    /// The frame's pieces: frames of memory and the range in each.
    pub(super) fn pieces<'a>(
        &'a self,
        frame: &'a Received,
    ) -> impl Iterator<Item = (Pfn, Range<usize>)> + 'a {
        frame.parts().filter_map(|(page, offset, len)| {
            Some((self.rx_pages.pfn(page)?, offset..offset + len))
        })
    }

    /// The pages of a frame that was read may be posted again.
    pub(super) fn finish_receive(&mut self, frame: &Received) {
        self.to_post += frame.slots();
    }

    /// Posts what was read and publishes both rings; true when the other half is to be notified.
    ///
    /// # Errors
    /// Without grants.
    pub(super) fn post(&mut self) -> Result<bool, Errno> {
        let ring = rx_ring(self.rings.memory(), RX_RING);
        while self.to_post > 0 {
            let page = self.next_post;
            let gref = self.rx_pages.post(page)?;
            let request = NetifRxRequest { id: page as u16, pad: 0, gref };
            if self.rx.push(ring, &request).is_err() {
                break;
            }
            self.next_post = (page + 1) % self.rx_pages.len();
            self.to_post -= 1;
        }
        let rx = self.rx.publish(ring);
        let tx = self.tx.publish(tx_ring(self.rings.memory(), TX_RING));
        Ok(rx || tx)
    }

    /// Asks to be notified of the next frame; true if one waits already.
    ///
    /// # Errors
    /// The back half is broken.
    pub(super) fn arm(&self) -> Result<bool, Broken> {
        Ok(self.rx.arm(rx_ring(self.rings.memory(), RX_RING))?)
    }
}

/// Pages that a frame of `len` bytes takes.
pub(super) const fn pages_of(len: usize) -> usize {
    len.div_ceil(PAGE_SIZE)
}
