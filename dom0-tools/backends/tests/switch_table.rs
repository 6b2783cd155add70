//! The switch against a model that remembers everything.

use proptest::prelude::*;
use std::collections::BTreeMap;
use zl_backends::switch::{Forward, PortId, Switch, ADDRESSES_PER_PORT};

fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, 0, a, b, c, d]
}

fn frame(to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    [&to[..], &from, &[8, 0, 0]].concat()
}

const MINUTE_NS: u64 = 60_000_000_000;

#[test]
fn groups_and_strangers_are_flooded_and_known_addresses_are_not() {
    let mut switch = Switch::new();
    let (a, b, c) = (switch.add(false), switch.add(false), switch.add(false));
    assert_eq!(switch.forward(a, &frame([0xff; 6], mac(1)), 0), Forward::Flood);
    assert_eq!(switch.forward(b, &frame(mac(1), mac(2)), 0), Forward::To(a));
    assert_eq!(switch.forward(a, &frame(mac(2), mac(1)), 0), Forward::To(b));
    assert_eq!(switch.forward(a, &frame(mac(3), mac(1)), 0), Forward::Flood);
    assert_eq!(switch.forward(a, &frame([1, 0, 0x5e, 0, 0, 1], mac(1)), 0), Forward::Flood);
    assert!(switch.reaches(a, c) && !switch.reaches(a, a));
}

#[test]
fn nothing_is_sent_back_and_nonsense_goes_nowhere() {
    let mut switch = Switch::new();
    let (a, _) = (switch.add(false), switch.add(false));
    switch.forward(a, &frame([0xff; 6], mac(1)), 0);
    assert_eq!(switch.forward(a, &frame(mac(1), mac(2)), 0), Forward::Drop);
    assert_eq!(switch.forward(a, &frame(mac(2), [0xff; 6]), 0), Forward::Drop);
    assert_eq!(switch.forward(a, &frame(mac(2), [0; 6]), 0), Forward::Drop);
    assert_eq!(switch.forward(a, &[0; 11], 0), Forward::Drop);
    assert_eq!(switch.forward(a, &frame([1, 0x80, 0xc2, 0, 0, 3], mac(1)), 0), Forward::Drop);
    assert_eq!(switch.forward(PortId(7), &frame([0xff; 6], mac(1)), 0), Forward::Drop);
}

#[test]
fn isolated_ports_reach_the_others_only() {
    let mut switch = Switch::new();
    let (a, b, c) = (switch.add(true), switch.add(true), switch.add(false));
    switch.forward(a, &frame([0xff; 6], mac(1)), 0);
    switch.forward(c, &frame([0xff; 6], mac(3)), 0);
    assert_eq!(switch.forward(b, &frame(mac(1), mac(2)), 0), Forward::Drop);
    assert_eq!(switch.forward(b, &frame(mac(3), mac(2)), 0), Forward::To(c));
    assert!(!switch.reaches(a, b) && switch.reaches(a, c) && switch.reaches(c, a));
}

#[test]
fn addresses_age_and_ports_take_theirs_along() {
    let mut switch = Switch::new();
    let (a, b) = (switch.add(false), switch.add(false));
    switch.forward(a, &frame([0xff; 6], mac(1)), 0);
    assert_eq!(switch.port_of(&mac(1), 4 * MINUTE_NS), Some(a));
    assert_eq!(switch.port_of(&mac(1), 6 * MINUTE_NS), None);
    switch.forward(a, &frame([0xff; 6], mac(1)), 6 * MINUTE_NS);
    switch.remove(a);
    assert_eq!(switch.forward(b, &frame(mac(1), mac(2)), 6 * MINUTE_NS), Forward::Flood);
    assert_eq!(switch.add(false), a);
}

#[test]
fn a_flood_of_addresses_costs_only_its_own_port() {
    let mut switch = Switch::new();
    let (victim, attacker) = (switch.add(false), switch.add(false));
    for number in 0..ADDRESSES_PER_PORT as u32 {
        switch.forward(victim, &frame([0xff; 6], mac(number)), 0);
    }
    for number in 0..10_000 {
        switch.forward(attacker, &frame([0xff; 6], mac(1_000_000 + number)), 0);
    }
    assert!((0..ADDRESSES_PER_PORT as u32).all(|n| switch.port_of(&mac(n), 0) == Some(victim)));
    let known = (0..10_000).filter(|n| switch.port_of(&mac(1_000_000 + n), 0).is_some()).count();
    assert_eq!(known, ADDRESSES_PER_PORT);
}

proptest! {
    #[test]
    fn the_switch_does_what_a_model_does(
        steps in proptest::collection::vec((0usize..4, 0u32..12, 0u32..14, 0u64..2 * MINUTE_NS), 1..200),
    ) {
        let mut switch = Switch::new();
        let ports: Vec<PortId> = (0..4).map(|_| switch.add(false)).collect();
        let mut model: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
        let mut now = 0;
        for (from, sender, to, passed) in steps {
            now += passed;
            model.insert(sender, (from, now));
            let expected = match model.get(&to) {
                Some((port, seen)) if now - seen < 5 * MINUTE_NS => {
                    if *port == from { Forward::Drop } else { Forward::To(ports[*port]) }
                }
                _ => Forward::Flood,
            };
            prop_assert_eq!(switch.forward(ports[from], &frame(mac(to), mac(sender)), now), expected);
        }
    }
}
