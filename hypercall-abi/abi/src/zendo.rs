//! What Zendo has and Xen has not: numbers outside of Xen's range, unknown to Xen.
//!
//! A toolstack that runs on either asks, and does without where the answer is an error.

use crate::macros::{abi_struct, consts};

consts! { u32:
    /// `domctl`: counts of what a domain asked of the hypervisor, a `DomainCounters`.
    DOMCTL_COUNTERS = 0x5a45_0001;
}

abi_struct! {
    /// Out: counts since the domain exists. They are read one after the other while it may run.
    DomainCounters {
        /// Hypercalls.
        hypercalls: u64,
        /// Exceptions.
        traps: u64,
        /// Instructions that were emulated; each came with a trap.
        emulated: u64,
        /// Events sent.
        events: u64,
        /// How often one of its vCPUs was put on a CPU.
        switches: u64,
    }
}
