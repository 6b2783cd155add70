//! The store, misused.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use core::sync::atomic::Ordering;
use hypercall_abi::io::xs_wire::{RECONNECT, RING_SIZE};
use hypercall_abi::Errno;
use pv_ring::ByteRing;
use pv_xenbus::wire::{
    Message, XS_DIRECTORY, XS_MKDIR, XS_READ, XS_RM, XS_SET_PERMS, XS_WATCH, XS_WRITE,
};
use pv_xenbus::Tx;
use pvkernel_xen::{thread, time};

use crate::dice::Dice;
use crate::line::Line;
use crate::{Endless, Rounds};

/// What a domain may have, as Xen's daemon has it.
const MOST_WATCHES: usize = 128;
const MOST_TRANSACTIONS: usize = 10;
const MOST_NODES: usize = 1000;
const MOST_BYTES: usize = 1 << 20;
/// Nodes of a transaction whose watches are told of each.
const MANY: usize = 700;

/// Bytes without meaning; afterwards the store answers whoever starts over.
pub fn garbage(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut line = Line::open()?;
    loop {
        for _ in 0..20 {
            garble(&mut line, dice);
            thread::sleep_ns(dice.below(300_000));
        }
        line.start_over()?;
        rounds.add("");
    }
}

fn garble(line: &mut Line, dice: &mut Dice) {
    let page = line.page;
    match dice.below(7) {
        0 => {
            let mut bytes = vec![0; dice.below(RING_SIZE as u64) as usize];
            dice.fill(&mut bytes);
            line.push(&bytes);
        }
        1 => {
            // A head that promises too much, or all there may be, and nothing behind it.
            let len = dice.pick(&[4096u32, 4097, u32::MAX, 0x8000_0000, 3]);
            let words = [dice.below(30) as u32, 7, dice.next() as u32, len];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            line.push(&bytes[..1 + dice.below(16) as usize]);
        }
        2 => {
            let mut payload = vec![0; dice.below(600) as usize];
            dice.fill(&mut payload);
            line.push(&Message::new(dice.below(40) as u32, 1, Tx(0), payload).encode());
        }
        3 => page.requests().store_prod(dice.index(page.requests().load_prod())),
        4 => page.responses().store_cons(dice.index(page.responses().load_cons())),
        5 => {
            page.requests().store_cons(dice.index(0));
            page.responses().store_prod(dice.index(0));
            page.error().store(dice.next() as u32, Ordering::Relaxed);
            page.server_features().store(dice.next() as u32, Ordering::Relaxed);
        }
        _ => page.connection().store(dice.pick(&[RECONNECT, 2, u32::MAX]), Ordering::Release),
    }
    line.notify();
}

/// An error number that is right, or a failure.
fn expect(what: &str, found: Errno, right: &[Errno]) -> Result<(), String> {
    match right.contains(&found) {
        true => Ok(()),
        false => Err(format!("{what} is refused with {}", found.name())),
    }
}

fn path_and(path: &str, value: &[u8]) -> Vec<u8> {
    [path.as_bytes(), b"\0", value].concat()
}

/// As many watches as there are to be had, all told of each of many changes at once.
pub fn watches(rounds: &mut Rounds) -> Endless {
    let mut line = Line::open()?;
    loop {
        let mut had = 0;
        loop {
            // Half of them see their own nodes by a relative path, which is another name in events.
            let path = if had % 2 == 0 { "data" } else { "/" };
            let token = format!("{had:0>900}\0");
            match line.ask(XS_WATCH, Tx::NONE, &path_and(path, token.as_bytes()))? {
                Ok(_) => had += 1,
                Err(errno) => break expect("a watch", errno, &[Errno::E2BIG])?,
            }
            if had > MOST_WATCHES {
                return Err(format!("{had} watches were allowed"));
            }
        }
        let tx = line.begin()?.map_err(|errno| errno.name().to_string())?;
        for at in 0..MANY {
            let path = format!("data/w/{at}");
            line.send(XS_WRITE, tx, &path_and(&path, b"x"))?;
        }
        let start_ns = time::now_ns();
        let ended = line.end(tx, true)?;
        let took_us = (time::now_ns() - start_ns) / 1000;
        let removed = line.ask(XS_RM, Tx::NONE, b"data/w\0")?;
        rounds.add(&format!(
            "{had} watches, a commit of {MANY} nodes took {took_us} us {ended:?} {removed:?}, {} events",
            line.events
        ));
        line.start_over()?;
    }
}

/// As many transactions as there are to be had, each as large as it may be.
pub fn transactions(rounds: &mut Rounds) -> Endless {
    let mut line = Line::open()?;
    loop {
        let mut open = Vec::new();
        loop {
            match line.begin()? {
                Ok(tx) => open.push(tx),
                Err(errno) => break expect("a transaction", errno, &[Errno::ENOSPC])?,
            }
            if open.len() > MOST_TRANSACTIONS {
                return Err(format!("{} transactions were allowed", open.len()));
            }
        }
        let mut held = 0;
        for (number, tx) in open.iter().enumerate() {
            for at in 0..2000 {
                let path = format!("data/t/{number}/{at}");
                match line.ask(XS_WRITE, *tx, &path_and(&path, &[7; 2000]))? {
                    Ok(_) => held += 2000,
                    Err(errno) => {
                        expect("a write", errno, &[Errno::ENOSPC])?;
                        break;
                    }
                }
            }
        }
        if held > MOST_BYTES {
            return Err(format!("{held} bytes were held by transactions"));
        }
        for tx in &open {
            let verdict = line.end(*tx, tx.0 % 2 == 0)?;
            if let Err(errno) = verdict {
                expect("an end", errno, &[Errno::ENOSPC, Errno::EAGAIN])?;
            }
            let again = line.end(*tx, true)?;
            expect("a second end", again.err().unwrap_or(Errno::EIO), &[Errno::ENOENT])?;
        }
        for bogus in [1, u32::MAX, 4711] {
            let read = line.ask(XS_READ, Tx(bogus), b"name\0")?;
            expect("nobody's transaction", read.err().unwrap_or(Errno::EIO), &[Errno::ENOENT])?;
        }
        line.ask(XS_RM, Tx::NONE, b"data/t\0")?.ok();
        rounds.add(&format!("{} transactions, {held} bytes held", open.len()));
    }
}

/// Nodes until no more are allowed: many, large, deep.
pub fn nodes(rounds: &mut Rounds) -> Endless {
    let mut line = Line::open()?;
    line.ask(XS_MKDIR, Tx::NONE, b"data/n\0")?.ok();
    loop {
        let many = fill(&mut line, |at| format!("data/n/{at}"), &[])?;
        let large = fill(&mut line, |at| format!("data/n/{at}"), &[7; 2048])?;
        if many > MOST_NODES || large * 2048 > MOST_BYTES {
            return Err(format!("{many} nodes, {large} of 2048 bytes were allowed"));
        }
        let too_large = line.ask(XS_WRITE, Tx::NONE, &path_and("data/n/x", &[7; 2049]))?;
        expect("a value of 2049 bytes", too_large.err().unwrap_or(Errno::EIO), &[Errno::ENOSPC])?;
        let deep = deepest(&mut line)?;
        let perms = path_and("data/n", b"n0\0r1\0r2\0r3\0r4\0r5\0r6\0");
        line.ask(XS_SET_PERMS, Tx::NONE, &perms)?.ok();
        line.ask(XS_DIRECTORY, Tx::NONE, b"data/n\0")?.ok();
        let start_ns = time::now_ns();
        let removed = line.ask(XS_RM, Tx::NONE, b"data/n\0")?;
        removed.map_err(|errno| format!("what is left cannot be removed: {}", errno.name()))?;
        let took_us = (time::now_ns() - start_ns) / 1000;
        rounds.add(&format!("{many} nodes, {large} large, {deep} deep, rm took {took_us} us"));
    }
}

/// Writes nodes until one is refused; how many were not.
fn fill(line: &mut Line, name: impl Fn(usize) -> String, value: &[u8]) -> Result<usize, String> {
    for at in 0..2 * MOST_NODES {
        if let Err(errno) = line.ask(XS_WRITE, Tx::NONE, &path_and(&name(at), value))? {
            expect("a node", errno, &[Errno::ENOSPC])?;
            return Ok(at);
        }
    }
    Ok(2 * MOST_NODES)
}

/// A path that is as deep as it may be.
fn deepest(line: &mut Line) -> Result<usize, String> {
    // A tree too large for one transaction cannot be removed at once; it is made small first.
    fill(line, |at| format!("data/n/{at}"), &[])?;
    let removed = line.ask(XS_RM, Tx::NONE, b"data/n\0")?;
    removed.map_err(|errno| format!("its own nodes cannot be removed: {}", errno.name()))?;
    let mut depth = 1000;
    while depth > 1 {
        let path = format!("data/n{}", "/a".repeat(depth));
        match line.ask(XS_WRITE, Tx::NONE, &path_and(&path, b""))? {
            Ok(_) => break,
            Err(errno) => expect("a deep node", errno, &[Errno::ENOSPC, Errno::EINVAL])?,
        }
        depth = depth * 9 / 10;
    }
    // Removing takes more room than making: from the far end, part by part.
    for top in (1..=4).rev().map(|part| depth * part / 4).filter(|top| *top < depth) {
        let path = format!("data/n{}\0", "/a".repeat(top.max(1)));
        let removed = line.ask(XS_RM, Tx::NONE, path.as_bytes())?;
        removed.map_err(|errno| format!("{top} levels of {depth}: {}", errno.name()))?;
    }
    Ok(depth)
}

/// Asks without reading what is answered, until the store reads no more; then starts over.
pub fn deaf(dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let mut line = Line::open()?;
    for at in 0..100 {
        let path = format!("data/d/{}", "x".repeat(1800) + &at.to_string());
        line.ask(XS_WRITE, Tx::NONE, &path_and(&path, b""))?.ok();
    }
    loop {
        let question = Message::new(XS_DIRECTORY, 9, Tx::NONE, b"data/d\0".to_vec()).encode();
        let mut stuck = 0;
        while stuck < 20 {
            let pushed = line.push(&question);
            stuck = if pushed < question.len() { stuck + 1 } else { 0 };
            thread::sleep_ns(dice.below(200_000));
        }
        line.start_over()?;
        rounds.add("");
    }
}
