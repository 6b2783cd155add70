//! A `NetDevice` as smoltcp wants to see it.
//!
//! The stack calls this with its lock held. Frames are read where the card has them and written where
//! the card will send them from. Two things are not left to smoltcp, because it knows only one setting
//! for a whole card: whether a received frame's checksum must be checked, and whether a sent frame's is
//! filled in. Both are decided here for each frame.
//!
//! What always holds: a frame that is not known to be right is checked before smoltcp sees it; `Blank`
//! goes with TCP and UDP frames only; the card is never called from inside one of its own calls, as it
//! may hold a lock there: answers wait in `reply` until it has returned.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::phy::{self, Checksum as Sum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::frame;
use crate::device::net::{Checksum, FrameMeta, Mac, NetDevice, NetInfo, ETHERNET_HEAD};

/// Frames up to this length are written beside the card first: then it is known what they are.
const SMALL: usize = 192;

/// What went through a card, and what did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that were received.
    pub rx_frames: u64,
    /// Bytes in them.
    pub rx_bytes: u64,
    /// Of these, frames that were thrown away: bad checksum, fragment.
    pub rx_dropped: u64,
    /// Frames that were sent.
    pub tx_frames: u64,
    /// Bytes in them.
    pub tx_bytes: u64,
    /// Answers the card had no room for.
    pub tx_dropped: u64,
}

/// A card between smoltcp and its driver.
pub struct Phy {
    device: &'static dyn NetDevice,
    info: NetInfo,
    /// A small frame or an answer on its way to the card.
    reply: Vec<u8>,
    /// A large frame of which only its bytes tell what it is.
    large: Vec<u8>,
    /// The address in use.
    pub own: Option<Ipv4Addr>,
    /// Whether large frames may be pings.
    pub pings_large: bool,
    /// The counts.
    pub traffic: Traffic,
}

impl Phy {
    /// In front of `device`, as it is now.
    pub fn new(device: &'static dyn NetDevice) -> Self {
        Self {
            device,
            info: device.info(),
            reply: Vec::with_capacity(SMALL),
            large: Vec::new(),
            own: None,
            pings_large: false,
            traffic: Traffic::default(),
        }
    }

    /// What the card was when it was last looked at.
    pub const fn info(&self) -> &NetInfo {
        &self.info
    }

    /// Looks at the card again; true when it has become another one.
    pub fn has_changed(&mut self) -> bool {
        let now = self.device.info();
        core::mem::replace(&mut self.info, now) != now
    }

    /// Whether the card takes another frame.
    pub fn can_transmit(&self) -> bool {
        self.info.is_up && self.device.can_transmit()
    }

    /// Tells everybody which address is ours; false when the card has no room for it.
    pub fn announce(&mut self) -> bool {
        let Some(own) = self.own else { return true };
        let bytes = frame::announcement(self.info.mac, own);
        self.can_transmit() && send(self.device, &mut self.traffic, &bytes)
    }

    /// Sends the answer to the frame that was received last, if there is one.
    pub fn send_reply(&mut self) {
        if self.reply.is_empty() {
            return;
        }
        frame::complete(&mut self.reply, self.info.sends_blank);
        if !send(self.device, &mut self.traffic, &self.reply) {
            self.traffic.tx_dropped += 1;
        }
        self.reply.clear();
    }
}

/// Sends a frame whose checksums are all filled in.
fn send(device: &dyn NetDevice, traffic: &mut Traffic, bytes: &[u8]) -> bool {
    let meta = FrameMeta { checksum: Checksum::Valid, segment: 0 };
    let sent = device.transmit(bytes.len(), meta, &mut |to| to.copy_from_slice(bytes));
    traffic.count_sent(sent, bytes.len());
    sent
}

impl Traffic {
    fn count_sent(&mut self, sent: bool, len: usize) {
        self.tx_frames += u64::from(sent);
        self.tx_bytes += if sent { len as u64 } else { 0 };
    }
}

impl phy::Device for Phy {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        if !self.device.has_received() {
            return None;
        }
        let Self { device, info, own, traffic, reply, .. } = self;
        let (mac, own) = (info.mac, *own);
        Some((Received { device: *device, mac, own, traffic }, Sending::Later(reply)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        self.can_transmit().then_some(Sending::Now(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.info.mtu + ETHERNET_HEAD;
        let transport = if self.info.sends_blank { Sum::None } else { Sum::Tx };
        let mut checksum = ChecksumCapabilities::default();
        (checksum.tcp, checksum.udp) = (transport, transport);
        capabilities.checksum = checksum;
        capabilities
    }
}

/// The oldest received frame.
pub struct Received<'a> {
    device: &'static dyn NetDevice,
    mac: Mac,
    own: Option<Ipv4Addr>,
    traffic: &'a mut Traffic,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let mut f = Some(f);
        let mut result = None;
        let Self { device, mac, own, traffic } = self;
        device.receive(&mut |bytes, meta| {
            traffic.rx_frames += 1;
            traffic.rx_bytes += bytes.len() as u64;
            let is_good = frame::is_acceptable(bytes, meta.checksum);
            traffic.rx_dropped += u64::from(!is_good);
            let answer = own.and_then(|own| frame::as_answer(bytes, mac, own));
            let bytes = answer.as_ref().map_or(bytes, |answer| &answer[..]);
            // smoltcp takes an empty frame for one that is already done with.
            result = f.take().map(|f| f(if is_good { bytes } else { &[] }));
        });
        match (result, f) {
            (Some(result), _) => result,
            (None, Some(f)) => f(&[]),
            (None, None) => unreachable!("the closure is taken only where a result is left"),
        }
    }
}

/// Room for a frame.
pub enum Sending<'a> {
    /// The answer to a received frame, sent when the card has returned from giving that.
    Later(&'a mut Vec<u8>),
    /// A frame the card takes at once.
    Now(&'a mut Phy),
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self {
            Sending::Later(reply) => write_to(reply, len, f),
            Sending::Now(phy) => phy.send_now(len, f),
        }
    }
}

fn write_to<R>(buffer: &mut Vec<u8>, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    buffer.clear();
    buffer.resize(len, 0);
    f(buffer)
}

impl Phy {
    fn send_now<R>(&mut self, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
        if len > SMALL && !(self.info.sends_blank && self.pings_large) {
            return self.send_in_place(len, f);
        }
        let buffer = if len > SMALL { &mut self.large } else { &mut self.reply };
        let result = write_to(buffer, len, f);
        frame::complete(buffer, self.info.sends_blank);
        send(self.device, &mut self.traffic, buffer);
        buffer.clear();
        result
    }

    /// Lets smoltcp write into the card's memory: TCP or UDP, as all else is small.
    fn send_in_place<R>(&mut self, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let checksum = if self.info.sends_blank { Checksum::Blank } else { Checksum::Valid };
        let mut f = Some(f);
        let mut result = None;
        let sent = self.device.transmit(len, FrameMeta { checksum, segment: 0 }, &mut |to| {
            result = f.take().map(|f| f(to));
        });
        self.traffic.count_sent(sent, len);
        match (result, f) {
            (Some(result), _) => result,
            // The card had room a moment ago and has not now: the frame is lost, as on a wire.
            (None, Some(f)) => write_to(&mut self.large, len, f),
            (None, None) => unreachable!("the closure is taken only where a result is left"),
        }
    }
}
