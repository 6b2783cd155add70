//! A virtio network card.
//!
//! The device fills buffers of the receive queue and empties those of the send queue; both sets are
//! made once. Interrupts are asked for only where somebody waits: for frames, once the queue was found
//! empty; for room, once there was none. Frames are lent to the caller in place, without the lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pvkernel_core::device::block::IoBuffer;
use pvkernel_core::device::net::{Checksum, FrameMeta, Mac, NetDevice, NetInfo, ETHERNET_HEAD};
use pvkernel_core::platform::OutOfMemory;
use pvkernel_core::sync::Lock;
use virtio_drivers::transport::{InterruptStatus, Transport};

use crate::queue::{Data, Direction, Ended, Queue, Request};
use crate::setup::{begin, finish, SetupError};

/// The queue of received frames.
pub const RECEIVE: u16 = 0;
/// The queue of frames to send.
pub const TRANSMIT: u16 = 1;
/// Buffers of each queue.
pub const BUFFERS: usize = 64;
/// Bytes of a buffer: a frame and what stands before it.
pub const BUFFER: usize = 2048;

const MTU: usize = 1500;
/// Bytes before each frame, about checksums and segments; all zero here.
const HEADER: usize = 12;

const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_STATUS: u64 = 1 << 16;

/// Places in the registers of a card.
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const STATUS_UP: u16 = 1;

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The card.
pub struct VirtioNet<T, Q> {
    mac: Mac,
    inner: Lock<Inner<T, Q>>,
    wake: Lock<Option<Wake>>,
}

struct Inner<T, Q> {
    transport: T,
    receive: Q,
    transmit: Q,
    /// Buffers for sending that the device does not have.
    free: Vec<IoBuffer>,
    has_status: bool,
    is_up: bool,
    is_received: bool,
    is_sent: bool,
}

impl<T: Transport, Q: Queue> VirtioNet<T, Q> {
    /// Sets a card up. `make_queue` makes a queue of at least `BUFFERS` parts; `memory` a buffer.
    ///
    /// # Errors
    /// What is wrong with the device.
    pub fn new(
        mut transport: T,
        mut make_queue: impl FnMut(&mut T, u16) -> Result<Q, SetupError>,
        mut memory: impl FnMut() -> Result<IoBuffer, OutOfMemory>,
    ) -> Result<Self, SetupError> {
        let features = begin(&mut transport, FEATURE_MAC | FEATURE_STATUS)?;
        if features & FEATURE_MAC == 0 {
            return Err(SetupError::Registers);
        }
        let mac = transport.read_consistent(|| transport.read_config_space(CONFIG_MAC));
        let receive = make_queue(&mut transport, RECEIVE)?;
        let transmit = make_queue(&mut transport, TRANSMIT)?;
        let mut free = Vec::with_capacity(BUFFERS);
        for _ in 0..BUFFERS {
            free.push(memory().map_err(|_| SetupError::NoMemory)?);
        }
        let has_status = features & FEATURE_STATUS != 0;
        let (is_received, is_sent) = (false, false);
        let mut inner = Inner {
            transport,
            receive,
            transmit,
            free,
            has_status,
            is_up: true,
            is_received,
            is_sent,
        };
        for _ in 0..BUFFERS {
            inner.give_back(memory().map_err(|_| SetupError::NoMemory)?);
        }
        inner.transmit.set_interrupts(false);
        finish(&mut inner.transport);
        inner.look_at_link();
        inner.publish();
        let mac = mac.map_err(|_| SetupError::Registers)?;
        Ok(Self { mac, inner: Lock::new(inner), wake: Lock::new(None) })
    }

    /// The card's line fired. The line may be another device's as well; then nothing happens.
    pub fn interrupt(&self) {
        let mut inner = self.inner.lock();
        let reason = inner.transport.ack_interrupt();
        if reason.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT) {
            inner.look_at_link();
        }
        if !reason.is_empty() {
            // Until somebody finds a queue empty or full again.
            inner.receive.set_interrupts(false);
            inner.transmit.set_interrupts(false);
        }
        drop(inner);
        let wake = self.wake.lock().clone();
        if let Some(wake) = wake.filter(|_| !reason.is_empty()) {
            wake();
        }
    }
}

impl<T: Transport, Q: Queue> Inner<T, Q> {
    fn look_at_link(&mut self) {
        let status = self.transport.read_config_space::<u16>(CONFIG_STATUS);
        self.is_up = !self.has_status || status.is_ok_and(|status| status & STATUS_UP != 0);
    }

    /// Gives a buffer to the receive queue. A buffer that is refused would be missing there for ever,
    /// but none is: the queue has room for all of them, and they are of the right kind.
    fn give_back(&mut self, buffer: IoBuffer) {
        let data = Data { buffer, len: BUFFER, direction: Direction::FromDevice };
        self.is_received |= self.receive.add(Request::of_data(0, data)).is_ok();
    }

    /// Whether there is something to take; asks for an interrupt if not.
    fn has_received(&mut self) -> bool {
        if self.receive.has_ended() {
            return true;
        }
        self.receive.set_interrupts(true);
        self.receive.has_ended()
    }

    /// Whether there is a buffer to send with; asks for an interrupt if not.
    fn has_room(&mut self) -> bool {
        if self.free.is_empty() {
            self.collect_sent();
        }
        if self.free.is_empty() {
            self.transmit.set_interrupts(true);
            self.collect_sent();
        }
        !self.free.is_empty()
    }

    fn collect_sent(&mut self) {
        while let Some(Ended { buffer, .. }) = self.transmit.take() {
            self.free.extend(buffer);
        }
    }

    fn next_received(&mut self) -> Option<Ended> {
        self.has_received().then(|| self.receive.take()).flatten()
    }

    fn publish(&mut self) {
        if core::mem::take(&mut self.is_received) && self.receive.wants_notify() {
            self.transport.notify(RECEIVE);
        }
        if core::mem::take(&mut self.is_sent) && self.transmit.wants_notify() {
            self.transport.notify(TRANSMIT);
        }
    }
}

impl<T: Transport + Send, Q: Queue> NetDevice for VirtioNet<T, Q> {
    fn info(&self) -> NetInfo {
        NetInfo { mac: self.mac, mtu: MTU, sends_blank: false, is_up: self.inner.lock().is_up }
    }

    fn receive(&self, consume: &mut dyn FnMut(&[u8], FrameMeta)) -> bool {
        loop {
            let next = self.inner.lock().next_received();
            let Some(Ended { buffer: Some(buffer), written, .. }) = next else { return false };
            let frame = buffer.bytes().get(HEADER..written.min(BUFFER));
            // What is too short for an Ethernet head is no frame.
            let frame = frame.filter(|frame| frame.len() >= ETHERNET_HEAD);
            if let Some(frame) = frame {
                consume(frame, FrameMeta::default());
            }
            let was_frame = frame.is_some();
            self.inner.lock().give_back(buffer);
            if was_frame {
                return true;
            }
        }
    }

    fn transmit(&self, len: usize, meta: FrameMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let is_plain = meta.checksum != Checksum::Blank && meta.segment == 0;
        if len > ETHERNET_HEAD + MTU || !is_plain {
            return false;
        }
        let mut inner = self.inner.lock();
        let buffer = inner.has_room().then(|| inner.free.pop()).flatten();
        drop(inner);
        let Some(mut buffer) = buffer else { return false };
        let (header, rest) = buffer.bytes_mut().split_at_mut(HEADER);
        header.fill(0);
        fill(&mut rest[..len]);
        let data = Data { buffer, len: HEADER + len, direction: Direction::ToDevice };
        let mut inner = self.inner.lock();
        match inner.transmit.add(Request::of_data(0, data)) {
            Ok(()) => inner.is_sent = true,
            Err(refused) => inner.free.extend(refused.data.map(|data| data.buffer)),
        }
        true
    }

    fn can_transmit(&self) -> bool {
        self.inner.lock().has_room()
    }

    fn has_received(&self) -> bool {
        self.inner.lock().has_received()
    }

    fn flush(&self) {
        self.inner.lock().publish();
    }

    fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.wake.lock() = Some(Arc::from(wake));
    }
}

#[cfg(test)]
mod tests;
