//! Single frames: checksums, checked when they come and filled in when they go, and announcements of
//! who has an address.
//!
//! Pure functions for `phy`. Frames come from other domains and from the wire; nothing here trusts a
//! length in them.

use core::net::Ipv4Addr;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpAddress, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};

use crate::device::net::{Checksum, Mac, ETHERNET_HEAD};

/// Bytes of a frame about an address.
const ANNOUNCEMENT: usize = ETHERNET_HEAD + 28;

/// A frame about an address.
pub type Announcement = [u8; ANNOUNCEMENT];

fn arp_frame(to: EthernetAddress, repr: &ArpRepr, from: EthernetAddress) -> Announcement {
    let mut bytes = [0; ANNOUNCEMENT];
    let head = EthernetRepr { src_addr: from, dst_addr: to, ethertype: EthernetProtocol::Arp };
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    head.emit(&mut frame);
    repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// Tells everybody that a card has an address, as those who talked to its last owner must hear.
pub fn announcement(mac: Mac, address: Ipv4Addr) -> Announcement {
    let from = EthernetAddress(mac);
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: from,
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    arp_frame(EthernetAddress::BROADCAST, &repr, from)
}

/// What somebody else's announcement means to us, as an answer to a question of ours: smoltcp learns
/// from answers only. `None` for every other frame.
pub fn as_answer(bytes: &[u8], mac: Mac, own: Ipv4Addr) -> Option<Announcement> {
    let ethernet = EthernetFrame::new_checked(bytes).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let packet = ArpPacket::new_checked(ethernet.payload()).ok()?;
    let ArpRepr::EthernetIpv4 {
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    if source_protocol_addr != target_protocol_addr || source_protocol_addr == own {
        return None;
    }
    let to = EthernetAddress(mac);
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr: to,
        target_protocol_addr: own,
    };
    Some(arp_frame(to, &repr, source_hardware_addr))
}

/// Whether smoltcp may see a frame: no part of a larger packet, and with a transport checksum that is
/// right or needs not be looked at. What is no IPv4 packet is smoltcp's to judge.
pub fn is_acceptable(bytes: &[u8], checksum: Checksum) -> bool {
    let Ok(ethernet) = EthernetFrame::new_checked(bytes) else { return false };
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return true;
    }
    let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload()) else { return false };
    if ip.more_frags() || ip.frag_offset() != 0 {
        return false;
    }
    if checksum != Checksum::Unknown {
        return true;
    }
    let (from, to) = (IpAddress::from(ip.src_addr()), IpAddress::from(ip.dst_addr()));
    match ip.next_header() {
        IpProtocol::Tcp => {
            TcpPacket::new_checked(ip.payload()).is_ok_and(|tcp| tcp.verify_checksum(&from, &to))
        }
        IpProtocol::Udp => {
            UdpPacket::new_checked(ip.payload()).is_ok_and(|udp| udp.verify_checksum(&from, &to))
        }
        _ => true,
    }
}

/// Fills the transport checksum of a frame of our own in when smoltcp left it blank.
pub fn complete(bytes: &mut [u8], was_left_blank: bool) {
    if !was_left_blank {
        return;
    }
    let Ok(mut ethernet) = EthernetFrame::new_checked(bytes) else { return };
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return;
    }
    let Ok(mut ip) = Ipv4Packet::new_checked(ethernet.payload_mut()) else { return };
    let (from, to) = (IpAddress::from(ip.src_addr()), IpAddress::from(ip.dst_addr()));
    match ip.next_header() {
        IpProtocol::Tcp => {
            if let Ok(mut tcp) = TcpPacket::new_checked(ip.payload_mut()) {
                tcp.fill_checksum(&from, &to);
            }
        }
        IpProtocol::Udp => {
            if let Ok(mut udp) = UdpPacket::new_checked(ip.payload_mut()) {
                udp.fill_checksum(&from, &to);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Ipv4Address, Ipv4Repr, UdpRepr};
    use std::vec;
    use std::vec::Vec;

    /// A UDP frame without a transport checksum.
    fn blank_frame(payload: &[u8]) -> Vec<u8> {
        let head = EthernetRepr {
            src_addr: EthernetAddress([2, 0, 0, 0, 0, 1]),
            dst_addr: EthernetAddress([2, 0, 0, 0, 0, 2]),
            ethertype: EthernetProtocol::Ipv4,
        };
        let ip = Ipv4Repr {
            src_addr: Ipv4Address::new(10, 0, 0, 1),
            dst_addr: Ipv4Address::new(10, 0, 0, 2),
            next_header: IpProtocol::Udp,
            payload_len: 8 + payload.len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; 14 + 20 + 8 + payload.len()];
        let mut sums = ChecksumCapabilities::ignored();
        sums.ipv4 = smoltcp::phy::Checksum::Both;
        head.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &sums);
        UdpRepr { src_port: 7, dst_port: 9 }.emit(
            &mut UdpPacket::new_unchecked(&mut frame[34..]),
            &IpAddress::from(ip.src_addr),
            &IpAddress::from(ip.dst_addr),
            payload.len(),
            |to| to.copy_from_slice(payload),
            &sums,
        );
        frame
    }

    /// The ones' complement sum of RFC 1071 over the pseudo header and the UDP packet, word by word.
    fn slow_sum(frame: &[u8]) -> u16 {
        let udp = &frame[34..];
        let mut words: Vec<u8> = frame[26..34].to_vec();
        words.extend([0, 17]);
        words.extend((udp.len() as u16).to_be_bytes());
        words.extend(udp);
        if words.len() % 2 == 1 {
            words.push(0);
        }
        let sum = words
            .chunks(2)
            .fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let folded = (sum & 0xffff) + (sum >> 16);
        ((folded & 0xffff) + (folded >> 16)) as u16
    }

    proptest! {
        #[test]
        fn a_completed_frame_is_right_and_a_changed_one_is_refused(
            payload in proptest::collection::vec(any::<u8>(), 1..200),
            at in 0usize..200,
            flip in 1u8..=255,
        ) {
            let mut frame = blank_frame(&payload);
            complete(&mut frame, true);
            prop_assert_eq!(slow_sum(&frame), 0xffff);
            prop_assert!(is_acceptable(&frame, Checksum::Unknown));
            let at = 42 + at % payload.len();
            frame[at] ^= flip;
            prop_assert!(!is_acceptable(&frame, Checksum::Unknown));
            prop_assert!(is_acceptable(&frame, Checksum::Valid));
        }

        #[test]
        fn any_bytes_are_judged(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
            ethertype in prop_oneof![Just([8u8, 0]), Just([8, 6]), any::<[u8; 2]>()],
            version in prop_oneof![Just(0x45u8), any::<u8>()],
        ) {
            let mut bytes = bytes;
            if bytes.len() > 14 {
                bytes[12..14].copy_from_slice(&ethertype);
                bytes[14] = version;
            }
            for checksum in [Checksum::Unknown, Checksum::Valid, Checksum::Blank] {
                let _ = is_acceptable(&bytes, checksum);
            }
            complete(&mut bytes, true);
            let _ = as_answer(&bytes, [2; 6], Ipv4Addr::new(10, 0, 0, 9));
        }
    }

    #[test]
    fn announcements_become_answers_for_others_only() {
        let address = Ipv4Addr::new(10, 0, 0, 1);
        let told = announcement([2, 0, 0, 0, 0, 1], address);
        let (mac, own) = ([2, 0, 0, 0, 0, 2], Ipv4Addr::new(10, 0, 0, 2));
        let answer = as_answer(&told, mac, own).expect("an announcement");
        assert_eq!(answer[..12], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        assert_eq!((&answer[20..22], &answer[28..32]), (&[0, 2][..], &[10, 0, 0, 1][..]));
        assert_eq!(answer[38..42], [10, 0, 0, 2]);
        assert_eq!(as_answer(&told, mac, address), None);
        assert_eq!(as_answer(&answer, [2, 0, 0, 0, 0, 3], Ipv4Addr::new(10, 0, 0, 3)), None);
        assert_eq!(as_answer(&blank_frame(b"x"), mac, own), None);
    }

    #[test]
    fn parts_of_larger_packets_are_refused() {
        let mut frame = blank_frame(b"part");
        assert!(is_acceptable(&frame, Checksum::Valid));
        frame[20] = 0x20;
        assert!(!is_acceptable(&frame, Checksum::Valid));
    }
}
