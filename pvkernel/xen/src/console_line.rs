//! What the console is on: the hypervisor's own console for the control domain, a shared ring for all
//! others.

use hypercall_abi::start_info::Sif;
use hypercall_abi::Virq;
use pvkernel_core::console::with_returns;
use pvkernel_core::events::Handler;

use crate::boot::BootInfo;
use crate::console_ring::Ring;
use crate::hypercall::misc;
use crate::{event, p2m};

/// Where characters go to and come from.
pub(crate) enum Line {
    /// The hypervisor.
    Hypervisor,
    /// A ring.
    Ring(Ring),
}

impl Line {
    /// What there is before anything is known.
    pub(crate) const FIRST: Self = Self::Hypervisor;

    /// What this domain has.
    pub(crate) fn new(boot: &BootInfo) -> Self {
        if boot.flags.contains(Sif::INITDOMAIN) {
            return Self::Hypervisor;
        }
        match p2m::pfn(boot.console_mfn) {
            Some(pfn) => Self::Ring(Ring::attach(pfn, boot.console_evtchn)),
            None => Self::Hypervisor,
        }
    }

    /// Writes all bytes, or what fits when nobody reads.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Hypervisor => write_anyway(bytes),
            Self::Ring(ring) => with_returns(bytes, |piece| ring.write(piece)),
        }
    }

    /// Reads what is there; the number of bytes.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            Self::Hypervisor => misc::console_read(buffer).unwrap_or(0),
            Self::Ring(ring) => ring.read(buffer),
        }
    }

    /// Has `wake` called when there is something to read.
    pub(crate) fn on_input(&self, wake: Handler) {
        match self {
            Self::Ring(ring) => event::on_event(ring.port(), wake),
            // An ordinary domain without ring has no input either; the refusal changes nothing.
            Self::Hypervisor => drop(event::bind_virq(Virq::CONSOLE, wake)),
        }
    }
}

/// Writes past whoever holds the line. Ordinary domains are refused on release builds of Xen: nobody would
/// see it anyway.
pub(crate) fn write_anyway(bytes: &[u8]) {
    let _ = misc::console_write(bytes);
}
