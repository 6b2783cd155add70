//! Event channels: the port table of a domain and the delivery of events in the 2-level ABI.
//!
//! The image keeps one [`PortTable`] per domain behind a lock and calls it for
//! `event_channel_op`, for virtual interrupts and for device interrupts. An operation that concerns
//! two domains takes both tables; the image locks them in ascending order of domain number.
//! What must then happen to guest memory goes through [`EventWords`] ([`set_pending`], [`unmask`]),
//! and what must happen to a vCPU is returned as data.
//!
//! Invariants:
//! * the two ends of an interdomain channel name each other, always;
//! * an allocation takes the lowest free port; port 0 is never allocated;
//! * a failing operation changes nothing that a guest or a peer can see;
//! * memory is allocated only by the operations that open a port, when 64 more become valid, and
//!   exhaustion is an error.
//!
//! Not here: rights and look-up of domains, the shared pages, waking and interrupting CPUs, the
//! FIFO ABI (refused by the image).

mod channel;
mod deliver;
mod pair;
mod poll;
mod storage;
mod table;

use hypercall_abi::Errno;

pub use channel::{Channel, Port};
pub use deliver::{set_pending, unmask, Delivery, EventWords};
pub use pair::{bind_interdomain, close, CloseOutcome};
pub use poll::Pollers;
pub use table::{Destination, PortTable};

/// Ports of a domain under the 2-level ABI.
pub const PORTS_2L: u32 = 4096;

/// Why an operation on event channels was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvtchnError {
    /// The port is beyond the table.
    BadPort,
    /// The port is in a state in which the operation makes no sense.
    WrongState,
    /// The virtual interrupt does not exist.
    BadVirq,
    /// A global virtual interrupt can only be bound to vCPU 0.
    GlobalVirqNeedsVcpu0,
    /// The domain has no such vCPU.
    NoVcpu,
    /// The virtual or physical interrupt already has a port.
    AlreadyBound,
    /// All ports the domain may have are in use.
    NoPorts,
    /// The hypervisor is out of memory.
    NoMemory,
}

impl From<EvtchnError> for Errno {
    fn from(error: EvtchnError) -> Self {
        match error {
            EvtchnError::BadPort
            | EvtchnError::WrongState
            | EvtchnError::BadVirq
            | EvtchnError::GlobalVirqNeedsVcpu0 => Errno::EINVAL,
            EvtchnError::NoVcpu => Errno::ENOENT,
            EvtchnError::AlreadyBound => Errno::EEXIST,
            EvtchnError::NoPorts => Errno::ENOSPC,
            EvtchnError::NoMemory => Errno::ENOMEM,
        }
    }
}
