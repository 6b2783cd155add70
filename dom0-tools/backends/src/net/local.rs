//! dom0's own port of the switch, as a network card.
//!
//! Frames are handed over, not copied: what the stack writes is the frame the switch passes on, and
//! what it reads is the frame that came in. Both directions are queues of bounded length. Nothing here
//! waits; each side tells the other that there is something to do.

use crate::frame::FrameRef;
use crate::frame::{Pool, LARGE};
use crate::net::outbox::Outbox;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use pvkernel_core::device::net::{FrameMeta, Mac, NetDevice, NetInfo, ETHERNET_HEAD};
use pvkernel_core::sync::Lock;

/// Most frames on their way to the switch.
const MAX_OUTGOING: usize = 64;
/// Large frames that dom0's stack leaves to the guests.
const LEFT_FOR_GUESTS: usize = 4;

/// Called without arguments when there is something to do.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The port.
pub struct LocalPort {
    mac: Mac,
    mtu: usize,
    pool: Arc<Pool>,
    to_switch: Lock<VecDeque<FrameRef>>,
    to_stack: Lock<Outbox>,
    /// The stack found no room and waits for it.
    wants_room: AtomicBool,
    wake_stack: Lock<Option<Arc<Wake>>>,
    wake_switch: Wake,
}

impl LocalPort {
    /// A port with an address; `wake_switch` is called after frames were sent.
    #[must_use]
    pub fn new(mac: Mac, mtu: usize, pool: Arc<Pool>, wake_switch: Wake) -> Self {
        Self {
            mac,
            mtu: mtu.min(LARGE - ETHERNET_HEAD),
            pool,
            to_switch: Lock::new(VecDeque::with_capacity(MAX_OUTGOING)),
            to_stack: Lock::new(Outbox::new()),
            wants_room: AtomicBool::new(false),
            wake_stack: Lock::new(None),
            wake_switch,
        }
    }

    /// Whether the stack has sent something.
    #[must_use]
    pub fn has_sent(&self) -> bool {
        !self.to_switch.lock().is_empty()
    }

    /// The next frame the stack sent.
    pub fn take_sent(&self) -> Option<FrameRef> {
        self.to_switch.lock().pop_front()
    }

    /// Hands a frame to the stack; false when it has too many already.
    pub fn deliver(&self, frame: FrameRef) -> bool {
        let (_, all) = self.pool.room(frame.len());
        let mut to_stack = self.to_stack.lock();
        if 2 * to_stack.held(frame.len()) > all {
            self.pool.give(frame);
            return false;
        }
        to_stack.push(frame, false, &self.pool)
    }

    /// Wakes the stack after frames were delivered, or because there is room again.
    pub fn tell_stack(&self, has_delivered: bool) {
        let has_room = self.wants_room.load(Ordering::Relaxed) && self.has_room(LARGE);
        if !has_delivered && !has_room {
            return;
        }
        self.wants_room.store(false, Ordering::Relaxed);
        let wake = self.wake_stack.lock().clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    fn has_room(&self, len: usize) -> bool {
        let (free, _) = self.pool.room(len);
        free > LEFT_FOR_GUESTS && self.to_switch.lock().len() < MAX_OUTGOING
    }
}

impl NetDevice for LocalPort {
    fn info(&self) -> NetInfo {
        NetInfo { mac: self.mac, mtu: self.mtu, sends_blank: true, is_up: true }
    }

    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool {
        let Some(frame) = self.to_stack.lock().pop() else { return false };
        consume(frame.bytes(), frame.meta());
        self.pool.give(frame);
        true
    }

    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let is_possible = (ETHERNET_HEAD..=self.mtu + ETHERNET_HEAD).contains(&len);
        if !is_possible || !self.has_room(len) {
            self.wants_room.store(is_possible, Ordering::Relaxed);
            return false;
        }
        let Some(mut frame) = self.pool.take(len) else { return false };
        if let Some(mine) = Arc::get_mut(&mut frame) {
            mine.set_meta(meta);
            fill(mine.bytes_mut());
        }
        self.to_switch.lock().push_back(frame);
        true
    }

    fn can_transmit(&self) -> bool {
        let can = self.has_room(LARGE);
        if !can {
            self.wants_room.store(true, Ordering::Relaxed);
        }
        can
    }

    fn has_received(&self) -> bool {
        !self.to_stack.lock().is_empty()
    }

    fn flush(&self) {
        if self.has_sent() {
            (self.wake_switch)();
        }
    }

    fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.wake_stack.lock() = Some(Arc::new(wake));
    }
}
