//! The nodes of a device, misused: values that are no values, states in any order, changes at any time.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use hypercall_abi::DomId;
use pv_xenbus::Tx;
use pvkernel_xen::grants::GrantedPages;
use pvkernel_xen::thread;

use crate::dice::Dice;
use crate::half::Half;
use crate::{Endless, Rounds};

/// Nodes that back halves read.
const KEYS: &[&str] = &[
    "ring-ref",
    "ring-page-order",
    "ring-ref0",
    "event-channel",
    "protocol",
    "feature-persistent",
    "tx-ring-ref",
    "rx-ring-ref",
    "request-rx-copy",
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-no-csum-offload",
    "backend",
    "backend-id",
    "mac",
    "state/below",
];
/// Steps of a round, between two orderly connections.
const STEPS: u64 = 200;

fn value(dice: &mut Dice, good: &str) -> alloc::vec::Vec<u8> {
    match dice.below(10) {
        0 => vec![b'9'; 1 + dice.below(2048) as usize],
        1 => vec![0xff; 1 + dice.below(300) as usize],
        2 => dice.next().to_string().into_bytes(),
        3 => alloc::vec::Vec::new(),
        4 => b"-1".to_vec(),
        5 => b"x86_32-abi".to_vec(),
        6 => b"/local/domain/0".to_vec(),
        _ => good.as_bytes().to_vec(),
    }
}

/// Everything that can be done to nodes, and in between a connection that has to work.
pub fn garbage(kind: &str, dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut half = Half::find(kind)?;
    let pages =
        GrantedPages::new(DomId::DOM0, 3, true).map_err(|errno| errno.name().to_string())?;
    let refs: vec::Vec<_> = pages.refs().iter().map(ToString::to_string).collect();
    loop {
        let port = half.new_port()?.to_string();
        for _ in 0..STEPS {
            step(&half, &refs, &port, dice);
        }
        clean(&half);
        half.begin()?;
        rounds.add("");
    }
}

fn step(half: &Half, refs: &[alloc::string::String], port: &str, dice: &mut Dice) {
    match dice.below(8) {
        0..=2 => {
            let key = dice.pick(KEYS);
            let good = match key {
                "event-channel" => port,
                "protocol" => "x86_64-abi",
                _ if key.ends_with("-ref") => &refs[dice.below(3) as usize],
                _ => "1",
            };
            half.set(key, &value(dice, good));
        }
        3 | 4 => {
            let state = dice.below(10).to_string();
            half.set("state", &value(dice, &state));
        }
        5 => {
            // As it would be right, so that some of the connections come to pass.
            let good =
                [("ring-ref", &refs[0]), ("tx-ring-ref", &refs[1]), ("rx-ring-ref", &refs[2])];
            good.into_iter().for_each(|(key, gref)| half.set(key, gref.as_bytes()));
            half.set("event-channel", port.as_bytes());
            half.set("request-rx-copy", b"1");
            half.set("protocol", b"x86_64-abi");
            half.set("ring-page-order", b"0");
            half.set("state", dice.pick(&[b"3", b"4"]));
        }
        6 if dice.one_in(40) => {
            for at in 0..300 {
                half.set(&format!("many/{at}"), b"");
                half.set(&format!("many-{at}"), b"x");
            }
        }
        6 => {
            let key = dice.pick(&["state", "ring-ref", "event-channel", "many"]);
            let _ = half.store.rm(Tx::NONE, &format!("{}/{key}", half.front));
        }
        _ => thread::sleep_ns(dice.below(1_000_000)),
    }
}

/// Takes away what stands in the way of an orderly connection.
fn clean(half: &Half) {
    let names = half.store.list(Tx::NONE, &half.front).unwrap_or_default();
    let kept = ["state", "backend", "backend-id", "handle", "mac", "virtual-device", "mtu"];
    for name in names.iter().filter(|name| !kept.contains(&name.as_str())) {
        let _ = half.store.rm(Tx::NONE, &format!("{}/{name}", half.front));
    }
}
