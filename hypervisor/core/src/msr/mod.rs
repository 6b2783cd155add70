//! Model-specific registers as guests see them.
//!
//! Called when RDMSR or WRMSR of a guest kernel is emulated. A few registers are virtual state
//! ([`MsrState`]), some have constant values, some stand for state the image holds (segment bases,
//! the counter); all others give the guest a general protection fault.
//!
//! Invariants: nothing a guest does reaches a real register except through [`Read::Hardware`], for
//! registers of a fixed list, and the image performs those reads with fault recovery; no write of
//! a guest ever reaches one. A register nobody has thought about is refused.

pub mod index;
mod read;
mod write;

pub use read::read;
pub use write::write;

use crate::cpuid::{Policy, Vendor};
use hypercall_abi::addr::Mfn;

/// The registers that are state of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsrState {
    /// What RDTSCP and RDPID give; the image loads it with the vCPU.
    pub tsc_aux: u32,
}

/// What registers mean for one kind of domain on one machine.
#[derive(Clone, Copy, Debug)]
pub struct MsrPolicy {
    /// Who made the processor.
    pub vendor: Vendor,
    /// Family of the processor.
    pub family: u32,
    /// The real EFER.
    pub host_efer: u64,
    /// Whether RDTSCP or RDPID is offered.
    pub has_tsc_aux: bool,
    /// Whether the policy is the control domain's.
    pub is_hardware_domain: bool,
    /// Whether the domain asked for reads of unknown registers to give 0.
    pub is_relaxed: bool,
}

impl MsrPolicy {
    /// The policy that fits a policy for CPUID; not relaxed.
    #[must_use]
    pub fn new(cpuid: &Policy, host_efer: u64, is_hardware_domain: bool) -> Self {
        Self {
            vendor: cpuid.vendor(),
            family: cpuid.family(),
            host_efer,
            has_tsc_aux: cpuid.has_tsc_aux(),
            is_hardware_domain,
            is_relaxed: false,
        }
    }

    fn is_intel(&self) -> bool {
        self.vendor == Vendor::Intel
    }

    fn is_amd(&self) -> bool {
        self.vendor == Vendor::Amd
    }

    /// EFER as the guest reads it: the architectural bits, without virtualization.
    fn guest_efer(&self) -> u64 {
        self.host_efer & index::EFER_VISIBLE
    }
}

/// What an access depends on besides policy and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrContext {
    /// Number of the vCPU; number 0 is the boot processor.
    pub vcpu: u32,
    /// Whether the guest has a handler for general protection faults. A kernel that has none yet
    /// could not survive one, so reads of registers that exist give 0.
    pub can_take_fault: bool,
}

/// The answer to RDMSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This value.
    Value(u64),
    /// The base of fs.
    FsBase,
    /// The base of gs in kernel mode, which is the current one.
    GsBase,
    /// The base of gs in user mode.
    UserGsBase,
    /// The counter as RDTSC of the guest gives it.
    Tsc,
    /// The real register, read with fault recovery, with some bits cleared and some set. A fault
    /// becomes the guest's.
    Hardware {
        /// Bits to clear.
        clear: u64,
        /// Bits to set.
        set: u64,
    },
    /// 0 if the real register can be read (with fault recovery), else a fault.
    ZeroIfPresent,
    /// A general protection fault.
    Fault,
}

/// The answer to WRMSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing more to do.
    Done,
    /// Set the base of fs.
    FsBase(u64),
    /// Set the base of gs in kernel mode, which is the current one.
    GsBase(u64),
    /// Set the base of gs in user mode.
    UserGsBase(u64),
    /// The state has a new value for RDTSCP; load it.
    TscAux(u32),
    /// Fill this frame with hypercall stubs; a frame that cannot be had is a fault.
    HypercallPage(Mfn),
    /// Ignored if the real register can be read (with fault recovery), else a fault.
    IgnoredIfPresent,
    /// A general protection fault.
    Fault,
}
