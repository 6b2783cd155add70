//! The port table of one domain: every operation that concerns only that domain.
//!
//! Called by the image under the domain's event lock. Channels to other domains are made and
//! broken in [`super::pair`]. Invariants: `virqs[vcpu][n]` names a port exactly when that port is
//! `Virq { n }` and belongs to that vCPU (vCPU 0 for global ones); the same for `pirqs`.

use alloc::vec::Vec;

use hypercall_abi::{DomId, EvtchnPort, VcpuId, Virq};

use super::channel::{Channel, Entry, PortStatus};
use super::storage::PortStore;
use super::EvtchnError;

/// Whom an event that was sent on a port reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Nobody is connected: the event is dropped and the call succeeds.
    Dropped,
    /// A port of the sending domain itself (inter-processor interrupts, loopback channels).
    Own {
        /// The port to set pending.
        port: EvtchnPort,
        /// The vCPU to notify.
        vcpu: VcpuId,
    },
    /// A port of another domain; its table names the vCPU ([`PortTable::arrival`]).
    Remote {
        /// The receiving domain.
        dom: DomId,
        /// Its port to set pending.
        port: EvtchnPort,
    },
}

/// Ports bound to the virtual interrupts of one vCPU; 0 is "none".
type VirqPorts = [u16; Virq::COUNT as usize];

/// All event channels of one domain.
#[derive(Debug)]
pub struct PortTable {
    dom: DomId,
    vcpus: u32,
    pub(super) store: PortStore,
    virqs: Vec<VirqPorts>,
    pirqs: Vec<(u32, EvtchnPort)>,
}

impl PortTable {
    /// The table of a new domain with `vcpus` vCPUs; `max_port` is the highest port it may have.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new(dom: DomId, max_port: u32, vcpus: u32) -> Result<Self, EvtchnError> {
        let store = PortStore::new(max_port)?;
        Ok(Self { dom, vcpus, store, virqs: Vec::new(), pirqs: Vec::new() })
    }

    /// The domain the table belongs to.
    #[inline]
    #[must_use]
    pub fn dom(&self) -> DomId {
        self.dom
    }

    /// The highest port the domain may have.
    #[must_use]
    pub fn max_port(&self) -> u32 {
        self.store.max_port()
    }

    /// Number of ports in use; zero after everything was closed.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.store.live()
    }

    /// Where an event sent on `port` goes. This is the hot path of `EVTCHNOP_send`.
    ///
    /// # Errors
    /// `BadPort`, or `WrongState` for ports that only the hypervisor raises.
    #[inline]
    pub fn send(&self, port: EvtchnPort) -> Result<Send, EvtchnError> {
        let entry = self.store.get(port).ok_or(EvtchnError::BadPort)?;
        match entry.channel {
            Channel::Interdomain { remote, remote_port } if remote == self.dom => {
                let vcpu = self.arrival(remote_port).ok_or(EvtchnError::WrongState)?;
                Ok(Send::Own { port: remote_port, vcpu })
            }
            Channel::Interdomain { remote, remote_port } => {
                Ok(Send::Remote { dom: remote, port: remote_port })
            }
            Channel::Ipi => Ok(Send::Own { port, vcpu: entry.notify }),
            Channel::Unbound { .. } => Ok(Send::Dropped),
            _ => Err(EvtchnError::WrongState),
        }
    }

    /// The vCPU to notify when an event arrives at `port`; `None` when the port was closed since
    /// the sender looked, in which case the event is dropped.
    #[inline]
    #[must_use]
    pub fn arrival(&self, port: EvtchnPort) -> Option<VcpuId> {
        self.store.get(port).filter(|entry| entry.channel.is_usable()).map(|entry| entry.notify)
    }

    /// `EVTCHNOP_alloc_unbound`: a port that `remote` may bind to.
    ///
    /// # Errors
    /// `NoPorts`, `NoMemory`.
    pub fn alloc_unbound(&mut self, remote: DomId) -> Result<EvtchnPort, EvtchnError> {
        self.open(Channel::Unbound { remote }, VcpuId::new(0))
    }

    /// `EVTCHNOP_bind_virq`.
    ///
    /// # Errors
    /// `BadVirq`, `GlobalVirqNeedsVcpu0`, `NoVcpu`, `AlreadyBound`, `NoPorts`, `NoMemory`.
    pub fn bind_virq(&mut self, virq: Virq, vcpu: VcpuId) -> Result<EvtchnPort, EvtchnError> {
        if virq.get() >= Virq::COUNT {
            return Err(EvtchnError::BadVirq);
        }
        if !virq.is_per_vcpu() && vcpu.get() != 0 {
            return Err(EvtchnError::GlobalVirqNeedsVcpu0);
        }
        self.check_vcpu(vcpu)?;
        if self.virq_port(vcpu, virq).is_some() {
            return Err(EvtchnError::AlreadyBound);
        }
        self.reserve_virqs(vcpu)?;
        let port = self.open(Channel::Virq { virq }, vcpu)?;
        self.set_virq_port(vcpu, virq, port);
        Ok(port)
    }

    /// `EVTCHNOP_bind_ipi`.
    ///
    /// # Errors
    /// `NoVcpu`, `NoPorts`, `NoMemory`.
    pub fn bind_ipi(&mut self, vcpu: VcpuId) -> Result<EvtchnPort, EvtchnError> {
        self.check_vcpu(vcpu)?;
        self.open(Channel::Ipi, vcpu)
    }

    /// `EVTCHNOP_bind_pirq`; whether the domain may have the interrupt was checked by the caller.
    ///
    /// # Errors
    /// `AlreadyBound`, `NoPorts`, `NoMemory`.
    pub fn bind_pirq(&mut self, pirq: u32) -> Result<EvtchnPort, EvtchnError> {
        let Err(at) = self.find_pirq(pirq) else { return Err(EvtchnError::AlreadyBound) };
        self.pirqs.try_reserve(1).map_err(|_| EvtchnError::NoMemory)?;
        let port = self.open(Channel::Pirq { pirq }, VcpuId::new(0))?;
        self.pirqs.insert(at, (pirq, port));
        Ok(port)
    }

    /// `EVTCHNOP_status`.
    ///
    /// # Errors
    /// `BadPort`.
    pub fn status(&self, port: EvtchnPort) -> Result<PortStatus, EvtchnError> {
        let entry = self.store.get(port).ok_or(EvtchnError::BadPort)?;
        let channel = match entry.channel {
            Channel::Reserved => Channel::Free,
            other => other,
        };
        Ok(PortStatus { channel, vcpu: entry.notify })
    }

    /// `EVTCHNOP_bind_vcpu`.
    ///
    /// # Errors
    /// `NoVcpu`, `BadPort`, or `WrongState` for ports whose vCPU is fixed.
    pub fn bind_vcpu(&mut self, port: EvtchnPort, vcpu: VcpuId) -> Result<(), EvtchnError> {
        self.check_vcpu(vcpu)?;
        let entry = self.store.get_mut(port).ok_or(EvtchnError::BadPort)?;
        if !entry.channel.can_change_vcpu() {
            return Err(EvtchnError::WrongState);
        }
        entry.notify = vcpu;
        Ok(())
    }

    /// The vCPU for which `EVTCHNOP_unmask` must be carried out with [`super::unmask`]; `None`
    /// for a port that nobody owns, for which the call succeeds and does nothing.
    ///
    /// # Errors
    /// `BadPort`.
    pub fn unmask_vcpu(&self, port: EvtchnPort) -> Result<Option<VcpuId>, EvtchnError> {
        self.store.get(port).ok_or(EvtchnError::BadPort)?;
        Ok(self.arrival(port))
    }

    /// The first port in use at or after `from`: the step of `EVTCHNOP_reset` and of teardown,
    /// which close one port at a time so that the caller can stop in between.
    #[must_use]
    pub fn next_open(&self, from: EvtchnPort) -> Option<EvtchnPort> {
        (from.get()..self.store.len())
            .map(EvtchnPort::new)
            .find(|port| self.arrival(*port).is_some())
    }

    /// The port bound to a virtual interrupt of a vCPU; global ones have the same port for all.
    #[inline]
    #[must_use]
    pub fn virq_port(&self, vcpu: VcpuId, virq: Virq) -> Option<EvtchnPort> {
        let owner = if virq.is_per_vcpu() { vcpu.get() as usize } else { 0 };
        let port = *self.virqs.get(owner)?.get(virq.get() as usize)?;
        (port != 0).then(|| EvtchnPort::new(u32::from(port)))
    }

    /// The port and the vCPU to notify for a virtual interrupt; `None` drops the interrupt.
    #[inline]
    #[must_use]
    pub fn virq_target(&self, vcpu: VcpuId, virq: Virq) -> Option<(EvtchnPort, VcpuId)> {
        let port = self.virq_port(vcpu, virq)?;
        Some((port, self.arrival(port)?))
    }

    /// The port bound to a physical interrupt.
    #[must_use]
    pub fn pirq_port(&self, pirq: u32) -> Option<EvtchnPort> {
        let at = self.find_pirq(pirq).ok()?;
        self.pirqs.get(at).map(|(_, port)| *port)
    }

    /// The port and the vCPU to notify for a physical interrupt.
    #[must_use]
    pub fn pirq_target(&self, pirq: u32) -> Option<(EvtchnPort, VcpuId)> {
        let port = self.pirq_port(pirq)?;
        Some((port, self.arrival(port)?))
    }

    pub(super) fn open(
        &mut self,
        channel: Channel,
        notify: VcpuId,
    ) -> Result<EvtchnPort, EvtchnError> {
        let port = self.store.lowest_free()?;
        self.store.put(port, Entry { channel, notify });
        Ok(port)
    }

    /// Changes what a port is connected to and leaves its vCPU alone.
    pub(super) fn reconnect(&mut self, port: EvtchnPort, channel: Channel) {
        let Some(entry) = self.store.get(port).copied() else { return };
        self.store.put(port, Entry { channel, ..entry });
    }

    /// Frees a port and forgets its interrupt binding.
    pub(super) fn free(&mut self, port: EvtchnPort) {
        let Some(entry) = self.store.get(port).copied() else { return };
        match entry.channel {
            Channel::Virq { virq } => self.clear_virq(virq, port),
            Channel::Pirq { pirq } => {
                if let Ok(at) = self.find_pirq(pirq) {
                    self.pirqs.remove(at);
                }
            }
            _ => {}
        }
        self.store.put(port, Entry::FREE);
    }

    fn check_vcpu(&self, vcpu: VcpuId) -> Result<(), EvtchnError> {
        if vcpu.get() < self.vcpus {
            Ok(())
        } else {
            Err(EvtchnError::NoVcpu)
        }
    }

    fn find_pirq(&self, pirq: u32) -> Result<usize, usize> {
        self.pirqs.binary_search_by_key(&pirq, |(bound, _)| *bound)
    }

    fn reserve_virqs(&mut self, vcpu: VcpuId) -> Result<(), EvtchnError> {
        let wanted = vcpu.get() as usize + 1;
        if let Some(missing) = wanted.checked_sub(self.virqs.len()) {
            self.virqs.try_reserve(missing).map_err(|_| EvtchnError::NoMemory)?;
            self.virqs.resize(wanted, [0; Virq::COUNT as usize]);
        }
        Ok(())
    }

    fn set_virq_port(&mut self, vcpu: VcpuId, virq: Virq, port: EvtchnPort) {
        let owner = self.virqs.get_mut(vcpu.get() as usize);
        if let Some(slot) = owner.and_then(|ports| ports.get_mut(virq.get() as usize)) {
            *slot = port.get() as u16;
        }
    }

    fn clear_virq(&mut self, virq: Virq, port: EvtchnPort) {
        // The notified vCPU of a global interrupt may have moved away from its slot's owner, so the
        // slot is found by its content.
        for ports in &mut self.virqs {
            if let Some(slot) = ports.get_mut(virq.get() as usize) {
                if u32::from(*slot) == port.get() {
                    *slot = 0;
                }
            }
        }
    }
}
