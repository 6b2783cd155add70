//! Frames into posted pages, as the guest's end of the ring sees them.

use hypercall_abi::io::net::{
    NetifRxRequest, EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, RSP_ERROR, RXF_CSUM_BLANK, RXF_EXTRA_INFO,
    RXF_MORE_DATA,
};
use hypercall_abi::GrantRef;
use proptest::prelude::*;
use pv_ring::{FrontRing, NetRxPage, SlotRing};
use pvkernel_core::device::net::{Checksum, FrameMeta};
use zl_backends::net::Posted;

fn post(front: &mut FrontRing, ring: &NetRxPage, ids: &mut u16, count: u32) {
    for _ in 0..count {
        let request =
            NetifRxRequest { id: *ids, pad: 0, gref: GrantRef::new(1000 + u32::from(*ids)) };
        front.push(ring, &request).expect("room");
        *ids = ids.wrapping_add(1);
    }
    let _ = front.publish(ring);
}

/// What a guest makes of one frame: (id, bytes) of each page, and the segment size.
type Seen = (Vec<(u16, i16)>, u16, u16);

fn receive(front: &mut FrontRing, ring: &NetRxPage) -> Option<Seen> {
    let first = front.pop(ring).expect("sound")?.response();
    let mut pages = vec![(first.id, first.status)];
    let mut segment = 0;
    if first.flags & RXF_EXTRA_INFO != 0 {
        let extra = front.pop(ring).expect("sound").expect("extra follows").extra();
        assert_eq!((extra.kind, extra.u[1]), (EXTRA_TYPE_GSO, u16::from(GSO_TYPE_TCPV4)));
        segment = extra.u[0];
    }
    let mut flags = first.flags;
    while flags & RXF_MORE_DATA != 0 {
        let next = front.pop(ring).expect("sound").expect("more follows").response();
        assert_eq!(next.offset, 0);
        pages.push((next.id, next.status));
        flags = next.flags;
    }
    Some((pages, segment, first.flags))
}

proptest! {
    #[test]
    fn a_guest_gets_each_frame_in_its_pages_in_order(
        frames in proptest::collection::vec((1usize..=65536, any::<u16>(), any::<bool>(), any::<bool>()), 1..40),
        tells in any::<bool>(),
    ) {
        let ring = NetRxPage::new();
        let mut front = FrontRing::init(&ring);
        let mut posted = Posted::attach(&ring);
        let (mut ids, mut next_id) = (0u16, 0u16);
        for (len, segment, is_blank, is_copied) in frames {
            let checksum = if is_blank { Checksum::Blank } else { Checksum::Unknown };
            let meta = FrameMeta { checksum, segment };
            let needed = len.div_ceil(4096) + usize::from(tells && segment != 0);
            prop_assert_eq!(posted.take(&ring, len, meta, tells), Ok(None), "nothing is posted");
            post(&mut front, &ring, &mut ids, needed as u32);
            let sent = posted.take(&ring, len, meta, tells).expect("sound").expect("posted");
            let pages: Vec<(u16, u32)> = sent.pages().map(|(id, gref)| (id, gref.get())).collect();
            prop_assert_eq!(pages.len(), len.div_ceil(4096));
            prop_assert!(pages.iter().all(|(id, gref)| 1000 + u32::from(*id) == *gref));
            posted.answer(&ring, &sent, is_copied);
            let _ = posted.publish(&ring);
            let (seen, found, flags) = receive(&mut front, &ring).expect("a frame");
            prop_assert_eq!(found, if tells { segment } else { 0 });
            prop_assert_eq!(flags & RXF_CSUM_BLANK != 0, is_blank);
            prop_assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), pages.iter().map(|p| p.0).collect::<Vec<_>>());
            prop_assert_eq!(seen[0].0, next_id);
            next_id = ids;
            if is_copied {
                prop_assert_eq!(seen.iter().map(|s| s.1 as usize).sum::<usize>(), len);
                prop_assert!(seen.iter().rev().skip(1).all(|s| s.1 == 4096));
            } else {
                prop_assert!(seen.iter().all(|s| s.1 == RSP_ERROR));
            }
            prop_assert_eq!(front.free::<NetRxPage>(), 256, "every request was answered");
        }
    }

    #[test]
    fn impossible_indices_are_an_error_and_nothing_else(prod in 257u32..) {
        let ring = NetRxPage::new();
        let mut posted = Posted::attach(&ring);
        ring.store_req_prod(prod);
        prop_assert!(posted.take(&ring, 100, FrameMeta::default(), false).is_err());
        prop_assert!(posted.arm(&ring).is_err());
    }
}
