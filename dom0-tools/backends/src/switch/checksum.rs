//! The checksum of TCP, UDP and IPv4, for frames that never needed one while they stayed inside.
//!
//! A guest may leave the checksum of a packet blank; then its field holds the sum of the pseudo head
//! only, which is what front halves of other systems expect. `seed` puts that there, `complete` the
//! checksum itself, before the frame leaves on a card that expects it.

use crate::switch::packet::{set_word, Places, Transport, IP};

/// The sum of bytes as numbers of 16 bits in network order, carries folded in; not complemented.
#[must_use]
pub fn sum(bytes: &[u8], seed: u16) -> u16 {
    // Sums of this kind do not care about the order of bytes as long as it is the same everywhere.
    let mut total = u64::from(seed.to_be());
    let mut chunks = bytes.chunks_exact(32);
    for chunk in &mut chunks {
        for word in chunk.chunks_exact(4) {
            total += u64::from(u32::from_ne_bytes(word.try_into().unwrap_or_default()));
        }
    }
    for word in chunks.remainder().chunks(2) {
        let pair = [word.first().copied().unwrap_or(0), word.get(1).copied().unwrap_or(0)];
        total += u64::from(u16::from_ne_bytes(pair));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::from_be(total as u16)
}

/// The sum of the pseudo head: addresses, protocol, length.
fn pseudo(frame: &[u8], places: &Places) -> u16 {
    let addresses = frame.get(IP + 12..IP + 20).unwrap_or(&[]);
    let protocol: u16 = if places.transport == Transport::Tcp { 6 } else { 17 };
    let len = (places.end - places.head) as u16;
    let [a, b] = protocol.to_be_bytes();
    let [c, d] = len.to_be_bytes();
    sum(&[a, b, c, d], sum(addresses, 0))
}

/// Puts the sum of the pseudo head where the checksum will be. False when the frame is no packet
/// that has one.
pub fn seed(frame: &mut [u8]) -> bool {
    let Some(places) = Places::find(frame) else { return false };
    let seed = pseudo(frame, &places);
    set_word(frame, places.checksum(), seed);
    true
}

/// Makes the checksum, whatever its field held. False when the frame is no packet that has one.
pub fn complete(frame: &mut [u8]) -> bool {
    let Some(places) = Places::find(frame) else { return false };
    complete_at(frame, &places);
    true
}

/// As `complete`, with the places known.
pub(super) fn complete_at(frame: &mut [u8], places: &Places) {
    set_word(frame, places.checksum(), 0);
    let packet = frame.get(places.head..places.end).unwrap_or(&[]);
    let checksum = !sum(packet, pseudo(frame, places));
    // UDP says "none" with 0, so it writes the other zero.
    let is_udp_zero = places.transport == Transport::Udp && checksum == 0;
    set_word(frame, places.checksum(), if is_udp_zero { 0xffff } else { checksum });
}

/// Makes the checksum of the IP head.
pub(super) fn complete_ip(frame: &mut [u8], head: usize) {
    set_word(frame, IP + 10, 0);
    let checksum = !sum(frame.get(IP..head).unwrap_or(&[]), 0);
    set_word(frame, IP + 10, checksum);
}
