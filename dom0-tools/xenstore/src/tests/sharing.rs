//! The store as the control domain's own threads use it.

use super::dom;
use crate::{Effect, Hooks, Quota, Shared};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{Errno, EvtchnPort, Mfn};
use pv_xenbus::{retry, Registry, Store, Tx};
use std::sync::Mutex;

fn shared() -> Shared {
    Shared::new(Quota::default(), Hooks::NONE)
}

#[test]
fn it_is_a_store() {
    let store = shared();
    store.write(Tx::NONE, "/a/b", b"5").unwrap();
    store.write(Tx::NONE, "name", b"Domain-0").unwrap();
    assert_eq!(store.number(Tx::NONE, "/a/b"), Ok(5));
    assert_eq!(store.text(Tx::NONE, "/local/domain/0/name").as_deref(), Ok("Domain-0"));
    assert_eq!(store.list(Tx::NONE, "/").unwrap(), ["a", "local"]);
    assert_eq!(store.perms(Tx::NONE, "/a").unwrap(), super::perms("n0"));
    store.set_perms(Tx::NONE, "/a", &super::perms("n0 r5")).unwrap();
    assert_eq!(store.perms(Tx::NONE, "/a").unwrap(), super::perms("n0 r5"));
    assert_eq!(store.read(Tx::NONE, "/x"), Err(Errno::ENOENT));
    assert_eq!(store.read(Tx::NONE, "/x//y"), Err(Errno::EINVAL));
    store.rm(Tx::NONE, "/a").unwrap();
    assert_eq!(store.read(Tx::NONE, "/a/b"), Err(Errno::ENOENT));
}

#[test]
fn a_transaction_is_tried_again_when_somebody_interferes() {
    let store = shared();
    store.write(Tx::NONE, "/count", b"1").unwrap();
    let mut tries = 0;
    retry(&store, |tx| {
        tries += 1;
        let count = store.number(tx, "/count")?;
        if tries < 3 {
            store.write(Tx::NONE, "/count", b"10")?;
        }
        store.write(tx, "/count", (count + 1).to_string().as_bytes())
    })
    .unwrap();
    assert_eq!((tries, store.number(Tx::NONE, "/count")), (3, Ok(11)));
    let given_up: Result<(), _> = retry(&store, |tx| {
        store.write(tx, "/count", b"0")?;
        Err(Errno::EIO)
    });
    assert_eq!(given_up, Err(Errno::EIO));
    assert_eq!(store.number(Tx::NONE, "/count"), Ok(11));
}

#[test]
fn sinks_are_called_outside_of_the_lock() {
    let store: &'static Shared = std::boxed::Box::leak(std::boxed::Box::new(shared()));
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = |prefix: &'static str| {
        let heard = heard.clone();
        let sink: pv_xenbus::WatchSink = Arc::new(move |path: &str| {
            // It would block for ever if the lock was held.
            let _ = store.read(Tx::NONE, "/a");
            heard.lock().unwrap().push(alloc::format!("{prefix}{path}"));
        });
        sink
    };
    let first = store.watch("/a", sink("1")).unwrap();
    let second = store.watch("/a", sink("2")).unwrap();
    store.watch("rel", sink("3")).unwrap();
    store.write(Tx::NONE, "/a/x", b"").unwrap();
    store.unwatch(first);
    store.unwatch(first);
    store.write(Tx::NONE, "rel/y", b"").unwrap();
    store.rm(Tx::NONE, "/a").unwrap();
    store.unwatch(second);
    store.write(Tx::NONE, "/a/x", b"").unwrap();
    assert_eq!(*heard.lock().unwrap(), ["1/a", "2/a", "3rel", "1/a/x", "2/a/x", "3rel/y", "2/a"]);
    assert_eq!(store.watch("//", sink("")), Err(Errno::EINVAL));
}

#[test]
fn a_domain_whose_ring_cannot_be_mapped_is_not_introduced() {
    static SEEN: Mutex<Vec<Effect>> = Mutex::new(Vec::new());
    let effect = |effect| {
        SEEN.lock().unwrap().push(effect);
        match effect {
            Effect::Introduce { frame, .. } if frame == Mfn::new(66) => Err(Errno::ENOMEM),
            _ => Ok(()),
        }
    };
    let store = Shared::new(Quota::default(), Hooks { wake: || {}, effect });
    let port = EvtchnPort::new(3);
    assert_eq!(store.introduce(dom(5), Mfn::new(66), port), Err(Errno::ENOMEM));
    assert!(!store.with(|server| server.is_introduced(dom(5))));
    store.introduce(dom(5), Mfn::new(1), port).unwrap();
    store.release(dom(5));
    store.release(dom(5));
    let introduce = |frame| Effect::Introduce { domain: dom(5), frame: Mfn::new(frame), port };
    let gone = Effect::Release(dom(5));
    assert_eq!(*SEEN.lock().unwrap(), [introduce(66), gone, introduce(1), gone]);
}

#[test]
fn it_knows_who_watches() {
    let store = shared();
    store.introduce(dom(5), Mfn::new(1), EvtchnPort::new(3)).unwrap();
    let conn = crate::Conn::Domain(dom(5));
    store.with(|server| server.watch(conn, "control/shutdown", b"t")).unwrap();
    assert!(store.is_watched_by(dom(5), "/local/domain/5/control/shutdown"));
    assert!(!store.is_watched_by(dom(5), "/local/domain/5/control"));
    assert!(!store.is_watched_by(dom(6), "/local/domain/5/control/shutdown"));
}
