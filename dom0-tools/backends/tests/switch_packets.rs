//! Checksums and pieces against slow ones, and with frames made of anything.

use proptest::prelude::*;
use zl_backends::switch::{complete, seed, sum, Cut, Places};

/// The checksum as its definition says it, bit by bit slower.
fn slow_sum(bytes: &[u8]) -> u16 {
    let mut total: u32 = 0;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

fn pseudo(frame: &[u8]) -> Vec<u8> {
    let head = 14 + usize::from(frame[14] & 15) * 4;
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let len = (end - head) as u16;
    [&frame[26..34], &[0, frame[23]], &len.to_be_bytes()].concat()
}

/// Whether the transport checksum of a frame is right.
fn is_right(frame: &[u8]) -> bool {
    let head = 14 + usize::from(frame[14] & 15) * 4;
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    slow_sum(&[&pseudo(frame)[..], &frame[head..end]].concat()) == 0xffff
}

fn packet(proto: u8, ip_options: usize, tcp_options: usize, payload: &[u8], flags: u8) -> Vec<u8> {
    let mut transport = match proto {
        6 => {
            let mut tcp = vec![0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0, 1, 2, 3, 4];
            tcp.extend([((5 + tcp_options) << 4) as u8, flags, 0xff, 0xff, 0xaa, 0xbb, 0, 0]);
            tcp.extend(vec![1; tcp_options * 4]);
            tcp
        }
        _ => [&[0, 53, 0, 99][..], &((8 + payload.len()) as u16).to_be_bytes(), &[7, 7]].concat(),
    };
    transport.extend(payload);
    let ip_head = 20 + 4 * ip_options;
    let total = (ip_head + transport.len()) as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x40 | (ip_head / 4) as u8, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0xff, 0xfe, 0x40, 0, 64, proto, 0, 0, 10, 0, 2, 80, 10, 0, 2, 2]);
    frame.extend(vec![1; ip_options * 4]);
    frame.extend(transport);
    frame
}

#[test]
fn a_udp_checksum_of_zero_is_written_as_the_other_zero() {
    for low in 0..=u16::MAX {
        let mut frame = packet(17, 0, 0, &low.to_be_bytes(), 0);
        assert!(complete(&mut frame));
        assert_ne!(&frame[40..42], &[0, 0]);
    }
}

#[test]
fn what_is_no_plain_packet_has_no_places() {
    let good = packet(6, 0, 0, b"hello", 0x18);
    assert!(Places::find(&good).is_some());
    let with = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        Places::find(&frame)
    };
    assert_eq!(with(12, 0x86), None, "not IPv4");
    assert_eq!(with(14, 0x65), None, "version");
    assert_eq!(with(14, 0x44), None, "IP head too short");
    assert_eq!(with(17, 200), None, "longer than the frame");
    assert_eq!(with(20, 0x20), None, "a fragment");
    assert_eq!(with(23, 1), None, "ICMP");
    assert_eq!(with(46, 0x40), None, "TCP head too short");
    assert_eq!(with(46, 0xf0), None, "TCP head beyond the packet");
}

proptest! {
    #[test]
    fn the_sum_is_the_slow_sum(bytes in proptest::collection::vec(any::<u8>(), 0..300), first in any::<u16>()) {
        // 0 and 0xffff are the same number here.
        let one_zero = |sum: u16| if sum == 0xffff { 0 } else { sum };
        let all = [&first.to_be_bytes()[..], &bytes].concat();
        prop_assert_eq!(one_zero(sum(&bytes, first)), one_zero(slow_sum(&all)));
    }

    #[test]
    fn a_completed_checksum_is_right_and_the_rest_is_untouched(
        proto in prop_oneof![Just(6u8), Just(17)], ip_options in 0usize..=10, tcp_options in 0usize..=10,
        payload in proptest::collection::vec(any::<u8>(), 0..200), padding in 0usize..20,
    ) {
        let mut frame = packet(proto, ip_options, tcp_options, &payload, 0x18);
        frame.extend(vec![0xee; padding]);
        let before = frame.clone();
        prop_assert!(complete(&mut frame));
        prop_assert!(is_right(&frame));
        let at = Places::find(&frame).expect("a packet").checksum();
        for (place, (old, new)) in before.iter().zip(&frame).enumerate() {
            prop_assert!(old == new || place == at || place == at + 1);
        }
        prop_assert!(seed(&mut frame));
        let seeded = u16::from_be_bytes([frame[at], frame[at + 1]]);
        let wanted = slow_sum(&pseudo(&frame));
        prop_assert!(seeded == wanted);
    }

    #[test]
    fn pieces_are_packets_that_make_the_whole(
        payload in proptest::collection::vec(any::<u8>(), 0..5000), segment in 1u16..3000,
        mtu in 100usize..1600, flags in any::<u8>(), tcp_options in 0usize..=10,
    ) {
        let frame = packet(6, 0, tcp_options, &payload, flags);
        let cut = Cut::plan(&frame, segment, mtu).expect("there is room");
        let mut found: Vec<u8> = Vec::new();
        for piece in 0..cut.count() {
            let mut out = vec![0xcc; cut.len(piece)];
            cut.write(&frame, piece, &mut out);
            prop_assert!(out.len() <= mtu + 14);
            prop_assert!(is_right(&out));
            prop_assert_eq!(slow_sum(&out[14..34]), 0xffff);
            let places = Places::find(&out).expect("a packet");
            prop_assert_eq!(places.end, out.len());
            prop_assert!(places.end - places.payload <= usize::from(segment));
            let sequence = u32::from_be_bytes(out[38..42].try_into().expect("four"));
            prop_assert_eq!(sequence, 0xffff_ff00u32.wrapping_add(found.len() as u32));
            let number = u16::from_be_bytes([out[18], out[19]]);
            prop_assert_eq!(number, 0xfffe_u16.wrapping_add(piece as u16));
            let last = piece + 1 == cut.count();
            let kept = if last { flags } else { flags & !0x09 };
            prop_assert_eq!(out[47], if piece == 0 { kept } else { kept & !0x80 });
            found.extend(&out[places.payload..]);
        }
        prop_assert_eq!(found, payload);
    }

    #[test]
    fn any_bytes_are_taken_without_complaint(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200), segment in any::<u16>(), mtu in 0usize..200,
        looks_right in any::<bool>(),
    ) {
        if looks_right && bytes.len() > 24 {
            (bytes[12], bytes[13], bytes[20], bytes[21]) = (8, 0, 0, 0);
            bytes[14] = 0x40 | bytes[14] & 15;
            bytes[16] = 0;
            bytes[23] = 6;
        }
        let len = bytes.len();
        if let Some(cut) = Cut::plan(&bytes, segment, mtu) {
            for piece in 0..cut.count() {
                let mut out = vec![0; cut.len(piece)];
                cut.write(&bytes, piece, &mut out);
            }
        }
        complete(&mut bytes);
        seed(&mut bytes);
        prop_assert_eq!(bytes.len(), len);
    }
}
