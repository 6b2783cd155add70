//! The port table of one domain: every operation that concerns only that domain.
//!
//! Called by the image under the domain's event lock. Channels to other domains are made and
//! broken in [`super::pair`]. Invariants: a slot of `virqs` names a port exactly when that port is
//! `Virq` for the slot's interrupt, bound for the slot's vCPU (vCPU 0 for global ones); the same for
//! `pirqs`.

use crate::ensure;
use alloc::vec::Vec;

use hypercall_abi::{DomId, EvtchnPort, VcpuId, Virq};

use super::channel::{Channel, Port};
use super::storage::PortStore;
use super::EvtchnError;

/// Where an event that a domain sends goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere: nobody is connected, the event is dropped and the call succeeds.
    Nowhere,
    /// To a port of the sender itself, and the vCPU to notify.
    Own(EvtchnPort, VcpuId),
    /// To a port of another domain, whose table names the vCPU ([`PortTable::arrival`]).
    Other(DomId, EvtchnPort),
}

/// All event channels of one domain.
#[derive(Debug)]
pub struct PortTable {
    pub(super) dom: DomId,
    vcpus: u32,
    pub(super) store: PortStore,
    /// Ports bound to virtual interrupts: [`Virq::COUNT`] slots per vCPU.
    virqs: Vec<Option<EvtchnPort>>,
    pirqs: Vec<(u32, EvtchnPort)>,
}

impl PortTable {
    /// The table of a new domain with `vcpus` vCPUs; `max_port` is the highest port it may have.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new(dom: DomId, max_port: u32, vcpus: u32) -> Result<Self, EvtchnError> {
        let slots = vcpus as usize * Virq::COUNT as usize;
        let mut virqs = Vec::new();
        virqs.try_reserve_exact(slots).map_err(|_| EvtchnError::NoMemory)?;
        virqs.resize(slots, None);
        Ok(Self { dom, vcpus, store: PortStore::new(max_port)?, virqs, pirqs: Vec::new() })
    }

    /// The highest port the domain may have.
    pub fn max_port(&self) -> u32 {
        self.store.max_port
    }

    /// Number of ports in use; zero after everything was closed. It counts them.
    pub fn live(&self) -> usize {
        self.store.live()
    }

    /// Where an event sent on `port` goes. This is the hot path of `EVTCHNOP_send`.
    ///
    /// # Errors
    /// `BadPort`, or `WrongState` for ports that only the hypervisor raises.
    #[inline]
    pub fn send(&self, port: EvtchnPort) -> Result<Destination, EvtchnError> {
        let found = self.store.get(port)?;
        if let Channel::Interdomain { remote, remote_port } = found.channel {
            if remote != self.dom {
                return Ok(Destination::Other(remote, remote_port));
            }
            return Ok(Destination::Own(remote_port, self.store.get(remote_port)?.vcpu));
        }
        self.send_alone(port, found)
    }

    /// The same on a port that has no other end.
    #[cold]
    fn send_alone(&self, port: EvtchnPort, found: Port) -> Result<Destination, EvtchnError> {
        match found.channel {
            Channel::Ipi => Ok(Destination::Own(port, found.vcpu)),
            Channel::Unbound { .. } => Ok(Destination::Nowhere),
            _ => Err(EvtchnError::WrongState),
        }
    }

    /// The vCPU to notify when an event arrives at `port`; `None` when the port was closed since
    /// the sender looked, in which case the event is dropped.
    #[inline]
    #[must_use]
    pub fn arrival(&self, port: EvtchnPort) -> Option<VcpuId> {
        let found = self.store.get(port).ok()?;
        found.channel.is_open().then_some(found.vcpu)
    }

    /// `EVTCHNOP_alloc_unbound`: a port that `remote` may bind to.
    ///
    /// # Errors
    /// `NoPorts`, `NoMemory`.
    pub fn alloc_unbound(&mut self, remote: DomId) -> Result<EvtchnPort, EvtchnError> {
        self.store.open(Channel::Unbound { remote }, VcpuId::new(0))
    }

    /// `EVTCHNOP_bind_virq`.
    ///
    /// # Errors
    /// `BadVirq`, `GlobalVirqNeedsVcpu0`, `NoVcpu`, `AlreadyBound`, `NoPorts`, `NoMemory`.
    pub fn bind_virq(&mut self, virq: Virq, vcpu: VcpuId) -> Result<EvtchnPort, EvtchnError> {
        ensure(virq.get() < Virq::COUNT, EvtchnError::BadVirq)?;
        ensure(virq.is_per_vcpu() || vcpu.get() == 0, EvtchnError::GlobalVirqNeedsVcpu0)?;
        let slot = self.virqs.get_mut(virq_slot(vcpu, virq)).ok_or(EvtchnError::NoVcpu)?;
        ensure(slot.is_none(), EvtchnError::AlreadyBound)?;
        let port = self.store.open(Channel::Virq { virq }, vcpu)?;
        *slot = Some(port);
        Ok(port)
    }

    /// `EVTCHNOP_bind_ipi`.
    ///
    /// # Errors
    /// `NoVcpu`, `NoPorts`, `NoMemory`.
    pub fn bind_ipi(&mut self, vcpu: VcpuId) -> Result<EvtchnPort, EvtchnError> {
        self.check_vcpu(vcpu)?;
        self.store.open(Channel::Ipi, vcpu)
    }

    /// `EVTCHNOP_bind_pirq`; whether the domain may have the interrupt was checked by the caller.
    ///
    /// # Errors
    /// `AlreadyBound`, `NoPorts`, `NoMemory`.
    pub fn bind_pirq(&mut self, pirq: u32) -> Result<EvtchnPort, EvtchnError> {
        ensure(self.pirq_target(pirq).is_none(), EvtchnError::AlreadyBound)?;
        self.pirqs.try_reserve(1).map_err(|_| EvtchnError::NoMemory)?;
        let port = self.store.open(Channel::Pirq { pirq }, VcpuId::new(0))?;
        self.pirqs.push((pirq, port));
        Ok(port)
    }

    /// `EVTCHNOP_status`.
    ///
    /// # Errors
    /// `BadPort`.
    pub fn status(&self, port: EvtchnPort) -> Result<Port, EvtchnError> {
        self.store.get(port)
    }

    /// `EVTCHNOP_bind_vcpu`.
    ///
    /// # Errors
    /// `NoVcpu`, `BadPort`, or `WrongState` for ports whose vCPU is fixed.
    pub fn bind_vcpu(&mut self, port: EvtchnPort, vcpu: VcpuId) -> Result<(), EvtchnError> {
        self.check_vcpu(vcpu)?;
        let found = self.store.get_mut(port)?;
        ensure(found.channel.can_change_vcpu(), EvtchnError::WrongState)?;
        found.vcpu = vcpu;
        Ok(())
    }

    /// The vCPU for which `EVTCHNOP_unmask` must be carried out with [`super::unmask`]; `None`
    /// for a port that nobody owns, for which the call succeeds and does nothing.
    ///
    /// # Errors
    /// `BadPort`.
    pub fn unmask_vcpu(&self, port: EvtchnPort) -> Result<Option<VcpuId>, EvtchnError> {
        self.store.get(port).map(|_| self.arrival(port))
    }

    /// The first port in use at or after `from`: the step of `EVTCHNOP_reset` and of teardown,
    /// which close one port at a time so that the caller can stop in between.
    pub fn next_open(&self, from: EvtchnPort) -> Option<EvtchnPort> {
        let mut ports = (from.get()..self.store.len()).map(EvtchnPort::new);
        ports.find(|port| self.arrival(*port).is_some())
    }

    /// The port and the vCPU to notify for a virtual interrupt; `None` drops the interrupt.
    /// Global ones have the same port for all vCPUs.
    #[inline]
    pub fn virq_target(&self, vcpu: VcpuId, virq: Virq) -> Option<(EvtchnPort, VcpuId)> {
        let port = (*self.virqs.get(virq_slot(vcpu, virq))?)?;
        Some((port, self.arrival(port)?))
    }

    /// The port and the vCPU to notify for a physical interrupt.
    pub fn pirq_target(&self, pirq: u32) -> Option<(EvtchnPort, VcpuId)> {
        let (_, port) = *self.pirqs.iter().find(|(bound, _)| *bound == pirq)?;
        Some((port, self.arrival(port)?))
    }

    /// Forgets which interrupt a port is bound to. The notified vCPU of a global one may have moved
    /// away from its slot's owner, so the slot is found by its content.
    #[cold]
    pub(super) fn forget_interrupt(&mut self, port: EvtchnPort) {
        let slots = self.virqs.iter_mut().filter(|slot| **slot == Some(port));
        slots.for_each(|slot| *slot = None);
        self.pirqs.retain(|(_, bound)| *bound != port);
    }

    fn check_vcpu(&self, vcpu: VcpuId) -> Result<(), EvtchnError> {
        (vcpu.get() < self.vcpus).then_some(()).ok_or(EvtchnError::NoVcpu)
    }
}

/// Where the port of a valid virtual interrupt is found.
fn virq_slot(vcpu: VcpuId, virq: Virq) -> usize {
    let owner = if virq.is_per_vcpu() { vcpu.get() as usize } else { 0 };
    owner * Virq::COUNT as usize + virq.get() as usize
}
