//! Every type of message, as a guest sends it.

use super::{ask, dom, drain, perms, send, server};
use crate::access::Perms;
use crate::server::{Conn, Effect, Server, TOKEN_MAX};
use crate::Quota;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use hypercall_abi::{Errno, EvtchnPort, Mfn};
use pv_xenbus::wire::*;
use pv_xenbus::Tx;

fn fresh() -> Server {
    server(Quota::default())
}

/// What domain 1 is answered.
fn one(server: &mut Server, kind: u32, payload: &[u8]) -> Result<Vec<u8>, Errno> {
    ask(server, dom(1), kind, Tx::NONE, payload)
}

fn control(server: &mut Server, kind: u32, payload: &[u8]) -> Result<Vec<u8>, Errno> {
    server.answer(Conn::Local, &Message::new(kind, 0, Tx::NONE, payload.to_vec()))
}

fn ok() -> Result<Vec<u8>, Errno> {
    Ok(b"OK\0".to_vec())
}

#[test]
fn values_names_and_permissions() {
    let mut s = fresh();
    assert_eq!(one(&mut s, XS_WRITE, b"data/x\0some\0bytes"), ok());
    assert_eq!(one(&mut s, XS_READ, b"data/x\0"), Ok(b"some\0bytes".to_vec()));
    assert_eq!(one(&mut s, XS_READ, b"/local/domain/1/data\0"), Ok(Vec::new()));
    assert_eq!(one(&mut s, XS_MKDIR, b"data/y\0"), ok());
    assert_eq!(one(&mut s, XS_MKDIR, b"data/x\0"), ok());
    assert_eq!(one(&mut s, XS_DIRECTORY, b"data\0"), Ok(b"x\0y\0".to_vec()));
    assert_eq!(one(&mut s, XS_DIRECTORY, b"data/y\0"), Ok(Vec::new()));
    assert_eq!(one(&mut s, XS_GET_PERMS, b"data\0"), Ok(b"n1\0".to_vec()));
    assert_eq!(one(&mut s, XS_SET_PERMS, b"data\0n1\0r2\0"), ok());
    assert_eq!(one(&mut s, XS_GET_PERMS, b"data\0"), Ok(b"n1\0r2\0".to_vec()));
    assert_eq!(one(&mut s, XS_SET_PERMS, b"data\0n2\0"), Err(Errno::EPERM));
    assert_eq!(one(&mut s, XS_RM, b"data/x\0"), ok());
    assert_eq!(one(&mut s, XS_RM, b"data/x\0"), ok());
    assert_eq!(one(&mut s, XS_RM, b"data/z/z\0"), Err(Errno::ENOENT));
    assert_eq!(one(&mut s, XS_READ, b"data/x\0"), Err(Errno::ENOENT));
    assert_eq!(one(&mut s, XS_RM, b"/\0"), Err(Errno::EINVAL));
}

#[test]
fn what_is_not_the_guests_is_refused_without_telling_whether_it_exists() {
    let mut s = fresh();
    for path in ["/local/domain/2", "/local/domain/2/x", "/secret", "/"] {
        let path = format!("{path}\0");
        assert_eq!(one(&mut s, XS_READ, path.as_bytes()), Err(Errno::EACCES), "{path}");
        assert_eq!(one(&mut s, XS_DIRECTORY, path.as_bytes()), Err(Errno::EACCES));
        assert_eq!(one(&mut s, XS_WRITE, path.as_bytes()), Err(Errno::EACCES));
        assert_eq!(one(&mut s, XS_SET_PERMS, format!("{path}b1\0").as_bytes()), Err(Errno::EACCES));
    }
    for kind in [XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_RESUME, XS_SET_TARGET] {
        assert_eq!(one(&mut s, kind, b"1\x002\x003\0"), Err(Errno::EACCES));
    }
    assert!(s.take_effects().is_empty());
}

#[test]
fn malformed_payloads_are_einval_and_unknown_types_enosys() {
    let mut s = fresh();
    for kind in [XS_READ, XS_DIRECTORY, XS_GET_PERMS, XS_MKDIR, XS_RM, XS_WATCH, XS_UNWATCH] {
        for payload in [&b""[..], b"x", b"a//b\0", b"\xff\0", b"a/\0"] {
            assert_eq!(one(&mut s, kind, payload), Err(Errno::EINVAL), "{kind} {payload:?}");
        }
    }
    assert_eq!(one(&mut s, XS_WRITE, b"no end"), Err(Errno::EINVAL));
    assert_eq!(one(&mut s, XS_SET_PERMS, b"x\0"), Err(Errno::EINVAL));
    assert_eq!(one(&mut s, XS_SET_PERMS, b"x\0q1\0"), Err(Errno::EINVAL));
    assert_eq!(one(&mut s, XS_GET_DOMAIN_PATH, b"70000\0"), Err(Errno::EINVAL));
    assert_eq!(one(&mut s, XS_TRANSACTION_END, b"x\0"), Err(Errno::EINVAL));
    assert_eq!(one(&mut s, XS_DIRECTORY_PART, b"x\0"), Err(Errno::EINVAL));
    for kind in [XS_WATCH_EVENT, XS_ERROR, 20, 23, u32::MAX] {
        assert_eq!(one(&mut s, kind, b"x\0"), Err(Errno::ENOSYS));
    }
}

#[test]
fn a_long_directory_comes_in_parts() {
    let mut s = fresh();
    let names: Vec<_> = (0..900).map(|number| format!("name-{number:04}")).collect();
    for name in &names {
        one(&mut s, XS_WRITE, format!("list/{name}\0").as_bytes()).unwrap();
    }
    assert_eq!(one(&mut s, XS_DIRECTORY, b"list\0"), Err(Errno::E2BIG));
    let (mut got, mut parts) = (Vec::new(), 0);
    loop {
        let part = one(&mut s, XS_DIRECTORY_PART, format!("list\0{}\0", got.len()).as_bytes());
        let part = part.unwrap();
        parts += 1;
        let start = part.iter().position(|byte| *byte == 0).unwrap() + 1;
        let is_last = part[start..].ends_with(b"\0\0");
        got.extend_from_slice(&part[start..part.len() - usize::from(is_last)]);
        if is_last {
            break;
        }
    }
    assert!(parts > 1);
    assert_eq!(split(&got).unwrap().count(), names.len());
    assert_eq!(one(&mut s, XS_DIRECTORY_PART, b"list/name-0000\x000\0").unwrap().pop(), Some(0));
}

#[test]
fn transactions_are_isolated_and_notice_conflicts() {
    let mut s = fresh();
    one(&mut s, XS_WRITE, b"a\0old").unwrap();
    let number = one(&mut s, XS_TRANSACTION_START, b"\0").unwrap();
    let tx = Tx(number_of(&number));
    assert_eq!(ask(&mut s, dom(1), XS_READ, tx, b"a\0"), Ok(b"old".to_vec()));
    assert_eq!(ask(&mut s, dom(1), XS_WRITE, tx, b"b\0new"), ok());
    assert_eq!(ask(&mut s, dom(1), XS_TRANSACTION_START, tx, b"\0"), Err(Errno::EBUSY));
    assert_eq!(ask(&mut s, dom(2), XS_READ, tx, b"a\0"), Err(Errno::ENOENT));
    assert_eq!(ask(&mut s, dom(2), XS_TRANSACTION_END, tx, b"T\0"), Err(Errno::ENOENT));
    assert_eq!(one(&mut s, XS_READ, b"b\0"), Err(Errno::ENOENT));
    one(&mut s, XS_WRITE, b"a\0other").unwrap();
    assert_eq!(ask(&mut s, dom(1), XS_READ, tx, b"a\0"), Ok(b"old".to_vec()));
    assert_eq!(ask(&mut s, dom(1), XS_TRANSACTION_END, tx, b"T\0"), Err(Errno::EAGAIN));
    assert_eq!(one(&mut s, XS_READ, b"b\0"), Err(Errno::ENOENT));
    assert_eq!(ask(&mut s, dom(1), XS_TRANSACTION_END, tx, b"T\0"), Err(Errno::ENOENT));
    assert_eq!(one(&mut s, XS_TRANSACTION_END, b"T\0"), Err(Errno::ENOENT));
}

fn number_of(text: &[u8]) -> u32 {
    number(text.strip_suffix(b"\0").unwrap()).unwrap()
}

#[test]
fn makers_of_different_children_do_not_disturb_each_other() {
    let mut s = fresh();
    one(&mut s, XS_MKDIR, b"d\0").unwrap();
    let begin = |s: &mut Server| Tx(number_of(&one(s, XS_TRANSACTION_START, b"\0").unwrap()));
    let (first, second, lists) = (begin(&mut s), begin(&mut s), begin(&mut s));
    ask(&mut s, dom(1), XS_WRITE, first, b"d/1\0x").unwrap();
    ask(&mut s, dom(1), XS_WRITE, second, b"d/2\0x").unwrap();
    ask(&mut s, dom(1), XS_DIRECTORY, lists, b"d\0").unwrap();
    for tx in [first, second] {
        assert_eq!(ask(&mut s, dom(1), XS_TRANSACTION_END, tx, b"T\0"), ok());
    }
    assert_eq!(ask(&mut s, dom(1), XS_TRANSACTION_END, lists, b"T\0"), Err(Errno::EAGAIN));
}

fn events(s: &mut Server, number: u16) -> Vec<(alloc::string::String, Vec<u8>)> {
    let messages = drain(s, dom(number), 7);
    let event = |message: &Message| {
        message.as_watch_event().map(|(path, token)| (path.to_string(), token.to_vec()))
    };
    messages.iter().filter_map(event).collect()
}

#[test]
fn a_watch_fires_once_behind_its_answer_and_then_for_changes() {
    let mut s = fresh();
    send(&mut s, dom(1), &Message::new(XS_WATCH, 5, Tx::NONE, b"data\0tok\0".to_vec()));
    assert!(s.step(dom(1)));
    let first = drain(&mut s, dom(1), 100);
    assert_eq!((first[0].kind, first[0].req_id), (XS_WATCH, 5));
    assert_eq!(first[1].as_watch_event(), Some(("data", &b"tok"[..])));
    one(&mut s, XS_WATCH, b"/local/domain/1/data\0abs\0").unwrap();
    assert_eq!(one(&mut s, XS_WATCH, b"data\0tok\0"), Err(Errno::EEXIST));
    one(&mut s, XS_WATCH, b"data\0tok2\0extra\0").unwrap();
    let _ = events(&mut s, 1);
    s.run(Conn::Local, Tx::NONE, |session| session.write("/local/domain/1/data/x/y", b"1"))
        .unwrap();
    let got = events(&mut s, 1);
    let expected = [("data/x/y", "tok"), ("/local/domain/1/data/x/y", "abs"), ("data/x/y", "tok2")];
    assert_eq!(got, expected.map(|(path, token)| (path.to_string(), token.as_bytes().to_vec())));
    assert_eq!(one(&mut s, XS_UNWATCH, b"data\0tok\0"), ok());
    assert_eq!(one(&mut s, XS_UNWATCH, b"data\0tok\0"), Err(Errno::ENOENT));
    assert_eq!(one(&mut s, XS_RESET_WATCHES, b"\0"), ok());
    one(&mut s, XS_RM, b"data\0").unwrap();
    assert_eq!(events(&mut s, 1), []);
    let long = [b"x\0".as_slice(), &alloc::vec![b't'; TOKEN_MAX + 1], b"\0"].concat();
    assert_eq!(one(&mut s, XS_WATCH, &long), Err(Errno::EINVAL));
}

#[test]
fn removing_a_tree_tells_those_who_watch_inside_it() {
    let mut s = fresh();
    one(&mut s, XS_WRITE, b"a/b/c\0x").unwrap();
    for payload in [&b"a\0top\0"[..], b"a/b\0mid\0", b"a/b/c/d\0none\0"] {
        one(&mut s, XS_WATCH, payload).unwrap();
    }
    let _ = events(&mut s, 1);
    one(&mut s, XS_WATCH, b"a/b/c\0leaf\0").unwrap();
    let _ = events(&mut s, 1);
    s.run(Conn::Local, Tx::NONE, |session| session.rm("/local/domain/1/a")).unwrap();
    let mut got: Vec<_> = events(&mut s, 1).into_iter().map(|(path, _)| path).collect();
    got.sort();
    assert_eq!(got, ["a", "a/b", "a/b/c"]);
}

#[test]
fn only_who_may_read_hears_of_it() {
    let mut s = fresh();
    ask(&mut s, dom(2), XS_WATCH, Tx::NONE, b"/local/domain/1\0t\0").unwrap();
    one(&mut s, XS_WRITE, b"secret\0x").unwrap();
    assert_eq!(events(&mut s, 2), []);
    one(&mut s, XS_SET_PERMS, b"secret\0r1\0").unwrap();
    one(&mut s, XS_WRITE, b"secret\0y").unwrap();
    assert_eq!(events(&mut s, 2).len(), 1);
    // Who could read it hears that it cannot any more, and that it goes.
    one(&mut s, XS_SET_PERMS, b"secret\0n1\0").unwrap();
    assert_eq!(events(&mut s, 2).len(), 1);
    one(&mut s, XS_RM, b"secret\0").unwrap();
    assert_eq!(events(&mut s, 2), []);
}

#[test]
fn domains_are_introduced_and_released_by_the_control_domain() {
    let mut s = fresh();
    s.watch(Conn::Local, "@introduceDomain", b"i").unwrap();
    s.watch(Conn::Local, "@releaseDomain", b"r").unwrap();
    one(&mut s, XS_WATCH, b"@releaseDomain\0r\0").unwrap();
    let _ = events(&mut s, 1);
    assert_eq!(one(&mut s, XS_GET_DOMAIN_PATH, b"9\0"), Ok(b"/local/domain/9\0".to_vec()));
    assert_eq!(one(&mut s, XS_IS_DOMAIN_INTRODUCED, b"9\0"), Ok(b"F\0".to_vec()));
    assert_eq!(control(&mut s, XS_INTRODUCE, b"9\x00123\x004\0"), ok());
    assert_eq!(control(&mut s, XS_INTRODUCE, b"0\x00123\x004\0"), Err(Errno::EINVAL));
    assert_eq!(control(&mut s, XS_INTRODUCE, b"9\x00123\0"), Err(Errno::EINVAL));
    let effect =
        Effect::Introduce { domain: dom(9), frame: Mfn::new(123), port: EvtchnPort::new(4) };
    assert_eq!(s.take_effects(), [effect]);
    assert_eq!(one(&mut s, XS_IS_DOMAIN_INTRODUCED, b"9\0"), Ok(b"T\0".to_vec()));
    let heard = |s: &mut Server| {
        s.take_news().into_iter().map(|(_, path)| path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(heard(&mut s), ["@introduceDomain"]);
    s.domain_ended(dom(9));
    s.domain_ended(dom(9));
    assert_eq!(heard(&mut s), ["@releaseDomain"]);
    assert_eq!(control(&mut s, XS_RESUME, b"9\0"), ok());
    s.domain_ended(dom(9));
    assert_eq!(heard(&mut s), ["@releaseDomain"]);
    assert_eq!(control(&mut s, XS_RELEASE, b"9\0"), ok());
    assert_eq!(control(&mut s, XS_RELEASE, b"9\0"), Err(Errno::ENOENT));
    assert_eq!(s.take_effects(), [Effect::Release(dom(9))]);
    assert_eq!(heard(&mut s), ["@releaseDomain"]);
    // Others hear of it only when they were allowed to.
    assert_eq!(events(&mut s, 1), []);
    assert_eq!(one(&mut s, XS_SET_PERMS, b"@releaseDomain\0r1\0"), Err(Errno::EACCES));
    assert_eq!(control(&mut s, XS_SET_PERMS, b"@releaseDomain\0n0\0r1\0"), ok());
    assert_eq!(control(&mut s, XS_SET_PERMS, b"@other\0n0\0"), Err(Errno::EINVAL));
    assert_eq!(one(&mut s, XS_GET_PERMS, b"@releaseDomain\0"), Ok(b"n0\0r1\0".to_vec()));
    s.domain_ended(dom(3));
    assert_eq!(events(&mut s, 1).len(), 1);
}

#[test]
fn a_released_domain_leaves_nothing() {
    let mut s = fresh();
    let counts = |s: &Server| (s.tree().iter().count(), s.watches_of(Conn::Local).len());
    let before = counts(&s);
    s.introduce(dom(9), Mfn::new(1), EvtchnPort::new(1)).unwrap();
    let own = Perms::new(perms("n9")).unwrap();
    s.run(Conn::Local, Tx::NONE, |session| {
        session.mkdir("/local/domain/9")?;
        session.set_perms("/local/domain/9", own.clone())
    })
    .unwrap();
    ask(&mut s, dom(9), XS_WRITE, Tx::NONE, b"a/b/c\0x").unwrap();
    ask(&mut s, dom(9), XS_WATCH, Tx::NONE, b"a\0t\0").unwrap();
    ask(&mut s, dom(9), XS_TRANSACTION_START, Tx::NONE, b"\0").unwrap();
    one(&mut s, XS_WRITE, b"shared\0x").unwrap();
    one(&mut s, XS_SET_PERMS, b"shared\0n1\0b9\0").unwrap();
    control(&mut s, XS_SET_TARGET, b"2\x009\0").unwrap();
    assert_eq!(
        ask(&mut s, dom(2), XS_READ, Tx::NONE, b"/local/domain/9/a/b/c\0"),
        Ok(b"x".to_vec())
    );
    s.release(dom(9)).unwrap();
    assert_eq!(counts(&s), (before.0 + 1, before.1));
    assert_eq!(one(&mut s, XS_GET_PERMS, b"shared\0"), Ok(b"n1\0".to_vec()));
    assert_eq!(s.transactions(Conn::Domain(dom(9))), 0);
    assert_eq!(s.who(Conn::Domain(dom(2))).target, None);
    assert_eq!(s.tree().check(), None);
}

#[test]
fn the_control_domain_may_ask_about_the_store() {
    let mut s = fresh();
    assert_eq!(control(&mut s, XS_CONTROL, b"check\0"), ok());
    assert!(control(&mut s, XS_CONTROL, b"help\0").unwrap().starts_with(b"commands"));
    assert!(control(&mut s, XS_CONTROL, b"quota\0").unwrap().starts_with(b"nodes=1000 "));
    assert_eq!(control(&mut s, XS_CONTROL, b"what\0"), Err(Errno::EINVAL));
    assert_eq!(control(&mut s, XS_SET_TARGET, b"2\x0077\0"), Err(Errno::ENOENT));
    assert_eq!(control(&mut s, XS_RESUME, b"77\0"), Err(Errno::ENOENT));
}
