//! A device on paper: registers in an array, and a queue whose requests a test serves by hand.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pvkernel_core::sync::Lock;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::queue::{Data, Direction, Ended, Queue, Request, TAIL};

/// What is known about the device from outside.
#[derive(Default)]
pub struct State {
    pub offered: u64,
    pub accepted: u64,
    pub refuses_features: bool,
    pub config: Vec<u8>,
    pub status: u32,
    pub isr: u32,
    pub notified: Vec<u16>,
}

#[derive(Clone)]
pub struct Device(pub Arc<Lock<State>>);

impl Device {
    pub fn new(offered: u64, config: &[u8]) -> Self {
        Self(Arc::new(Lock::new(State { offered, config: config.to_vec(), ..State::default() })))
    }
}

impl Transport for Device {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        self.0.lock().offered
    }

    fn write_driver_features(&mut self, features: u64) {
        self.0.lock().accepted = features;
    }

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        256
    }

    fn notify(&mut self, queue: u16) {
        self.0.lock().notified.push(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        let state = self.0.lock();
        let status = DeviceStatus::from_bits_retain(state.status);
        match state.refuses_features {
            true => status.difference(DeviceStatus::FEATURES_OK),
            false => status,
        }
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.0.lock().status = status.bits();
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, _: u16, _: u32, _: PhysAddr, _: PhysAddr, _: PhysAddr) {}

    fn queue_unset(&mut self, _queue: u16) {}

    fn queue_used(&mut self, _queue: u16) -> bool {
        false
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_retain(core::mem::take(&mut self.0.lock().isr))
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let state = self.0.lock();
        let bytes = state.config.get(offset..).ok_or(Error::ConfigSpaceTooSmall)?;
        T::read_from_prefix(bytes).map(|(value, _)| value).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _: usize,
        _: T,
    ) -> Result<(), Error> {
        Err(Error::Unsupported)
    }
}

/// What is in a queue.
#[derive(Default)]
pub struct Chains {
    pub room: usize,
    pub added: VecDeque<Request>,
    ended: VecDeque<(usize, Ended)>,
    pub interrupts: bool,
    pub is_deaf: bool,
}

#[derive(Clone)]
pub struct Paper(pub Arc<Lock<Chains>>);

impl Paper {
    pub fn new(room: usize) -> Self {
        Self(Arc::new(Lock::new(Chains { room, interrupts: true, ..Chains::default() })))
    }

    /// Serves the request at a place in the queue: the closure fills or looks at the memory, and says
    /// what the tail begins with and how much of the memory was written.
    pub fn serve(&self, at: usize, serve: impl FnOnce(&[u8], &mut [u8]) -> (u8, usize)) -> bool {
        let Some(request) = self.0.lock().added.remove(at) else { return false };
        let parts = request.parts();
        let Request { tag, head, head_len, data, tail_len } = request;
        let (mut buffer, len) = match data {
            Some(Data { buffer, len, .. }) => (Some(buffer), len),
            None => (None, 0),
        };
        let bytes =
            buffer.as_mut().map(|buffer| &mut buffer.bytes_mut()[..len]).unwrap_or_default();
        let (first, written) = serve(&head[..head_len], bytes);
        let mut tail = [0; TAIL];
        tail[0] = first;
        let ended = Ended { tag, buffer, tail, written: written + tail_len };
        self.0.lock().ended.push_back((parts, ended));
        true
    }
}

impl Queue for Paper {
    fn room(&self) -> usize {
        self.0.lock().room
    }

    fn add(&mut self, request: Request) -> Result<(), Request> {
        let mut chains = self.0.lock();
        let is_reading = |data: &Data| data.direction == Direction::ToDevice;
        assert!(request.parts() > 0, "an empty chain");
        assert!(request.data.as_ref().is_none_or(|data| data.len > 0 || is_reading(data)));
        if chains.is_deaf || request.parts() > chains.room {
            return Err(request);
        }
        chains.room -= request.parts();
        chains.added.push_back(request);
        Ok(())
    }

    fn take(&mut self) -> Option<Ended> {
        let mut chains = self.0.lock();
        let (parts, ended) = chains.ended.pop_front()?;
        chains.room += parts;
        Some(ended)
    }

    fn has_ended(&self) -> bool {
        !self.0.lock().ended.is_empty()
    }

    fn wants_notify(&self) -> bool {
        true
    }

    fn set_interrupts(&mut self, wanted: bool) {
        self.0.lock().interrupts = wanted;
    }
}
