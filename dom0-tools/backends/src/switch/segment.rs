//! Cutting a large TCP packet into packets that a smaller network carries.
//!
//! Each piece has the heads of the whole, with its own length, number, sequence number and
//! checksums; the flags that end something are on the last piece only, CWR on the first only.

use crate::switch::checksum::{complete_at, complete_ip};
use crate::switch::packet::{set_word, word, Places, Transport, IP};
use pvkernel_core::device::net::ETHERNET_HEAD;

const FLAGS: usize = 13;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// How a packet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    places: Places,
    /// Payload of each piece but the last.
    step: usize,
}

impl Cut {
    /// How to cut `frame` into pieces of at most `segment` bytes payload and `mtu` bytes behind the
    /// Ethernet head; none when it is not TCP over IPv4 or a piece has no room for payload.
    #[must_use]
    pub fn plan(frame: &[u8], segment: u16, mtu: usize) -> Option<Self> {
        let places = Places::find(frame).filter(|p| p.transport == Transport::Tcp)?;
        let room = (mtu + ETHERNET_HEAD).checked_sub(places.payload)?;
        let step = room.min(usize::from(segment));
        (step > 0).then_some(Self { places, step })
    }

    /// Number of pieces.
    #[must_use]
    pub const fn count(&self) -> usize {
        let payload = self.places.end - self.places.payload;
        if payload == 0 {
            1
        } else {
            payload.div_ceil(self.step)
        }
    }

    /// Bytes of a piece with its heads.
    #[must_use]
    pub fn len(&self, piece: usize) -> usize {
        let payload = self.places.end - self.places.payload;
        let before = self.step.saturating_mul(piece);
        self.places.payload + payload.saturating_sub(before).min(self.step)
    }

    /// Whether there are no pieces; never true.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes piece `piece` of `frame` to `to`, which is `len` bytes long, checksums included.
    pub fn write(&self, frame: &[u8], piece: usize, to: &mut [u8]) {
        let Places { head, payload, end, .. } = self.places;
        let start = payload + self.step.saturating_mul(piece);
        let len = self.len(piece);
        let parts = (frame.get(..payload), frame.get(start..start + len - payload));
        let (Some(heads), Some(bytes)) = parts else { return };
        let Some((to_heads, to_bytes)) = to.split_at_mut_checked(payload) else { return };
        if to_bytes.len() != bytes.len() {
            return;
        }
        to_heads.copy_from_slice(heads);
        to_bytes.copy_from_slice(bytes);
        set_word(to, IP + 2, (len - IP) as u16);
        let number = word(frame, IP + 4).unwrap_or(0).wrapping_add(piece as u16);
        set_word(to, IP + 4, number);
        complete_ip(to, head);
        add_sequence(to, head + 4, (start - payload) as u32);
        if let Some(flags) = to.get_mut(head + FLAGS) {
            *flags &= if start + self.step < end { !(FIN | PSH) } else { !0 };
            *flags &= if piece > 0 { !CWR } else { !0 };
        }
        complete_at(to, &Places { end: len, ..self.places });
    }
}

fn add_sequence(to: &mut [u8], at: usize, step: u32) {
    if let Some(place) = to.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = u32::from_be_bytes(*place).wrapping_add(step).to_be_bytes();
    }
}
