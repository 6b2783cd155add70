//! A cable between two fake cards, for tests: it loses, repeats and reorders frames as told.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use crate::device::net::{Checksum, FrameMeta, Mac, NetDevice, NetInfo, ETHERNET_HEAD};
use crate::sync::Lock;

/// What a cable does to frames.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Frames of a thousand that get lost.
    pub lost: u32,
    /// Frames of a thousand that come twice.
    pub doubled: u32,
    /// Frames of a thousand that are overtaken by those behind them.
    pub reordered: u32,
    /// Frames of a thousand in which a byte changes, unless the card says they are right.
    pub damaged: u32,
    /// Where the choices begin.
    pub seed: u64,
}

impl Faults {
    /// A perfect cable.
    pub const NONE: Self = Self { lost: 0, doubled: 0, reordered: 0, damaged: 0, seed: 1 };
}

type Frame = (Vec<u8>, FrameMeta);
type Wake = Box<dyn Fn() + Send + Sync>;

struct Way {
    queue: Lock<VecDeque<Frame>>,
    wake: Lock<Option<Wake>>,
}

/// One of the two cards.
pub struct End {
    info: Lock<NetInfo>,
    room: usize,
    faults: Faults,
    random: Lock<u64>,
    incoming: &'static Way,
    outgoing: &'static Way,
    /// Frames that were sent and are not published yet.
    held: Lock<VecDeque<Frame>>,
}

/// Two cards and the cable between them; `blank` lets the first send without checksums.
#[must_use]
pub fn pair(mtu: usize, blank: bool, faults: Faults) -> (&'static End, &'static End) {
    let way = || -> &'static Way {
        Box::leak(Box::new(Way { queue: Lock::new(VecDeque::new()), wake: Lock::new(None) }))
    };
    let (there, back) = (way(), way());
    let end = |last: u8, sends_blank, incoming, outgoing| -> &'static End {
        let mac: Mac = [2, 0, 0, 0, 0, last];
        let info = NetInfo { mac, mtu, sends_blank, is_up: true };
        Box::leak(Box::new(End {
            info: Lock::new(info),
            room: 64,
            faults,
            random: Lock::new(faults.seed ^ u64::from(last)),
            incoming,
            outgoing,
            held: Lock::new(VecDeque::new()),
        }))
    };
    (end(1, blank, back, there), end(2, false, there, back))
}

impl End {
    /// Changes what the card is, as a back end that was started again does.
    pub fn change(&self, change: impl FnOnce(&mut NetInfo)) {
        change(&mut self.info.lock());
        self.incoming.call();
    }

    fn chance(&self, of_thousand: u32) -> bool {
        let mut random = self.random.lock();
        *random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % 1000 < u64::from(of_thousand)
    }

    fn put_on_cable(&self, mut frame: Frame) {
        if self.chance(self.faults.lost) {
            return;
        }
        let may_damage = frame.1.checksum != Checksum::Blank;
        if may_damage && self.chance(self.faults.damaged) {
            let at = frame.0.len() / 2;
            frame.0[at] ^= 0x55;
        }
        if may_damage {
            // Whatever the sender knew, the receiver knows nothing.
            frame.1.checksum = Checksum::Unknown;
        }
        let twice = self.chance(self.faults.doubled).then(|| frame.clone());
        let overtakes = self.chance(self.faults.reordered);
        let mut queue = self.outgoing.queue.lock();
        queue.extend(twice);
        match overtakes {
            true => queue.push_front(frame),
            false => queue.push_back(frame),
        }
    }
}

impl Way {
    fn call(&self) {
        let wake = self.wake.lock();
        if let Some(wake) = wake.as_ref() {
            wake();
        }
    }
}

impl NetDevice for End {
    fn info(&self) -> NetInfo {
        *self.info.lock()
    }

    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool {
        // Held for the whole call, as a driver may do.
        let mut queue = self.incoming.queue.lock();
        let Some((bytes, meta)) = queue.pop_front() else { return false };
        consume(&bytes, meta);
        true
    }

    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let info = self.info();
        if !info.is_up || len > info.mtu + ETHERNET_HEAD || self.held.lock().len() >= self.room {
            return false;
        }
        assert!(meta.checksum != Checksum::Blank || info.sends_blank, "a checksum is missing");
        let mut bytes = vec![0; len];
        fill(&mut bytes);
        self.held.lock().push_back((bytes, meta));
        true
    }

    fn can_transmit(&self) -> bool {
        self.held.lock().len() < self.room
    }

    fn has_received(&self) -> bool {
        !self.incoming.queue.lock().is_empty()
    }

    fn flush(&self) {
        let held = core::mem::take(&mut *self.held.lock());
        if held.is_empty() {
            return;
        }
        held.into_iter().for_each(|frame| self.put_on_cable(frame));
        self.outgoing.call();
        self.incoming.call();
    }

    fn set_wake(&self, wake: Wake) {
        *self.incoming.wake.lock() = Some(wake);
    }
}
