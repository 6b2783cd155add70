//! Who sleeps in `SCHEDOP_poll`, and for which ports.
//!
//! The image keeps one [`Pollers`] per domain under the event lock. Order that loses no wake-up:
//! the poller registers with [`Pollers::begin`], *then* looks at the pending bits, and only then
//! blocks; whoever raises an event sets the pending bit, *then* asks [`Pollers::waiting_for`].
//! Memory is allocated for as many vCPUs as ever polled at the same time.

use alloc::vec::Vec;

use hypercall_abi::{EvtchnPort, VcpuId};

use super::EvtchnError;

/// The polling vCPUs of one domain.
#[derive(Debug, Default)]
pub struct Pollers {
    /// Each at most once, with the port it waits for. Those with several ports, or with none and a
    /// timeout, have no port here: every event wakes them, and then they look for themselves.
    waits: Vec<(VcpuId, Option<EvtchnPort>)>,
}

impl Pollers {
    /// Nobody polls.
    pub const fn new() -> Self {
        Self { waits: Vec::new() }
    }

    /// Registers `vcpu` as a poller, for `only` one port or for any event.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn begin(&mut self, vcpu: VcpuId, only: Option<EvtchnPort>) -> Result<(), EvtchnError> {
        self.end(vcpu);
        self.waits.try_reserve(1).map_err(|_| EvtchnError::NoMemory)?;
        self.waits.push((vcpu, only));
        Ok(())
    }

    /// Forgets `vcpu`; called whenever it wakes, for whatever reason.
    pub fn end(&mut self, vcpu: VcpuId) {
        self.waits.retain(|(poller, _)| *poller != vcpu);
    }

    /// Whether nobody polls.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// The vCPUs to wake because `port` became pending.
    #[inline]
    pub fn waiting_for(&self, port: EvtchnPort) -> impl Iterator<Item = VcpuId> + '_ {
        let matching = self.waits.iter().filter(move |(_, only)| only.is_none_or(|p| p == port));
        matching.map(|(vcpu, _)| *vcpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn woken(pollers: &Pollers, port: u32) -> Vec<u32> {
        pollers.waiting_for(EvtchnPort::new(port)).map(VcpuId::get).collect()
    }

    #[test]
    fn a_poller_of_one_port_is_woken_by_that_port_only() {
        let mut pollers = Pollers::new();
        pollers.begin(VcpuId::new(3), Some(EvtchnPort::new(7))).unwrap();
        assert_eq!(woken(&pollers, 7), [3]);
        assert!(woken(&pollers, 8).is_empty());
    }

    #[test]
    fn a_poller_of_several_ports_is_woken_by_every_event_until_it_ends() {
        let mut pollers = Pollers::new();
        pollers.begin(VcpuId::new(0), None).unwrap();
        pollers.begin(VcpuId::new(1), None).unwrap();
        assert_eq!(woken(&pollers, 99), [0, 1]);
        pollers.end(VcpuId::new(0));
        pollers.end(VcpuId::new(0));
        assert_eq!(woken(&pollers, 99), [1]);
        pollers.end(VcpuId::new(1));
        assert!(woken(&pollers, 99).is_empty());
    }
}
