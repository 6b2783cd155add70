//! Packets out of slots: against a model of honest packets, and with slots made of anything.

use hypercall_abi::io::net::{
    NetifExtraInfo, NetifTxRequest, EXTRA_FLAG_MORE, EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, RSP_ERROR,
    RSP_NULL, RSP_OKAY, TXF_CSUM_BLANK, TXF_EXTRA_INFO, TXF_MORE_DATA,
};
use hypercall_abi::GrantRef;
use proptest::prelude::*;
use pv_ring::TxSlot;
use pvkernel_core::device::net::Checksum;
use zl_backends::net::{Gatherer, Packet, Refusal, Step, MAX_PARTS};

/// A packet as an honest guest sends it: (offset, bytes) of each part.
fn slots(parts: &[(u16, u16)], gso: Option<u16>, flags: u16) -> Vec<TxSlot> {
    let total: u16 = parts.iter().map(|part| part.1).sum();
    let mut out = Vec::new();
    for (at, (offset, len)) in parts.iter().enumerate() {
        let more = if at + 1 < parts.len() { TXF_MORE_DATA } else { 0 };
        let (size, first) = if at == 0 { (total, flags) } else { (*len, 0) };
        let extra = if at == 0 && gso.is_some() { TXF_EXTRA_INFO } else { 0 };
        let (gref, id) = (GrantRef::new(100 + at as u32), at as u16);
        out.push(TxSlot::of_request(&NetifTxRequest {
            gref,
            offset: *offset,
            flags: first | more | extra,
            id,
            size,
        }));
        if let (0, Some(size)) = (at, gso) {
            let u = [size, u16::from(GSO_TYPE_TCPV4), 0];
            out.push(TxSlot::of_extra(&NetifExtraInfo { kind: EXTRA_TYPE_GSO, flags: 0, u }));
        }
    }
    out
}

fn feed(gatherer: &mut Gatherer, slots: &[TxSlot]) -> Vec<Step> {
    slots.iter().map(|slot| gatherer.feed(*slot)).filter(|step| *step != Step::More).collect()
}

fn only(steps: &[Step]) -> Step {
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps[0]
}

fn refusal(parts: &[(u16, u16)]) -> Refusal {
    match only(&feed(&mut Gatherer::new(), &slots(parts, None, 0))) {
        Step::Refused(_, refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_packets_are_refused_by_what_is_wrong() {
    assert_eq!(refusal(&[(0, 13)]), Refusal::TooShort);
    assert_eq!(refusal(&[(4000, 97)]), Refusal::CrossesPage);
    assert_eq!(refusal(&[(0, 100), (4095, 2)]), Refusal::CrossesPage);
    assert_eq!(refusal(&[(0, 100), (0, 0)]), Refusal::WrongSum);
    assert_eq!(refusal(&[(0, 0), (0, 100)]), Refusal::WrongSum);
    assert_eq!(refusal(&[(0, 4097)]), Refusal::CrossesPage);
}

#[test]
fn a_packet_of_nineteen_parts_is_refused_to_its_end_and_the_next_is_fine() {
    let mut gatherer = Gatherer::new();
    let steps = feed(&mut gatherer, &slots(&[(0, 100); 19], None, 0));
    let answered: usize = steps.iter().map(|step| answers(step).len()).sum();
    assert_eq!(answered, 19);
    assert!(steps.iter().all(|step| matches!(step, Step::Refused(_, Refusal::TooManySlots))));
    let next = only(&feed(&mut gatherer, &slots(&[(0, 100); MAX_PARTS], None, 0)));
    assert!(matches!(next, Step::Complete(packet) if packet.len() == 1800));
}

#[test]
fn extra_information_that_was_not_offered_is_refused() {
    let mut gatherer = Gatherer::new();
    let first = NetifTxRequest {
        gref: GrantRef::new(1),
        offset: 0,
        flags: TXF_EXTRA_INFO,
        id: 9,
        size: 60,
    };
    let again = NetifExtraInfo { kind: 3, flags: EXTRA_FLAG_MORE, u: [0; 3] };
    let mut input = vec![TxSlot::of_request(&first)];
    input.extend([TxSlot::of_extra(&again); 20]);
    let last = NetifExtraInfo { flags: 0, ..again };
    input.push(TxSlot::of_extra(&last));
    let steps = feed(&mut gatherer, &input);
    let all: Vec<_> = steps.iter().flat_map(answers).collect();
    assert_eq!(all.iter().filter(|(id, status)| (*id, *status) == (9, RSP_ERROR)).count(), 1);
    assert_eq!(all.iter().filter(|(_, status)| *status == RSP_NULL).count(), 21);
    assert_eq!(gatherer, Gatherer::new());
}

fn answers(step: &Step) -> Vec<(u16, i16)> {
    let list = |packet: &Packet, status| packet.answers(status).map(|a| (a.id, a.status)).collect();
    match step {
        Step::More => Vec::new(),
        Step::Complete(packet) => list(packet, RSP_OKAY),
        Step::Refused(packet, _) => list(packet, RSP_ERROR),
    }
}

fn honest_parts() -> impl Strategy<Value = Vec<(u16, u16)>> {
    let part = (0u16..4096).prop_flat_map(|offset| (Just(offset), 1..=4096 - offset));
    proptest::collection::vec(part, 1..=MAX_PARTS).prop_filter("a possible length", |parts| {
        (14..=65535).contains(&parts.iter().map(|part| u32::from(part.1)).sum::<u32>())
    })
}

proptest! {
    #[test]
    fn an_honest_packet_comes_out_as_it_was(
        parts in honest_parts(), gso in proptest::option::of(1u16..), blank in any::<bool>(),
    ) {
        let flags = if blank { TXF_CSUM_BLANK } else { 0 };
        let input = slots(&parts, gso, flags);
        let mut gatherer = Gatherer::new();
        let Step::Complete(packet) = only(&feed(&mut gatherer, &input)) else {
            return Err(TestCaseError::fail("refused"));
        };
        let found: Vec<_> = packet.parts().iter().map(|part| (part.offset, part.len)).collect();
        prop_assert_eq!(found, parts.clone());
        let grefs: Vec<u32> = packet.parts().iter().map(|part| part.gref.get()).collect();
        prop_assert_eq!(grefs, (100..100 + parts.len() as u32).collect::<Vec<_>>());
        prop_assert_eq!(packet.meta().segment, gso.unwrap_or(0));
        prop_assert_eq!(packet.meta().checksum == Checksum::Blank, blank);
        prop_assert_eq!(packet.answers(RSP_OKAY).count(), input.len());
        prop_assert_eq!(gatherer, Gatherer::new());
    }

    #[test]
    fn any_slots_are_answered_once_and_what_comes_out_is_sound(
        words in proptest::collection::vec((any::<u32>(), 0u32..0x1_2000, any::<u16>(), 0u32..9000), 1..300),
    ) {
        let mut gatherer = Gatherer::new();
        let mut pending = 0;
        for (gref, second, id, size) in words {
            let slot = TxSlot([gref, second << 3 | gref & 7, u32::from(id) | size << 16]);
            pending += 1;
            let step = gatherer.feed(slot);
            let answered = answers(&step).len();
            match step {
                Step::More => prop_assert!(pending <= MAX_PARTS + 4),
                Step::Complete(packet) => {
                    prop_assert_eq!(answered, pending);
                    let sum: usize = packet.parts().iter().map(|part| usize::from(part.len)).sum();
                    prop_assert_eq!(sum, packet.len());
                    prop_assert!((14..=65535).contains(&sum));
                    for part in packet.parts() {
                        prop_assert!(part.len > 0);
                        prop_assert!(usize::from(part.offset) + usize::from(part.len) <= 4096);
                    }
                    pending = 0;
                }
                Step::Refused(..) => {
                    prop_assert_eq!(answered, pending);
                    pending = 0;
                }
            }
        }
    }
}
