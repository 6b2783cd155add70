//! The store against a slow model, message by message, and under abuse.

mod abuse;
mod history;
mod messages;
mod model;
mod ring;
mod sharing;

use crate::server::{Conn, Server};
use crate::Quota;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn};
use pv_xenbus::wire::{perms_of, Decoder, Message};
use pv_xenbus::{Perm, Tx};

pub fn dom(number: u16) -> DomId {
    DomId::new(number)
}

pub fn perms(text: &str) -> Vec<Perm> {
    let payload: String = text.split(' ').map(|perm| format!("{perm}\0")).collect();
    perms_of(payload.as_bytes()).unwrap()
}

/// A store with domains 1 to 3, each with a home that only it may use.
pub fn server(quota: Quota) -> Server {
    let mut server = Server::new(quota);
    for number in 1..4 {
        server.introduce(dom(number), Mfn::new(u64::from(number)), EvtchnPort::new(1)).unwrap();
        let home = format!("/local/domain/{number}");
        let own = crate::Perms::new(perms(&format!("n{number}"))).unwrap();
        server
            .run(Conn::Local, Tx::NONE, |session| {
                session.mkdir(&home)?;
                session.set_perms(&home, own)
            })
            .unwrap();
    }
    let _ = (server.take_effects(), server.take_news());
    server
}

/// All that waits for a domain, read in pieces of `piece` bytes.
pub fn drain(server: &mut Server, domain: DomId, piece: usize) -> Vec<Message> {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    loop {
        let bytes = server.pending(domain);
        let bytes = bytes[..bytes.len().min(piece)].to_vec();
        if bytes.is_empty() {
            return messages;
        }
        server.sent(domain, bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (taken, message) = decoder.feed(rest).unwrap();
            rest = &rest[taken..];
            messages.extend(message);
        }
    }
}

/// Sends a request and executes it; the answer stays in the outbox.
pub fn send(server: &mut Server, domain: DomId, request: &Message) {
    let bytes = request.encode();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let room = server.wanted(domain).min(rest.len());
        assert!(room > 0, "a request waits already");
        let taken = server.receive(domain, &rest[..room]).unwrap();
        rest = &rest[taken..];
    }
}

/// Sends a request, executes it, and takes its answer; events stay out of it.
pub fn ask(
    server: &mut Server,
    domain: DomId,
    kind: u32,
    tx: Tx,
    payload: &[u8],
) -> Result<Vec<u8>, Errno> {
    send(server, domain, &Message::new(kind, 77, tx, payload.to_vec()));
    assert!(server.step(domain));
    let mut messages = drain(server, domain, 1000).into_iter();
    let answer = messages.find(|message| message.req_id == 77).expect("an answer");
    assert_eq!(answer.tx, tx);
    answer.into_result()
}
