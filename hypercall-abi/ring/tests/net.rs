//! The slots of network rings are the structures of the interface, byte for byte.

use hypercall_abi::io::net::{
    NetifExtraInfo, NetifRxRequest, NetifRxResponse, NetifTxRequest, NetifTxResponse,
};
use hypercall_abi::GrantRef;
use proptest::prelude::*;
use pv_ring::{BackRing, FrontRing, NetRxPage, NetTxPage, RxSlot, TxSlot};
use zerocopy::IntoBytes;

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

proptest! {
    #[test]
    fn a_slot_has_the_bytes_of_the_structure(
        gref in any::<u32>(), a in any::<u16>(), b in any::<u16>(), c in any::<u16>(),
        d in any::<u16>(), kind in any::<u8>(), flags in any::<u8>(),
    ) {
        let request = NetifTxRequest { gref: GrantRef::new(gref), offset: a, flags: b, id: c, size: d };
        prop_assert_eq!(bytes(&TxSlot::of_request(&request).0), request.as_bytes());
        prop_assert_eq!(TxSlot::of_request(&request).request(), request);
        let extra = NetifExtraInfo { kind, flags, u: [a, b, c] };
        prop_assert_eq!(&bytes(&TxSlot::of_extra(&extra).0)[..8], extra.as_bytes());
        prop_assert_eq!(TxSlot::of_extra(&extra).extra(), extra);
        prop_assert_eq!(bytes(&RxSlot::of_extra(&extra).0), extra.as_bytes());
        prop_assert_eq!(RxSlot::of_extra(&extra).extra(), extra);
        let response = NetifRxResponse { id: a, offset: b, flags: c, status: d as i16 };
        prop_assert_eq!(bytes(&RxSlot::of_response(&response).0), response.as_bytes());
        prop_assert_eq!(RxSlot::of_response(&response).response(), response);
    }

    #[test]
    fn what_one_end_writes_the_other_reads(id in any::<u16>(), gref in any::<u32>(), status in any::<i16>()) {
        let (tx, rx) = (NetTxPage::new(), NetRxPage::new());
        let (mut front, mut back) = (FrontRing::init(&tx), BackRing::attach(&tx));
        let request = NetifTxRequest { gref: GrantRef::new(gref), offset: 1, flags: 2, id, size: 3 };
        front.push(&tx, &TxSlot::of_request(&request)).expect("room");
        prop_assert!(front.publish(&tx));
        prop_assert_eq!(back.pop(&tx), Ok(Some(TxSlot::of_request(&request))));
        back.push(&tx, &NetifTxResponse { id, status }).expect("a request was taken");
        prop_assert!(back.publish(&tx));
        prop_assert_eq!(front.pop(&tx), Ok(Some(NetifTxResponse { id, status })));

        let (mut front, mut back) = (FrontRing::init(&rx), BackRing::attach(&rx));
        let request = NetifRxRequest { id, pad: 0, gref: GrantRef::new(gref) };
        front.push(&rx, &request).expect("room");
        prop_assert!(front.publish(&rx));
        prop_assert_eq!(back.pop(&rx), Ok(Some(request)));
        let slot = RxSlot::of_response(&NetifRxResponse { id, offset: 7, flags: 8, status });
        back.push(&rx, &slot).expect("a request was taken");
        prop_assert!(back.publish(&rx));
        prop_assert_eq!(front.pop(&rx), Ok(Some(slot)));
    }
}
