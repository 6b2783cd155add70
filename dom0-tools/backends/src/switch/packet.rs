//! Where the parts of a TCP or UDP packet over IPv4 lie in a frame.
//!
//! Read once, checked against the frame's end; everything that makes checksums or cuts packets works
//! with the numbers in here. Fragments and anything unusual are no such packet.

use pvkernel_core::device::net::ETHERNET_HEAD;

const TYPE_IPV4: u16 = 0x0800;
const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_HEAD: usize = 20;
const UDP_HEAD: usize = 8;
const IP_HEAD: usize = 20;
/// More fragments follow, or this one does not begin the packet.
const FRAGMENTED: u16 = 0x3fff;

/// What runs over IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The places in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// What runs over IP.
    pub transport: Transport,
    /// Begin of TCP's or UDP's head.
    pub head: usize,
    /// Begin of the payload.
    pub payload: usize,
    /// End of the packet; the frame may go on with padding.
    pub end: usize,
}

/// The IP head's begin.
pub const IP: usize = ETHERNET_HEAD;

impl Places {
    /// The places in `frame`, unless it is something else.
    #[must_use]
    pub fn find(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(IP..)?;
        let first = *ip.first()?;
        let ip_head = usize::from(first & 15) * 4;
        let total = usize::from(word(ip, 2)?);
        let is_plain = word(frame, 12)? == TYPE_IPV4
            && first >> 4 == 4
            && ip_head >= IP_HEAD
            && word(ip, 6)? & FRAGMENTED == 0
            && total <= ip.len();
        if !is_plain {
            return None;
        }
        let (transport, head) = match *ip.get(9)? {
            TCP => (Transport::Tcp, usize::from(*ip.get(ip_head + 12)? >> 4) * 4),
            UDP => (Transport::Udp, UDP_HEAD),
            _ => return None,
        };
        let smallest = if transport == Transport::Tcp { TCP_HEAD } else { UDP_HEAD };
        let places =
            Self { transport, head: IP + ip_head, payload: IP + ip_head + head, end: IP + total };
        (head >= smallest && places.payload <= places.end).then_some(places)
    }

    /// The place of the checksum.
    #[must_use]
    pub const fn checksum(&self) -> usize {
        match self.transport {
            Transport::Tcp => self.head + 16,
            Transport::Udp => self.head + 6,
        }
    }
}

/// A number of 16 bits.
#[must_use]
pub fn word(from: &[u8], at: usize) -> Option<u16> {
    from.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// Writes a number of 16 bits, if it lies within.
pub fn set_word(to: &mut [u8], at: usize, value: u16) {
    if let Some(place) = to.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}
