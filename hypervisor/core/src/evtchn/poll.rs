//! Who sleeps in `SCHEDOP_poll`, and for which ports.
//!
//! The image keeps one [`Pollers`] per domain under the event lock. Order that loses no wake-up:
//! the poller registers with [`Pollers::begin`], *then* looks at the pending bits, and only then
//! blocks; whoever raises an event sets the pending bit, *then* asks [`Pollers::waiting_for`].
//! Memory is allocated for the first poll of a vCPU only.

use alloc::vec::Vec;

use hypercall_abi::{sched, Errno, EvtchnPort, VcpuId};

/// Most ports one call may name.
pub const MAX_POLL_PORTS: usize = sched::MAX_POLL_PORTS as usize;

/// Why a poll was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollError {
    /// More than [`MAX_POLL_PORTS`].
    TooManyPorts,
    /// The hypervisor is out of memory.
    NoMemory,
}

impl From<PollError> for Errno {
    fn from(error: PollError) -> Self {
        match error {
            PollError::TooManyPorts => Errno::EINVAL,
            PollError::NoMemory => Errno::ENOMEM,
        }
    }
}

/// What a vCPU waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wait {
    /// It does not poll.
    #[default]
    Nothing,
    /// One port, the common case.
    One(EvtchnPort),
    /// Several ports, or none and a timeout: woken by every event, and then it looks for itself.
    Any,
}

/// The polling vCPUs of one domain.
#[derive(Debug, Default)]
pub struct Pollers {
    waits: Vec<Wait>,
    polling: u32,
}

impl Pollers {
    /// Nobody polls.
    #[must_use]
    pub const fn new() -> Self {
        Self { waits: Vec::new(), polling: 0 }
    }

    /// Registers `vcpu` as a poller for `ports`.
    ///
    /// # Errors
    /// `TooManyPorts`, `NoMemory`.
    pub fn begin(&mut self, vcpu: VcpuId, ports: &[EvtchnPort]) -> Result<(), PollError> {
        if ports.len() > MAX_POLL_PORTS {
            return Err(PollError::TooManyPorts);
        }
        let wanted = vcpu.get() as usize + 1;
        if let Some(missing) = wanted.checked_sub(self.waits.len()) {
            self.waits.try_reserve(missing).map_err(|_| PollError::NoMemory)?;
            self.waits.resize(wanted, Wait::Nothing);
        }
        let wait = match ports {
            [port] => Wait::One(*port),
            _ => Wait::Any,
        };
        self.replace(vcpu, wait);
        Ok(())
    }

    /// Forgets `vcpu`; called whenever it wakes, for whatever reason.
    pub fn end(&mut self, vcpu: VcpuId) {
        self.replace(vcpu, Wait::Nothing);
    }

    /// Whether anybody polls: the check on the way of every event.
    #[inline]
    #[must_use]
    pub const fn any(&self) -> bool {
        self.polling != 0
    }

    /// The vCPUs to wake because `port` became pending.
    pub fn waiting_for(&self, port: EvtchnPort) -> impl Iterator<Item = VcpuId> + '_ {
        let matches = move |wait: &Wait| *wait == Wait::Any || *wait == Wait::One(port);
        let slots = if self.any() { self.waits.as_slice() } else { &[] };
        slots
            .iter()
            .enumerate()
            .filter(move |(_, wait)| matches(wait))
            .map(|(vcpu, _)| VcpuId::new(vcpu as u32))
    }

    fn replace(&mut self, vcpu: VcpuId, wait: Wait) {
        let Some(slot) = self.waits.get_mut(vcpu.get() as usize) else { return };
        self.polling -= u32::from(*slot != Wait::Nothing);
        self.polling += u32::from(wait != Wait::Nothing);
        *slot = wait;
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
        pollers.begin(VcpuId::new(3), &[EvtchnPort::new(7)]).unwrap();
        assert_eq!(woken(&pollers, 7), [3]);
        assert!(woken(&pollers, 8).is_empty());
    }

    #[test]
    fn a_poller_of_several_ports_is_woken_by_every_event_until_it_ends() {
        let mut pollers = Pollers::new();
        pollers.begin(VcpuId::new(0), &[EvtchnPort::new(1), EvtchnPort::new(2)]).unwrap();
        pollers.begin(VcpuId::new(1), &[]).unwrap();
        assert_eq!(woken(&pollers, 99), [0, 1]);
        pollers.end(VcpuId::new(0));
        pollers.end(VcpuId::new(0));
        assert_eq!(woken(&pollers, 99), [1]);
        pollers.end(VcpuId::new(1));
        assert!(!pollers.any());
    }

    #[test]
    fn too_many_ports_are_refused_and_register_nobody() {
        let mut pollers = Pollers::new();
        let ports = [EvtchnPort::new(1); MAX_POLL_PORTS + 1];
        assert_eq!(pollers.begin(VcpuId::new(0), &ports), Err(PollError::TooManyPorts));
        assert!(!pollers.any());
    }
}
