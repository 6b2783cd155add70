//! What a card may claim to be.
//!
//! With `antispoof` a guest may send only from the address of its card. With addresses given, only
//! IPv4 from them and ARP that speaks for them, and the questions of a machine without address: DHCP
//! and ARP probes come from 0.0.0.0.

use alloc::vec::Vec;
use pvkernel_core::device::net::{Mac, ETHERNET_HEAD};

const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const NO_ADDRESS: [u8; 4] = [0; 4];
/// Protocol number of UDP, and the ports of DHCP's client and server.
const UDP: u8 = 17;
const DHCP_PORTS: [u8; 4] = [0, 68, 0, 67];

/// What a card may send as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The address of the card.
    pub mac: Mac,
    /// The IPv4 addresses; any when there are none.
    pub addresses: Vec<[u8; 4]>,
}

impl Identity {
    /// Whether the frame comes from who it says.
    #[must_use]
    pub fn permits(&self, frame: &[u8]) -> bool {
        if bytes::<6>(frame, 6) != Some(self.mac) {
            return false;
        }
        if self.addresses.is_empty() {
            return true;
        }
        let Some(payload) = frame.get(ETHERNET_HEAD..) else { return false };
        match bytes(frame, 12).map(u16::from_be_bytes) {
            Some(TYPE_IPV4) => self.permits_ipv4(payload),
            Some(TYPE_ARP) => self.permits_arp(payload),
            _ => false,
        }
    }

    fn permits_ipv4(&self, packet: &[u8]) -> bool {
        match bytes(packet, 12) {
            Some(NO_ADDRESS) => is_dhcp(packet),
            Some(source) => self.addresses.contains(&source),
            None => false,
        }
    }

    /// Hardware address in bytes 8 to 13, protocol address in 14 to 17 of Ethernet and IPv4.
    fn permits_arp(&self, packet: &[u8]) -> bool {
        let is_ethernet_and_ipv4 = bytes(packet, 0) == Some([0, 1, 8, 0, 6, 4]);
        let sender = bytes::<4>(packet, 14);
        is_ethernet_and_ipv4
            && bytes(packet, 8) == Some(self.mac)
            && sender.is_some_and(|ip| ip == NO_ADDRESS || self.addresses.contains(&ip))
    }
}

fn is_dhcp(packet: &[u8]) -> bool {
    let head = packet.first().map_or(0, |first| usize::from(first & 15) * 4);
    packet.get(9) == Some(&UDP) && bytes(packet, head) == Some(DHCP_PORTS)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::Identity;
    use std::vec;
    use std::vec::Vec;

    const MAC: [u8; 6] = [0, 0x16, 0x3e, 1, 2, 3];
    const OTHER: [u8; 6] = [0, 0x16, 0x3e, 9, 9, 9];
    const IP: [u8; 4] = [10, 0, 2, 80];

    fn frame(source: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
        [&[0xff; 6][..], &source, &kind.to_be_bytes(), payload].concat()
    }

    fn ipv4(source: [u8; 4], proto: u8, ports: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, proto, 0, 0];
        packet.extend(source);
        packet.extend([255, 255, 255, 255]);
        packet.extend(ports);
        packet.extend([0, 8, 0, 0]);
        packet
    }

    fn arp(mac: [u8; 6], ip: [u8; 4]) -> Vec<u8> {
        [&[0, 1, 8, 0, 6, 4, 0, 1][..], &mac, &ip, &[0; 10]].concat()
    }

    #[test]
    fn a_guest_is_who_its_card_is() {
        let any = Identity { mac: MAC, addresses: Vec::new() };
        assert!(any.permits(&frame(MAC, 0x86dd, &[])));
        assert!(!any.permits(&frame(OTHER, 0x0800, &ipv4(IP, 6, [0; 4]))));
        assert!(!any.permits(&[0; 11]));
    }

    #[test]
    fn with_addresses_only_they_may_speak() {
        let one = Identity { mac: MAC, addresses: vec![IP] };
        assert!(one.permits(&frame(MAC, 0x0800, &ipv4(IP, 6, [0; 4]))));
        assert!(!one.permits(&frame(MAC, 0x0800, &ipv4([10, 0, 2, 81], 6, [0; 4]))));
        assert!(!one.permits(&frame(OTHER, 0x0800, &ipv4(IP, 6, [0; 4]))));
        assert!(!one.permits(&frame(MAC, 0x86dd, &[0; 40])));
        assert!(one.permits(&frame(MAC, 0x0806, &arp(MAC, IP))));
        assert!(one.permits(&frame(MAC, 0x0806, &arp(MAC, [0; 4]))));
        assert!(!one.permits(&frame(MAC, 0x0806, &arp(OTHER, IP))));
        assert!(!one.permits(&frame(MAC, 0x0806, &arp(MAC, [10, 0, 2, 2]))));
    }

    #[test]
    fn a_machine_without_address_may_only_ask_for_one() {
        let one = Identity { mac: MAC, addresses: vec![IP] };
        assert!(one.permits(&frame(MAC, 0x0800, &ipv4([0; 4], 17, [0, 68, 0, 67]))));
        assert!(!one.permits(&frame(MAC, 0x0800, &ipv4([0; 4], 17, [0, 68, 0, 53]))));
        assert!(!one.permits(&frame(MAC, 0x0800, &ipv4([0; 4], 6, [0, 68, 0, 67]))));
    }

    #[test]
    fn a_frame_that_ends_early_is_not_believed() {
        let one = Identity { mac: MAC, addresses: vec![IP] };
        for whole in [frame(MAC, 0x0800, &ipv4(IP, 6, [0; 4])), frame(MAC, 0x0806, &arp(MAC, IP))] {
            for len in 0..30.min(whole.len()) {
                let cut = whole.get(..len).expect("shorter");
                assert!(!one.permits(cut) || len >= 14 + 16, "{len}");
            }
        }
    }
}
