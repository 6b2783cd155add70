//! Storage of ports: an array that grows when needed, and a bitmap of free ports.
//!
//! Used only by [`super::PortTable`]. The array is one piece, because every event looks ports up; it
//! doubles its room, so even the largest, of 48 KiB, has moved six times only. Invariant: a bit of `free` is set exactly when the port is
//! `Free` and may be given out, that is from 1 up to the limit. Port 0 stays `Free` for ever.

use alloc::vec::Vec;

use hypercall_abi::{EvtchnPort, VcpuId};

use super::channel::{Channel, Port};
use super::{EvtchnError, PORTS_2L};

/// Ports become valid in groups of so many, as in Xen, which a guest can observe.
const GROUP: usize = 64;

#[derive(Debug)]
pub(super) struct PortStore {
    ports: Vec<Port>,
    free: [u64; (PORTS_2L / u64::BITS) as usize],
    pub(super) max_port: u32,
}

impl PortStore {
    /// A table with its first group. `max_port` is inclusive and cut to what the ABI can express.
    pub(super) fn new(max_port: u32) -> Result<Self, EvtchnError> {
        let max_port = max_port.min(PORTS_2L - 1);
        let mut store = Self { ports: Vec::new(), free: [0; 64], max_port };
        (1..=max_port).for_each(|port| store.flip_free(port));
        store.grow()?;
        Ok(store)
    }

    #[inline]
    pub(super) fn get(&self, port: EvtchnPort) -> Result<Port, EvtchnError> {
        self.ports.get(port.get() as usize).copied().ok_or(EvtchnError::BadPort)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, port: EvtchnPort) -> Result<&mut Port, EvtchnError> {
        self.ports.get_mut(port.get() as usize).ok_or(EvtchnError::BadPort)
    }

    /// Ports that are valid numbers at present.
    pub(super) fn len(&self) -> u32 {
        self.ports.len() as u32
    }

    /// Number of ports in use.
    pub(super) fn live(&self) -> usize {
        self.ports.iter().filter(|port| port.channel.is_open()).count()
    }

    /// The lowest free port, without taking it; may make a group valid.
    pub(super) fn lowest_free(&mut self) -> Result<EvtchnPort, EvtchnError> {
        let mut words = (0..).zip(&self.free);
        let (index, word) = words.find(|(_, word)| **word != 0).ok_or(EvtchnError::NoPorts)?;
        let port = index * u64::BITS + word.trailing_zeros();
        // All lower ones are in use and thus exist, so one group is enough.
        if port >= self.len() {
            self.grow()?;
        }
        Ok(EvtchnPort::new(port))
    }

    /// Takes the lowest free port into use.
    pub(super) fn open(
        &mut self,
        channel: Channel,
        vcpu: VcpuId,
    ) -> Result<EvtchnPort, EvtchnError> {
        let port = self.lowest_free()?;
        self.take(port, Port { channel, vcpu })
    }

    /// Takes a free port into use.
    #[inline]
    pub(super) fn take(
        &mut self,
        port: EvtchnPort,
        to_be: Port,
    ) -> Result<EvtchnPort, EvtchnError> {
        *self.get_mut(port)? = to_be;
        self.flip_free(port.get());
        Ok(port)
    }

    /// Frees a port that was opened.
    #[inline]
    pub(super) fn close(&mut self, port: EvtchnPort) -> Result<(), EvtchnError> {
        *self.get_mut(port)? = Port::FREE;
        self.flip_free(port.get());
        Ok(())
    }

    #[inline]
    fn flip_free(&mut self, port: u32) {
        self.free[(port % PORTS_2L / u64::BITS) as usize] ^= 1 << (port % u64::BITS);
    }

    #[cold]
    fn grow(&mut self) -> Result<(), EvtchnError> {
        self.ports.try_reserve(GROUP).map_err(|_| EvtchnError::NoMemory)?;
        self.ports.resize(self.ports.len() + GROUP, Port::FREE);
        Ok(())
    }
}
