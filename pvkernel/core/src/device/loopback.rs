//! The card of a machine that talks to itself: what is sent is received.
//!
//! The system starts a stack on it for 127.0.0.1. What always holds: frames wait in a queue with a bound, so
//! that who sends without being read waits, as at any card; they stay in memory, so nobody makes or checks
//! checksums; no lock is held while somebody reads or writes a frame. The memory of a few frames is kept
//! for the next ones.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::net::{FrameMeta, Mac, NetDevice, NetInfo, ETHERNET_HEAD};
use crate::sync::Lock;

/// Of nobody else, and locally administered.
const MAC: Mac = [2, 0, 0, 0, 0, 1];
/// A whole part of a connection's window behind the heads of IP and TCP.
const MTU: usize = (16 << 10) + 40;
/// Frames that wait at most.
const FRAMES: usize = 32;

/// Frames whose memory is kept.
const SPARES: usize = 4;

/// A frame: the memory it is in, and how much of that it is.
struct Frame {
    memory: Vec<u8>,
    len: usize,
    meta: FrameMeta,
}

/// Called when there is something to receive, or room again.
type Wake = Box<dyn Fn() + Send + Sync>;

/// The card.
pub struct Loopback {
    frames: Lock<VecDeque<Frame>>,
    spares: Lock<Vec<Vec<u8>>>,
    /// Something is to be told with the next `flush`.
    has_news: AtomicBool,
    wake: spin::Once<Wake>,
}

impl Default for Loopback {
    fn default() -> Self {
        Self::new()
    }
}

impl Loopback {
    /// One with nothing on its way.
    #[must_use]
    pub fn new() -> Self {
        let frames = Lock::new(VecDeque::with_capacity(FRAMES));
        let spares = Lock::new(Vec::with_capacity(SPARES));
        Self { frames, spares, has_news: AtomicBool::new(false), wake: spin::Once::new() }
    }

    fn count(&self) -> usize {
        self.frames.lock().len()
    }

    /// Memory for a frame of `len` bytes.
    fn memory(&self, len: usize) -> Option<Vec<u8>> {
        let mut memory = self.spares.lock().pop().unwrap_or_default();
        if let Some(missing) = len.checked_sub(memory.len()) {
            memory.try_reserve_exact(missing).ok()?;
            memory.resize(len, 0);
        }
        Some(memory)
    }

    /// Keeps it for the next.
    fn keep(&self, memory: Vec<u8>) {
        let mut spares = self.spares.lock();
        if spares.len() < SPARES {
            spares.push(memory);
        }
    }
}

impl NetDevice for Loopback {
    fn info(&self) -> NetInfo {
        NetInfo { mac: MAC, mtu: MTU, sends_blank: true, is_up: true }
    }

    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool {
        let (frame, was_full) = {
            let mut frames = self.frames.lock();
            let was_full = frames.len() >= FRAMES;
            (frames.pop_front(), was_full)
        };
        let Some(Frame { memory, len, meta }) = frame else { return false };
        if was_full {
            self.has_news.store(true, Ordering::Relaxed);
        }
        consume(memory.get(..len).unwrap_or_default(), meta);
        self.keep(memory);
        true
    }

    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        if len > MTU + ETHERNET_HEAD || !self.can_transmit() {
            return false;
        }
        let Some(mut memory) = self.memory(len) else { return false };
        fill(memory.get_mut(..len).unwrap_or_default());
        self.frames.lock().push_back(Frame { memory, len, meta });
        self.has_news.store(true, Ordering::Relaxed);
        true
    }

    fn can_transmit(&self) -> bool {
        self.count() < FRAMES
    }

    fn has_received(&self) -> bool {
        self.count() > 0
    }

    fn flush(&self) {
        if self.has_news.swap(false, Ordering::Relaxed) {
            if let Some(wake) = self.wake.get() {
                wake();
            }
        }
    }

    fn set_wake(&self, wake: Wake) {
        self.wake.call_once(|| wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::Arc;

    use super::*;

    fn send(card: &Loopback, bytes: &[u8]) -> bool {
        card.transmit(bytes.len(), FrameMeta::default(), &mut |to| to.copy_from_slice(bytes))
    }

    fn receive(card: &Loopback) -> Option<Vec<u8>> {
        let mut got = None;
        let is_there = card.receive(&mut |bytes, _| got = Some(bytes.to_vec()));
        assert_eq!(is_there, got.is_some());
        got
    }

    #[test]
    fn frames_come_back_in_their_order() {
        let card = Loopback::new();
        assert!(!card.has_received() && receive(&card).is_none());
        assert!(send(&card, b"one") && send(&card, b"two"));
        assert!(card.has_received());
        assert_eq!(receive(&card).as_deref(), Some(&b"one"[..]));
        assert_eq!(receive(&card).as_deref(), Some(&b"two"[..]));
        assert!(receive(&card).is_none());
    }

    #[test]
    fn memory_that_is_used_again_shows_nothing_of_what_was_there() {
        let card = Loopback::new();
        for text in [&b"a long frame"[..], b"short", b"another long one", b"x"] {
            assert!(send(&card, text) && send(&card, text));
            assert_eq!(receive(&card).as_deref(), Some(text));
            assert_eq!(receive(&card).as_deref(), Some(text));
        }
        assert!(card.spares.lock().len() <= SPARES);
    }

    #[test]
    fn a_full_queue_and_a_frame_that_is_too_long_are_refused() {
        let card = Loopback::new();
        assert!(!send(&card, &[0; MTU + ETHERNET_HEAD + 1]));
        assert!(send(&card, &[0; MTU + ETHERNET_HEAD]));
        (1..FRAMES).for_each(|_| assert!(send(&card, b"x")));
        assert!(!card.can_transmit() && !send(&card, b"x"));
        assert!(receive(&card).is_some() && card.can_transmit());
    }

    #[test]
    fn frames_and_new_room_are_told_once_and_nothing_else_is() {
        let card = Loopback::new();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        card.set_wake(Box::new(move || _ = count.fetch_add(1, Ordering::Relaxed)));
        let after = |what: &dyn Fn()| {
            what();
            card.flush();
            card.flush();
            told.swap(0, Ordering::Relaxed)
        };
        assert_eq!(after(&|| ()), 0);
        assert_eq!(after(&|| (0..FRAMES).for_each(|_| assert!(send(&card, b"x")))), 1);
        assert_eq!(after(&|| _ = receive(&card)), 1, "there is room again");
        assert_eq!(after(&|| _ = receive(&card)), 0);
    }
}
