//! Domains that want too much, or make no sense.

use super::{ask, dom, drain, send, server};
use crate::server::{Conn, Server};
use crate::Quota;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::Errno;
use proptest::prelude::*;
use pv_xenbus::wire::*;
use pv_xenbus::Tx;

fn write(server: &mut Server, path: &str, value: &[u8]) -> Result<Vec<u8>, Errno> {
    let payload = [path.as_bytes(), b"\0", value].concat();
    ask(server, dom(1), XS_WRITE, Tx::NONE, &payload)
}

#[test]
fn nodes_watches_and_transactions_are_counted() {
    let quota = Quota::default();
    let mut s = server(quota);
    let mut made = s.tree().usage(dom(1)).nodes;
    let full = loop {
        match write(&mut s, &format!("n/{made}"), b"") {
            Ok(_) => made += 1,
            Err(errno) => break errno,
        }
    };
    assert_eq!((full, s.tree().usage(dom(1)).nodes), (Errno::ENOSPC, quota.nodes));
    // A full domain can still change what it has, and make room.
    write(&mut s, "n/5", b"new").unwrap();
    ask(&mut s, dom(1), XS_RM, Tx::NONE, b"n/6\0").unwrap();
    write(&mut s, "n/again", b"").unwrap();
    assert_eq!(write(&mut s, "n/5", &vec![0; quota.node_size + 1]), Err(Errno::ENOSPC));
    for number in 0..quota.watches {
        ask(&mut s, dom(1), XS_WATCH, Tx::NONE, format!("x\0{number}\0").as_bytes()).unwrap();
    }
    assert_eq!(ask(&mut s, dom(1), XS_WATCH, Tx::NONE, b"x\0more\0"), Err(Errno::E2BIG));
    for _ in 0..quota.transactions {
        ask(&mut s, dom(1), XS_TRANSACTION_START, Tx::NONE, b"\0").unwrap();
    }
    assert_eq!(ask(&mut s, dom(1), XS_TRANSACTION_START, Tx::NONE, b"\0"), Err(Errno::ENOSPC));
    // Nobody else notices.
    ask(&mut s, dom(2), XS_WRITE, Tx::NONE, b"a\0b").unwrap();
}

#[test]
fn long_paths_are_paid_for() {
    let quota = Quota::default();
    let mut s = server(quota);
    let long = "p".repeat(1800);
    let mut last = Ok(Vec::new());
    for number in 0..quota.nodes {
        last = write(&mut s, &format!("{long}{number}"), &[1; 2000]);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last, Err(Errno::ENOSPC));
    assert!(s.tree().usage(dom(1)).bytes <= quota.bytes);
}

#[test]
fn transactions_hold_a_bounded_amount_together() {
    let quota = Quota::default();
    let mut s = server(quota);
    let open: Vec<Tx> =
        (0..quota.transactions).map(|_| s.begin(Conn::Domain(dom(1))).unwrap()).collect();
    let mut refused = 0;
    for number in 0..3000u32 {
        let tx = open[number as usize % open.len()];
        let payload = [format!("t/{number}\0").as_bytes(), &[7; 1000]].concat();
        refused += u32::from(ask(&mut s, dom(1), XS_WRITE, tx, &payload) == Err(Errno::ENOSPC));
    }
    assert!(refused > 1000);
    let held = s.transaction_bytes(Conn::Domain(dom(1)));
    assert!(held <= quota.transaction_bytes, "{held}");
}

#[test]
fn who_does_not_read_is_not_served_and_nothing_grows() {
    let quota = Quota::default();
    let mut s = server(quota);
    for number in 0..quota.watches {
        ask(&mut s, dom(1), XS_WATCH, Tx::NONE, format!("w{number}\0t\0").as_bytes()).unwrap();
    }
    drain(&mut s, dom(1), 4096);
    // Answers: after some, nothing more is taken.
    let mut executed = 0;
    for _ in 0..100 {
        let request = Message::new(XS_READ, 1, Tx::NONE, b"x\0".to_vec());
        if s.wanted(dom(1)) == 0 {
            break;
        }
        send(&mut s, dom(1), &request);
        executed += u32::from(s.step(dom(1)));
    }
    assert_eq!(executed as usize, quota.answers);
    assert!(!s.is_ready(dom(1)) && s.wanted(dom(1)) == 0);
    // Events: any number of changes leaves a bounded number of them.
    for round in 0..5 {
        for number in 0..quota.watches {
            for leaf in 0..3 {
                let path = format!("/local/domain/1/w{number}/{round}-{leaf}");
                s.run(Conn::Local, Tx::NONE, |session| session.write(&path, b"")).unwrap();
            }
        }
    }
    let messages = drain(&mut s, dom(1), 100);
    assert!(messages.len() <= quota.answers + quota.events + quota.watches);
    // No watch was forgotten.
    for number in 0..quota.watches {
        let name = format!("w{number}");
        let is_told = |message: &Message| {
            message.as_watch_event().is_some_and(|(path, _)| path.starts_with(&name))
        };
        assert!(messages.iter().any(is_told), "{name}");
    }
    assert!(s.is_ready(dom(1)) && s.step(dom(1)) && s.wanted(dom(1)) == 16);
}

#[test]
fn starting_over_forgets_what_was_half_said() {
    let mut s = server(Quota::default());
    ask(&mut s, dom(1), XS_WATCH, Tx::NONE, b"x\0t\0").unwrap();
    ask(&mut s, dom(1), XS_TRANSACTION_START, Tx::NONE, b"\0").unwrap();
    s.receive(dom(1), &[1; 9]).unwrap();
    s.reset(dom(1));
    assert_eq!(s.watches_of(Conn::Domain(dom(1))).len(), 0);
    assert_eq!(s.transactions(Conn::Domain(dom(1))), 0);
    assert!(!s.has_pending(dom(1)));
    write(&mut s, "a", b"works").unwrap();
}

proptest! {
    #[test]
    fn any_bytes_leave_the_store_whole(
        chunks in prop::collection::vec((1u16..3, prop::collection::vec(any::<u8>(), 1..64)), 0..30),
        requests in prop::collection::vec(
            (0u32..24, 0u32..4, "[ab/@0-9TF\0]{0,12}"), 0..60),
    ) {
        let mut s = server(Quota { nodes: 20, ..Quota::default() });
        for (who, bytes) in &chunks {
            let room = s.wanted(dom(*who)).min(bytes.len());
            match s.receive(dom(*who), &bytes[..room]) {
                Ok(_) => { s.step(dom(*who)); }
                Err(_) => s.reset(dom(*who)),
            }
        }
        s.reset(dom(1));
        for (kind, tx, payload) in &requests {
            let answer = ask(&mut s, dom(1), *kind, Tx(*tx), payload.as_bytes());
            prop_assert!(answer.map_or(0, |answer| answer.len()) <= PAYLOAD_MAX);
        }
        prop_assert_eq!(s.tree().check(), None);
        prop_assert!(s.tree().usage(dom(1)).nodes <= 20);
        prop_assert!(s.take_effects().is_empty());
    }
}
