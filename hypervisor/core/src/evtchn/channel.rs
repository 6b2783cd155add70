//! What a port can be, and how `EVTCHNOP_status` reports it.
//!
//! Used by the tables of this module; the image sees channels only through [`PortStatus`].

use hypercall_abi::{DomId, EvtchnPort, VcpuId, Virq};

/// State of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Not in use.
    Free,
    /// Never to be used: port 0.
    Reserved,
    /// Waiting for `remote` to bind to it.
    Unbound {
        /// The only domain that may bind.
        remote: DomId,
    },
    /// Connected with a port of a domain, possibly the same one.
    Interdomain {
        /// Domain of the other end.
        remote: DomId,
        /// Port of the other end.
        remote_port: EvtchnPort,
    },
    /// Raised by the hypervisor.
    Virq {
        /// Which interrupt.
        virq: Virq,
    },
    /// Raised by a device.
    Pirq {
        /// Which interrupt.
        pirq: u32,
    },
    /// Raised by the domain itself, for one of its vCPUs.
    Ipi,
}

impl Channel {
    /// Whether somebody owns the port: events for others are ignored.
    #[inline]
    #[must_use]
    pub const fn is_usable(self) -> bool {
        !matches!(self, Self::Free | Self::Reserved)
    }

    /// Whether the notified vCPU may be changed after binding.
    #[must_use]
    pub const fn can_change_vcpu(self) -> bool {
        match self {
            Self::Unbound { .. } | Self::Interdomain { .. } | Self::Pirq { .. } => true,
            Self::Virq { virq } => !virq.is_per_vcpu(),
            Self::Free | Self::Reserved | Self::Ipi => false,
        }
    }
}

/// A port together with the vCPU that is told about its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) channel: Channel,
    pub(super) notify: VcpuId,
}

impl Entry {
    pub(super) const FREE: Self = Self { channel: Channel::Free, notify: VcpuId::new(0) };
}

// A domain with few ports must stay cheap: 64 entries are one 768 byte chunk.
const _: () = assert!(size_of::<Entry>() == 12);

/// Answer to `EVTCHNOP_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// State of the port; `Reserved` never appears.
    pub channel: Channel,
    /// The vCPU that is notified.
    pub vcpu: VcpuId,
}

impl PortStatus {
    /// The `status` field of the interface (`EVTCHNSTAT_*`).
    #[must_use]
    pub const fn code(self) -> u32 {
        match self.channel {
            Channel::Free | Channel::Reserved => 0,
            Channel::Unbound { .. } => 1,
            Channel::Interdomain { .. } => 2,
            Channel::Pirq { .. } => 3,
            Channel::Virq { .. } => 4,
            Channel::Ipi => 5,
        }
    }
}
