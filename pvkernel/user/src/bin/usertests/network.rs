//! The machine talks to itself by TCP: there is a network without a card.

use alloc::vec;
use alloc::vec::Vec;

use pvkernel_user::file::{accept, connect};
use pvkernel_user::{sys, Errno};

use crate::check::{ends_well, holds, refused, same, start, Check};

crate::cases! {
    bytes_go_round_whole,
    a_connection_that_closes_is_at_its_end,
    who_waits_is_refused_or_served,
    where_nobody_can_listen,
    a_listener_is_no_stream,
    listeners_have_a_limit,
    one_that_accepts_is_killed,
}

const HOME: u32 = 0x7f00_0001;
const PORT: u16 = 700;
const SOON_NS: u64 = 5_000_000_000;
const SHORT_NS: u64 = 2_000_000;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 11) >> 4) as u8).collect()
}

/// There and back through a process that does nothing else.
fn bytes_go_round_whole() -> Check {
    let listener = sys::listen(HOME, PORT, 1)?;
    let child = start(|| {
        let far = accept(listener, SOON_NS)?;
        let mut piece = vec![0; 5000];
        loop {
            match far.read(&mut piece)? {
                0 => return Ok(()),
                len => far.write_all(piece.get(..len).unwrap_or_default())?,
            }
        }
    })?;
    let near = connect(HOME, PORT, SOON_NS)?;
    let sent = pattern(150_000);
    let mut got = vec![0; sent.len()];
    for (piece, back) in sent.chunks(7000).zip(got.chunks_mut(7000)) {
        near.write_all(piece)?;
        same(near.read_full(back)?, piece.len())?;
    }
    drop(near);
    sys::close(listener)?;
    holds(got == sent, "what came back is what was sent")?;
    ends_well(child)
}

fn a_connection_that_closes_is_at_its_end() -> Check {
    let listener = sys::listen(HOME, PORT, 1)?;
    let near = connect(HOME, PORT, SOON_NS)?;
    let far = accept(listener, SOON_NS)?;
    near.write_all(b"last words")?;
    drop(near);
    let mut all = [0; 20];
    same(far.read_full(&mut all)?, 10)?;
    same(&all[..10], b"last words")?;
    same(far.read(&mut all)?, 0)?;
    sys::close(listener)?;
    refused(connect(HOME, PORT, SOON_NS), &[Errno::ECONNREFUSED])
}

fn who_waits_is_refused_or_served() -> Check {
    refused(connect(HOME, PORT, SOON_NS), &[Errno::ECONNREFUSED])?;
    let listener = sys::listen(HOME, PORT, 2)?;
    refused(accept(listener, SHORT_NS), &[Errno::ETIMEDOUT])?;
    let first = connect(HOME, PORT, SOON_NS)?;
    let second = connect(HOME, PORT, SOON_NS)?;
    refused(connect(HOME, PORT, SOON_NS), &[Errno::ECONNREFUSED])?;
    first.write_all(b"1")?;
    second.write_all(b"2")?;
    let (one, two) = (accept(listener, SOON_NS)?, accept(listener, SOON_NS)?);
    let mut bytes = [[0; 1], [0; 1]];
    same(one.read(&mut bytes[0])? + two.read(&mut bytes[1])?, 2)?;
    bytes.sort_unstable();
    same(bytes, [*b"1", *b"2"])?;
    sys::close(listener)?;
    Ok(())
}

fn where_nobody_can_listen() -> Check {
    refused(sys::listen(HOME, 0, 1), &[Errno::EADDRNOTAVAIL])?;
    refused(sys::listen(HOME + 1, PORT, 1), &[Errno::EADDRNOTAVAIL])?;
    refused(sys::listen(0x0808_0808, PORT, 1), &[Errno::ENETDOWN, Errno::EADDRNOTAVAIL])?;
    refused(connect(HOME, 0, SHORT_NS), &[Errno::EADDRNOTAVAIL])?;
    refused(connect(HOME + 1, PORT, SHORT_NS), &[Errno::EADDRNOTAVAIL])?;
    let listener = sys::listen(HOME, PORT, u64::MAX)?;
    refused(sys::listen(HOME, PORT, 1), &[Errno::EADDRINUSE])?;
    sys::close(listener)?;
    sys::close(sys::listen(HOME, PORT, 0)?)?;
    Ok(())
}

fn a_listener_is_no_stream() -> Check {
    let listener = sys::listen(HOME, PORT, 1)?;
    refused(sys::read(listener, &mut [0]), &[Errno::EINVAL])?;
    refused(sys::write(listener, &[0]), &[Errno::EINVAL])?;
    let near = connect(HOME, PORT, SOON_NS)?;
    refused(accept(near.fd(), SHORT_NS), &[Errno::EINVAL])?;
    refused(accept(0, SHORT_NS), &[Errno::EINVAL])?;
    refused(accept(99, SHORT_NS), &[Errno::EBADF])?;
    drop(near);
    sys::close(listener)?;
    refused(accept(listener, SHORT_NS), &[Errno::EBADF])
}

/// By the descriptors of a process, the sockets of the system or its memory.
fn listeners_have_a_limit() -> Check {
    let mut listeners = Vec::new();
    let why = loop {
        match sys::listen(HOME, PORT + listeners.len() as u16, u64::MAX) {
            Ok(fd) if listeners.len() < 1000 => listeners.push(fd),
            Ok(_) => return holds(false, "there is a limit"),
            Err(why) => break why,
        }
    };
    let limits = [Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN, Errno::ENOMEM];
    holds(limits.contains(&why), "it is told as one")?;
    listeners.into_iter().try_for_each(sys::close)?;
    sys::close(sys::listen(HOME, PORT, 1)?)?;
    Ok(())
}

fn one_that_accepts_is_killed() -> Check {
    let listener = sys::listen(HOME, PORT, 1)?;
    crate::kills::kill(|| _ = sys::accept(listener, u64::MAX))?;
    let near = connect(HOME, PORT, SOON_NS)?;
    let far = accept(listener, SOON_NS)?;
    drop(near);
    same(far.read(&mut [0])?, 0)?;
    sys::close(listener)?;
    Ok(())
}
