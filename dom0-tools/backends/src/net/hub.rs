//! The ports of the switch and what moves between them.
//!
//! dom0's network thread calls `turn` whenever something happened. A turn takes what each port has to
//! send within its budget, copies all of it with one batch, decides where each frame goes, copies all
//! that can go out with a second batch, and notifies each guest at most once. Between two turns others
//! run.
//!
//! Holds always: a frame that was taken from the pool is at one port's outbox or went back; whatever a
//! guest does, a turn does a bounded amount of work and ends.

use crate::frame::{FrameRef, Pool};
use crate::net::local::LocalPort;
use crate::net::port::{accept, completed, read_card, seed_blank, write_card, Kind, Port};
use crate::net::vif::{Intake, Outlet, Stats, Vif, VifOptions, Wire};
use crate::switch::{Cut, Forward, PortId, Switch};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, GrantRef, PAGE_SIZE};
use pv_ring::RingCorrupt;
use pvkernel_core::device::net::{Checksum, NetDevice, ETHERNET_HEAD};

/// Frames that dom0's stack or a real card may bring in one turn.
const FRAMES_PER_TURN: usize = 64;

/// Bytes to be copied out of a guest's page.
#[derive(Debug)]
pub struct CopyIn<'a> {
    /// The guest.
    pub peer: DomId,
    /// Its page.
    pub gref: GrantRef,
    /// First byte in it.
    pub offset: usize,
    /// Where they go.
    pub to: &'a mut [u8],
}

/// Bytes to be copied to the beginning of a guest's page.
#[derive(Debug)]
pub struct CopyOut<'a> {
    /// The guest.
    pub peer: DomId,
    /// Its page.
    pub gref: GrantRef,
    /// What goes there.
    pub from: &'a [u8],
}

/// Copies to and from guests, many pieces at once; a verdict for each piece is added to the list.
pub trait Copier {
    /// Copies from guests.
    fn copy_in<'a>(&mut self, pieces: impl Iterator<Item = CopyIn<'a>>, verdicts: &mut Vec<bool>);
    /// Copies to guests.
    fn copy_out<'a>(&mut self, pieces: impl Iterator<Item = CopyOut<'a>>, verdicts: &mut Vec<bool>);
}

/// What is to be done after a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// Another turn at once, after others had theirs.
    pub again: bool,
    /// Another turn at this time at the latest.
    pub deadline_ns: Option<u64>,
}

/// The ports and the switch.
pub struct Hub<W> {
    pool: Arc<Pool>,
    switch: Switch,
    ports: Vec<Option<Port<W>>>,
    intakes: Vec<(PortId, Intake)>,
    outlets: Vec<(PortId, Outlet)>,
    verdicts: Vec<bool>,
}

impl<W: Wire> Hub<W> {
    /// A switch without ports.
    #[must_use]
    pub const fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            switch: Switch::new(),
            ports: Vec::new(),
            intakes: Vec::new(),
            outlets: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Adds a guest's card.
    pub fn add_guest(&mut self, wire: W, options: VifOptions, now_ns: u64) -> PortId {
        let is_isolated = options.is_isolated;
        self.add(Kind::Guest(Box::new(Vif::new(wire, options, now_ns))), is_isolated)
    }

    /// Adds dom0's own port.
    pub fn add_stack(&mut self, port: Arc<LocalPort>) -> PortId {
        self.add(Kind::Stack(port), false)
    }

    /// Adds a card of the machine.
    pub fn add_card(&mut self, card: Arc<dyn NetDevice>) -> PortId {
        self.add(Kind::Card(card), false)
    }

    fn add(&mut self, kind: Kind<W>, is_isolated: bool) -> PortId {
        let id = self.switch.add(is_isolated);
        let port = Port::new(kind);
        if id.0 >= self.ports.len() {
            self.ports.resize_with(id.0 + 1, || None);
        }
        if let Some(place) = self.ports.get_mut(id.0) {
            *place = Some(port);
        }
        id
    }

    /// Removes a port; its frames go back and its rings are let go.
    pub fn remove(&mut self, id: PortId) {
        self.switch.remove(id);
        let port = self.ports.get_mut(id.0).and_then(Option::take);
        if let Some(mut port) = port {
            port.outbox.clear(&self.pool);
        }
        while matches!(self.ports.last(), Some(None)) {
            self.ports.pop();
        }
    }

    /// What passed a port.
    #[must_use]
    pub fn stats(&self, id: PortId) -> Option<Stats> {
        Some(self.port(id)?.stats)
    }

    /// A guest whose rings turned out to be impossible and what is wrong with them, once for each
    /// connection. Its card is not served any more.
    pub fn take_broken(&mut self) -> Option<(DomId, RingCorrupt)> {
        self.ports.iter_mut().flatten().find_map(|port| match &mut port.kind {
            Kind::Guest(vif) => Some((vif.peer(), vif.take_news_of_corruption()?)),
            Kind::Stack(_) | Kind::Card(_) => None,
        })
    }

    fn port(&self, id: PortId) -> Option<&Port<W>> {
        self.ports.get(id.0)?.as_ref()
    }

    /// Does what there is to do, within the budgets.
    pub fn turn(&mut self, copier: &mut impl Copier, now_ns: u64) -> After {
        self.take_from_guests(now_ns);
        self.copy_in(copier);
        self.pass_on_intakes(now_ns);
        self.pass_on_others(now_ns);
        self.put_out(now_ns);
        self.copy_out(copier);
        self.wind_up()
    }

    fn take_from_guests(&mut self, now_ns: u64) {
        let Self { pool, ports, intakes, .. } = self;
        for (index, port) in ports.iter_mut().enumerate() {
            let Some(port) = port else { continue };
            port.has_left = false;
            let Kind::Guest(vif) = &mut port.kind else { continue };
            port.is_awake = vif.is_active(now_ns);
            if port.is_awake {
                let stats = &mut port.stats;
                let each = |intake| intakes.push((PortId(index), intake));
                port.has_left = vif.intake(pool, now_ns, stats, each);
            }
        }
    }

    fn copy_in(&mut self, copier: &mut impl Copier) {
        self.verdicts.clear();
        if self.intakes.is_empty() {
            return;
        }
        let Self { ports, intakes, verdicts, .. } = self;
        let pieces = intakes.iter_mut().flat_map(|(id, Intake { packet, frame })| {
            let peer = peer_of(ports, *id);
            let mut rest = Arc::get_mut(frame).map_or(&mut [][..], |frame| frame.bytes_mut());
            packet.parts().iter().map(move |part| {
                let len = usize::from(part.len).min(rest.len());
                let (to, others) = core::mem::take(&mut rest).split_at_mut(len);
                rest = others;
                CopyIn { peer, gref: part.gref, offset: usize::from(part.offset), to }
            })
        });
        copier.copy_in(pieces, verdicts);
    }

    /// Answers what was copied and passes it on.
    fn pass_on_intakes(&mut self, now_ns: u64) {
        let mut intakes = core::mem::take(&mut self.intakes);
        let verdicts = core::mem::take(&mut self.verdicts);
        let mut verdict = verdicts.iter();
        for (id, Intake { packet, mut frame }) in intakes.drain(..) {
            let parts = packet.parts().len();
            let copied = verdict.by_ref().take(parts).filter(|is_copied| **is_copied).count();
            let is_copied = copied == parts;
            let port = self.ports.get_mut(id.0).and_then(Option::as_mut);
            let Some(Port { kind: Kind::Guest(vif), stats, .. }) = port else {
                self.pool.give(frame);
                continue;
            };
            vif.answer(&packet, is_copied);
            let is_welcome = is_copied && accept(&mut frame, packet.meta(), vif.options(), stats);
            stats.refused += u64::from(!is_copied);
            match is_welcome {
                true => self.pass_on(id, frame, now_ns),
                false => self.pool.give(frame),
            }
        }
        self.intakes = intakes;
        self.verdicts = verdicts;
    }

    /// Passes on what dom0's stack and the machine's cards have.
    fn pass_on_others(&mut self, now_ns: u64) {
        for index in 0..self.ports.len() {
            let mut count = 0;
            while let Some(frame) = self.next_other(index) {
                self.pass_on(PortId(index), frame, now_ns);
                count += 1;
                if count == FRAMES_PER_TURN {
                    if let Some(port) = self.ports.get_mut(index).and_then(Option::as_mut) {
                        port.has_left = true;
                    }
                    break;
                }
            }
        }
    }

    fn next_other(&mut self, index: usize) -> Option<FrameRef> {
        let port = self.ports.get_mut(index)?.as_mut()?;
        match &port.kind {
            Kind::Guest(_) => None,
            Kind::Stack(stack) => {
                let mut frame = stack.take_sent()?;
                let meta = frame.meta();
                // dom0's own packets; those it leaves blank get the same seed as the guests'.
                if let Some(mine) = Arc::get_mut(&mut frame) {
                    seed_blank(mine.bytes_mut(), meta);
                }
                Some(frame)
            }
            Kind::Card(card) => read_card(card.as_ref(), &self.pool, &mut port.stats),
        }
    }

    fn pass_on(&mut self, from: PortId, frame: FrameRef, now_ns: u64) {
        if let Some(Some(port)) = self.ports.get_mut(from.0) {
            port.stats.received += 1;
            port.stats.received_bytes += frame.len() as u64;
        }
        match self.switch.forward(from, frame.bytes(), now_ns) {
            Forward::Drop => self.pool.give(frame),
            Forward::To(to) => self.put(to, frame, false),
            Forward::Flood => {
                for to in (0..self.ports.len()).map(PortId) {
                    if self.switch.reaches(from, to) {
                        self.put(to, Arc::clone(&frame), true);
                    }
                }
                self.pool.give(frame);
            }
        }
    }

    /// Puts a frame into a port's outbox, in the form the port takes.
    fn put(&mut self, to: PortId, frame: FrameRef, is_for_all: bool) {
        let Self { pool, ports, .. } = self;
        let Some(Some(port)) = ports.get_mut(to.0) else { return pool.give(frame) };
        let takes = port.takes();
        let len = frame.len();
        let meta = frame.meta();
        if len <= takes.mtu + ETHERNET_HEAD || (takes.large && meta.segment != 0) {
            match takes.blank || meta.checksum != Checksum::Blank {
                true => drop(port.push(frame, is_for_all, pool)),
                false => match completed(frame, pool) {
                    Some(frame) => drop(port.push(frame, is_for_all, pool)),
                    None => port.stats.unclaimed += 1,
                },
            }
            return;
        }
        let cut = match meta.segment {
            0 => None,
            segment => Cut::plan(frame.bytes(), segment, takes.mtu),
        };
        match cut {
            Some(cut) => port.push_pieces(&frame, &cut, pool),
            None => port.stats.too_long += 1,
        }
        pool.give(frame);
    }

    /// Lets ports take what waits for them.
    fn put_out(&mut self, now_ns: u64) {
        let Self { pool, ports, outlets, .. } = self;
        for (index, port) in ports.iter_mut().enumerate() {
            let Some(Port { kind, outbox, stats, is_awake, .. }) = port else { continue };
            match kind {
                Kind::Guest(vif) if !outbox.is_empty() && vif.corrupt().is_none() => {
                    *is_awake = true;
                    let each = |outlet| outlets.push((PortId(index), outlet));
                    vif.outlet(outbox, pool, now_ns, stats, each);
                }
                Kind::Guest(_) => {}
                Kind::Stack(stack) => {
                    let has_delivered = !outbox.is_empty();
                    while let Some(frame) = outbox.pop() {
                        let bytes = frame.len();
                        match stack.deliver(frame) {
                            true => stats.count_sent(bytes),
                            false => stats.unclaimed += 1,
                        }
                    }
                    stack.tell_stack(has_delivered);
                }
                Kind::Card(card) => write_card(card.as_ref(), outbox, pool, stats),
            }
        }
    }

    fn copy_out(&mut self, copier: &mut impl Copier) {
        if self.outlets.is_empty() {
            return;
        }
        let Self { ports, outlets, verdicts, .. } = self;
        verdicts.clear();
        let pieces = outlets.iter().flat_map(|(id, Outlet { sent, frame })| {
            let peer = peer_of(ports, *id);
            let pages = sent.pages().zip(frame.bytes().chunks(PAGE_SIZE));
            pages.map(move |((_, gref), from)| CopyOut { peer, gref, from })
        });
        copier.copy_out(pieces, verdicts);
        let mut verdict = self.verdicts.iter();
        for (id, Outlet { sent, frame }) in self.outlets.drain(..) {
            let pages = sent.pages().count();
            let copied = verdict.by_ref().take(pages).filter(|is_copied| **is_copied).count();
            let port = self.ports.get_mut(id.0).and_then(Option::as_mut);
            if let Some(Port { kind: Kind::Guest(vif), stats, .. }) = port {
                vif.answer_sent(&sent, copied == pages);
                match copied == pages {
                    true => stats.count_sent(frame.len()),
                    false => stats.refused += 1,
                }
            }
            self.pool.give(frame);
        }
    }

    /// Publishes and notifies, and finds out whether there is more.
    fn wind_up(&mut self) -> After {
        let mut after = After::default();
        for port in self.ports.iter_mut().flatten() {
            match &mut port.kind {
                Kind::Guest(vif) => {
                    if port.is_awake {
                        after.again |= vif.wind_up(port.has_left);
                    }
                    let at_ns = vif.deadline_ns();
                    after.deadline_ns = after.deadline_ns.into_iter().chain(at_ns).min();
                }
                Kind::Stack(stack) => after.again |= stack.has_sent(),
                Kind::Card(card) => {
                    card.flush();
                    after.again |= port.has_left;
                }
            }
        }
        after
    }
}

fn peer_of<W: Wire>(ports: &[Option<Port<W>>], id: PortId) -> DomId {
    match ports.get(id.0) {
        Some(Some(Port { kind: Kind::Guest(vif), .. })) => vif.peer(),
        _ => DomId::INVALID,
    }
}
