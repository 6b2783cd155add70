//! What a port can be.

use hypercall_abi::{DomId, EvtchnPort, VcpuId, Virq};

/// What a port is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Not in use.
    Free,
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
    pub(super) fn is_open(self) -> bool {
        self != Self::Free
    }

    /// Whether the notified vCPU may be changed after binding.
    pub(super) fn can_change_vcpu(self) -> bool {
        match self {
            Self::Unbound { .. } | Self::Interdomain { .. } | Self::Pirq { .. } => true,
            Self::Virq { virq } => !virq.is_per_vcpu(),
            Self::Free | Self::Ipi => false,
        }
    }
}

/// State of one port, as `EVTCHNOP_status` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// What it is connected to.
    pub channel: Channel,
    /// The vCPU that is told about its events.
    pub vcpu: VcpuId,
}

impl Port {
    pub(super) const FREE: Self = Self { channel: Channel::Free, vcpu: VcpuId::new(0) };
}

// A domain with few ports must stay cheap: its first 64 are 768 bytes.
const _: () = assert!(size_of::<Port>() == 12);
