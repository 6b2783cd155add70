//! What is behind a port of the switch: a guest, dom0's stack or a card of the machine.
//!
//! Each takes frames of some length, with or without checksum, and frames are made fit for it here.

use crate::frame::{FrameRef, Pool, LARGE};
use crate::net::local::LocalPort;
use crate::net::outbox::Outbox;
use crate::net::vif::{Stats, Vif, VifOptions, Wire};
use crate::switch::{self, Cut};
use alloc::boxed::Box;
use alloc::sync::Arc;
use hypercall_abi::PAGE_SIZE;
use pvkernel_core::device::net::{Checksum, FrameMeta, NetDevice, ETHERNET_HEAD};

/// What is behind a port.
pub(super) enum Kind<W> {
    /// A guest.
    Guest(Box<Vif<W>>),
    /// dom0's stack.
    Stack(Arc<LocalPort>),
    /// A card of the machine.
    Card(Arc<dyn NetDevice>),
}

/// A port.
pub(super) struct Port<W> {
    /// What is behind it.
    pub(super) kind: Kind<W>,
    /// What waits here.
    pub(super) outbox: Outbox,
    /// What passed.
    pub(super) stats: Stats,
    /// This turn ended before its work did.
    pub(super) has_left: bool,
    /// Something happened here in this turn.
    pub(super) is_awake: bool,
}

/// What a port takes.
pub(super) struct Takes {
    /// Most bytes behind the Ethernet head.
    pub(super) mtu: usize,
    /// More than that with a size to cut by.
    pub(super) large: bool,
    /// Packets without checksum.
    pub(super) blank: bool,
}

impl<W: Wire> Port<W> {
    /// A port without news.
    pub(super) fn new(kind: Kind<W>) -> Self {
        let (outbox, stats) = (Outbox::new(), Stats::default());
        Self { kind, outbox, stats, has_left: false, is_awake: false }
    }

    /// What it takes.
    pub(super) fn takes(&self) -> Takes {
        match &self.kind {
            Kind::Guest(vif) => {
                let options = vif.options();
                let one_page = PAGE_SIZE - ETHERNET_HEAD;
                let mtu = if options.takes_pages { options.mtu } else { options.mtu.min(one_page) };
                let large = options.takes_pages && options.takes_large;
                Takes { mtu, large, blank: options.takes_blank }
            }
            Kind::Stack(_) => Takes { mtu: LARGE, large: true, blank: true },
            Kind::Card(card) => {
                let info = card.info();
                Takes { mtu: info.mtu, large: false, blank: info.sends_blank }
            }
        }
    }

    /// Lets a frame wait here, or loses it and returns false.
    pub(super) fn push(&mut self, frame: FrameRef, is_for_all: bool, pool: &Pool) -> bool {
        let is_taken = self.outbox.push(frame, is_for_all, pool);
        self.stats.unclaimed += u64::from(!is_taken);
        if let Kind::Guest(vif) = &mut self.kind {
            vif.activate();
        }
        is_taken
    }

    /// Lets the pieces of a frame wait here. The first that is lost ends it: how many there are is the
    /// sender's choice, and whoever wants them all sends again.
    pub(super) fn push_pieces(&mut self, frame: &FrameRef, cut: &Cut, pool: &Pool) {
        for piece in 0..cut.count() {
            let Some(mut to) = pool.take(cut.len(piece)) else {
                self.stats.unclaimed += 1;
                return;
            };
            if let Some(mine) = Arc::get_mut(&mut to) {
                cut.write(frame.bytes(), piece, mine.bytes_mut());
            }
            if !self.push(to, false, pool) {
                return;
            }
        }
    }
}

impl Stats {
    /// Counts a frame that went out.
    pub(super) fn count_sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
    }
}

/// Looks at a guest's frame for the first time: who it claims to be, and what it left out.
pub(super) fn accept(
    frame: &mut FrameRef,
    meta: FrameMeta,
    options: &VifOptions,
    stats: &mut Stats,
) -> bool {
    let Some(mine) = Arc::get_mut(frame) else { return false };
    mine.set_meta(meta);
    let is_known = options.identity.as_ref().is_none_or(|who| who.permits(mine.bytes()));
    stats.spoofed += u64::from(!is_known);
    let is_sound = seed_blank(mine.bytes_mut(), meta);
    stats.refused += u64::from(is_known && !is_sound);
    is_known && is_sound
}

/// A packet without checksum gets the sum of its pseudo head, which other systems' front halves
/// expect there. False for one that has no checksum to leave out.
pub(super) fn seed_blank(frame: &mut [u8], meta: FrameMeta) -> bool {
    meta.checksum != Checksum::Blank || switch::seed(frame)
}

/// The frame with its checksum, in its place if nobody else has it.
pub(super) fn completed(mut frame: FrameRef, pool: &Pool) -> Option<FrameRef> {
    if Arc::get_mut(&mut frame).is_none() {
        let copy = pool.take(frame.len()).map(|mut copy| {
            if let Some(mine) = Arc::get_mut(&mut copy) {
                mine.bytes_mut().copy_from_slice(frame.bytes());
                mine.set_meta(frame.meta());
            }
            copy
        });
        pool.give(frame);
        frame = copy?;
    }
    if let Some(mine) = Arc::get_mut(&mut frame) {
        switch::complete(mine.bytes_mut());
        mine.set_meta(FrameMeta { checksum: Checksum::Valid, ..mine.meta() });
    }
    Some(frame)
}

/// A frame that a card received.
pub(super) fn read_card(card: &dyn NetDevice, pool: &Pool, stats: &mut Stats) -> Option<FrameRef> {
    let mut read = None;
    // One that finds no memory here is lost, as on any network.
    while read.is_none()
        && card.receive(&mut |bytes, meta| {
            read = pool.take(bytes.len()).map(|mut frame| {
                if let Some(mine) = Arc::get_mut(&mut frame) {
                    mine.bytes_mut().copy_from_slice(bytes);
                    mine.set_meta(meta);
                }
                frame
            });
            stats.unclaimed += u64::from(read.is_none());
        })
    {}
    read
}

/// Gives a card what waits for it, as much as it takes.
pub(super) fn write_card(
    card: &dyn NetDevice,
    outbox: &mut Outbox,
    pool: &Pool,
    stats: &mut Stats,
) {
    while let Some(frame) = outbox.first() {
        let (bytes, len) = (frame.bytes(), frame.len());
        let meta = frame.meta();
        if !card.transmit(len, meta, &mut |to| to.copy_from_slice(bytes)) {
            if card.can_transmit() {
                // Not for lack of room: this card never takes the frame.
                stats.too_long += 1;
                outbox.pop().into_iter().for_each(|frame| pool.give(frame));
                continue;
            }
            return;
        }
        stats.count_sent(len);
        outbox.pop().into_iter().for_each(|frame| pool.give(frame));
    }
}
