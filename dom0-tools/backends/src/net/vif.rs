//! One guest's card: what its rings say, and what waits for it.
//!
//! `intake` takes packets as far as budget, rate and pool allow and leaves the copying to the caller;
//! `outlet` does the same for frames that wait. `wind_up` publishes the answers, notifies once, and
//! says whether there is more to do. A ring whose indices are impossible is never touched again.

use crate::frame::{FrameRef, Pool};
use crate::net::gather::{Gatherer, Packet, Step};
use crate::net::outbox::Outbox;
use crate::net::rate::{Bucket, Rate};
use crate::net::scatter::{Posted, Sent};
use crate::net::spoof::Identity;
use hypercall_abi::io::net::{RSP_ERROR, RSP_OKAY};
use hypercall_abi::DomId;
use pv_ring::{BackRing, NetRxPage, NetTxPage, RingCorrupt};

/// Packets and bytes that one card may send in one turn.
const PACKETS_PER_TURN: usize = 32;
const BYTES_PER_TURN: usize = 256 << 10;
/// Slots that are looked at in one turn, refused ones included.
const SLOTS_PER_TURN: usize = 256;
/// When to look again while there is no frame left.
const RETRY_NS: u64 = 1_000_000;

/// The machine half of a connected card.
pub trait Wire: Send {
    /// The ring of packets from the guest.
    fn tx(&self) -> &NetTxPage;
    /// The ring of packets to the guest.
    fn rx(&self) -> &NetRxPage;
    /// The guest.
    fn peer(&self) -> DomId;
    /// Notifies the guest of answers in one ring or both.
    fn notify(&self, tx: bool, rx: bool);
    /// Whether the guest has notified since the last call.
    fn take_event(&self) -> bool;
}

/// What is special about a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VifOptions {
    /// Most bytes behind the Ethernet head in a frame for the guest.
    pub mtu: usize,
    /// The guest takes frames larger than that and a size to cut them by.
    pub takes_large: bool,
    /// The guest takes packets without checksum.
    pub takes_blank: bool,
    /// The guest takes frames of several pages.
    pub takes_pages: bool,
    /// What the guest may send.
    pub rate: Option<Rate>,
    /// Who the guest may be; anybody when none.
    pub identity: Option<Identity>,
    /// The card reaches no other card of that kind.
    pub is_isolated: bool,
}

/// What passed a port. Seen from the switch: `received` came from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that came in.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames that went out.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets that were refused: malformed, or their memory could not be copied.
    pub refused: u64,
    /// Packets from somebody the guest is not.
    pub spoofed: u64,
    /// Frames thrown away because nobody took them.
    pub unclaimed: u64,
    /// Frames that were too long for the port.
    pub too_long: u64,
}

/// A packet whose bytes are being copied.
#[derive(Debug)]
pub struct Intake {
    /// The slots.
    pub packet: Packet,
    /// Where the bytes go.
    pub frame: FrameRef,
}

/// A frame whose bytes are being copied.
#[derive(Debug)]
pub struct Outlet {
    /// The slots.
    pub sent: Sent,
    /// Where the bytes are.
    pub frame: FrameRef,
}

/// A card.
#[derive(Debug)]
pub struct Vif<W> {
    wire: W,
    options: VifOptions,
    bucket: Option<Bucket>,
    tx: BackRing,
    gatherer: Gatherer,
    /// A packet that waits for its time or a frame.
    held: Option<Packet>,
    rx: Posted,
    is_starved: bool,
    corrupt: Option<RingCorrupt>,
    /// Somebody was told of it.
    is_told: bool,
    /// There may be something to do.
    is_active: bool,
    /// When to look again, whatever happens.
    deadline_ns: Option<u64>,
}

impl<W: Wire> Vif<W> {
    /// A card that was just connected.
    #[must_use]
    pub fn new(wire: W, options: VifOptions, now_ns: u64) -> Self {
        Self {
            bucket: options.rate.map(|rate| Bucket::new(rate, now_ns)),
            tx: BackRing::attach(wire.tx()),
            gatherer: Gatherer::new(),
            held: None,
            rx: Posted::attach(wire.rx()),
            is_starved: false,
            corrupt: None,
            is_told: false,
            is_active: true,
            deadline_ns: None,
            wire,
            options,
        }
    }

    /// What is special about it.
    #[must_use]
    pub const fn options(&self) -> &VifOptions {
        &self.options
    }

    /// The guest.
    pub fn peer(&self) -> DomId {
        self.wire.peer()
    }

    /// What is wrong with its rings, if anything is.
    #[must_use]
    pub const fn corrupt(&self) -> Option<RingCorrupt> {
        self.corrupt
    }

    /// What is wrong with its rings, once.
    pub fn take_news_of_corruption(&mut self) -> Option<RingCorrupt> {
        let corrupt = self.corrupt.filter(|_| !self.is_told);
        self.is_told = self.corrupt.is_some();
        corrupt
    }

    /// Whether there may be something to do; looks at what happened meanwhile.
    pub fn is_active(&mut self, now_ns: u64) -> bool {
        let is_due = self.deadline_ns.is_some_and(|deadline_ns| now_ns >= deadline_ns);
        self.is_active |= self.wire.take_event() || is_due;
        self.is_active && self.corrupt.is_none()
    }

    /// A frame waits for the guest.
    pub fn activate(&mut self) {
        self.is_active = true;
    }

    /// When to look again, whatever happens.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns.filter(|_| self.corrupt.is_none())
    }

    fn look_again(&mut self, at_ns: u64) {
        self.deadline_ns = Some(self.deadline_ns.map_or(at_ns, |deadline| deadline.min(at_ns)));
    }

    /// Takes packets with a frame for each. Returns whether some are left for the next turn.
    pub fn intake(
        &mut self,
        pool: &Pool,
        now_ns: u64,
        stats: &mut Stats,
        mut each: impl FnMut(Intake),
    ) -> bool {
        self.deadline_ns = None;
        let (mut packets, mut bytes, mut slots) = (0, 0, 0);
        while packets < PACKETS_PER_TURN && bytes < BYTES_PER_TURN && slots < SLOTS_PER_TURN {
            let packet = match self.held.take() {
                Some(packet) => packet,
                None => match self.next_packet(&mut slots, stats) {
                    Ok(Some(packet)) => packet,
                    Ok(None) => return false,
                    Err(corrupt) => {
                        self.corrupt = Some(corrupt);
                        return false;
                    }
                },
            };
            match self.admit(&packet, pool, now_ns) {
                Ok(frame) => {
                    packets += 1;
                    bytes += packet.len();
                    each(Intake { packet, frame });
                }
                Err(at_ns) => {
                    self.held = Some(packet);
                    self.look_again(at_ns);
                    return false;
                }
            }
        }
        true
    }

    /// A frame for a packet, or when to try again.
    fn admit(&mut self, packet: &Packet, pool: &Pool, now_ns: u64) -> Result<FrameRef, u64> {
        let frame = pool.take(packet.len()).ok_or(now_ns + RETRY_NS)?;
        match self.bucket.as_mut().map_or(Ok(()), |bucket| bucket.take(packet.len(), now_ns)) {
            Ok(()) => Ok(frame),
            Err(at_ns) => {
                pool.give(frame);
                Err(at_ns)
            }
        }
    }

    fn next_packet(
        &mut self,
        slots: &mut usize,
        stats: &mut Stats,
    ) -> Result<Option<Packet>, RingCorrupt> {
        while *slots < SLOTS_PER_TURN {
            let Some(slot) = self.tx.pop(self.wire.tx())? else { return Ok(None) };
            *slots += 1;
            match self.gatherer.feed(slot) {
                Step::More => {}
                Step::Complete(packet) => return Ok(Some(packet)),
                Step::Refused(packet, _) => {
                    stats.refused += 1;
                    self.answer(&packet, false);
                }
            }
        }
        Ok(None)
    }

    /// Answers the slots of a packet.
    pub fn answer(&mut self, packet: &Packet, is_copied: bool) {
        let status = if is_copied { RSP_OKAY } else { RSP_ERROR };
        for answer in packet.answers(status) {
            // There is a request for each answer by construction.
            let _ = self.tx.push(self.wire.tx(), &answer);
        }
    }

    /// Takes pages for the frames that wait, as far as there are any.
    pub fn outlet(
        &mut self,
        outbox: &mut Outbox,
        pool: &Pool,
        now_ns: u64,
        stats: &mut Stats,
        mut each: impl FnMut(Outlet),
    ) {
        self.is_starved = false;
        while let Some(frame) = outbox.first() {
            let tells = self.options.takes_large;
            match self.rx.take(self.wire.rx(), frame.len(), frame.meta(), tells) {
                Ok(Some(sent)) => {
                    if let Some(frame) = outbox.pop() {
                        each(Outlet { sent, frame });
                    }
                }
                Ok(None) => {
                    let (thrown, limit_ns) = outbox.starve(pool, now_ns);
                    stats.unclaimed += thrown as u64;
                    if let Some(limit_ns) = limit_ns {
                        self.is_starved = true;
                        self.look_again(limit_ns);
                    }
                    return;
                }
                Err(corrupt) => {
                    self.corrupt = Some(corrupt);
                    stats.unclaimed += outbox.clear(pool) as u64;
                    return;
                }
            }
        }
    }

    /// Answers the slots of a frame.
    pub fn answer_sent(&mut self, sent: &Sent, is_copied: bool) {
        self.rx.answer(self.wire.rx(), sent, is_copied);
    }

    /// Publishes the answers of a turn and asks to be told of more. `has_left` says that this turn
    /// ended before the work did. Returns whether the next turn should come at once.
    pub fn wind_up(&mut self, has_left: bool) -> bool {
        let tx = self.tx.publish(self.wire.tx());
        let rx = self.rx.publish(self.wire.rx());
        if tx || rx {
            self.wire.notify(tx, rx);
        }
        self.is_active = has_left
            || self.arm().unwrap_or_else(|corrupt| {
                self.corrupt = Some(corrupt);
                false
            });
        self.is_active
    }

    fn arm(&mut self) -> Result<bool, RingCorrupt> {
        // A packet that is held waits for time, not for more packets.
        let tx = self.held.is_none() && self.tx.arm(self.wire.tx())?;
        let rx = self.is_starved && self.rx.arm(self.wire.rx())?;
        Ok(tx || rx)
    }
}
