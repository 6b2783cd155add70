//! Event counters per vCPU: hypercalls by number, exceptions by vector, upcalls.
//!
//! Bumped on the hot paths with one addition each (only the CPU that runs the vCPU does so) and read
//! by a debug key and by `domctl`. They are statistics: nothing decides by them.

use core::sync::atomic::{AtomicU64, Ordering};
use hypercall_abi::{nr, zendo::DomainCounters};

/// Counters of one vCPU.
pub struct Counters {
    /// Hypercalls by number.
    pub hypercalls: [AtomicU64; 64],
    /// Exceptions taken from the guest by vector.
    pub exceptions: [AtomicU64; 32],
    /// Operations on event channels other than sending, which is the frequent one.
    pub not_sends: AtomicU64,
    /// Frames built for the guest.
    pub bounces: AtomicU64,
    /// Instructions emulated.
    pub emulated: AtomicU64,
    /// How often it was put on a CPU.
    pub switches: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            hypercalls: [const { AtomicU64::new(0) }; 64],
            exceptions: [const { AtomicU64::new(0) }; 32],
            not_sends: AtomicU64::new(0),
            bounces: AtomicU64::new(0),
            emulated: AtomicU64::new(0),
            switches: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Adds these to the counts of a domain.
    pub fn add_to(&self, sum: &mut DomainCounters) {
        let all = |counters: &[AtomicU64]| counters.iter().map(read).sum::<u64>();
        let port_calls = read(&self.hypercalls[nr::EVENT_CHANNEL_OP as usize]);
        sum.hypercalls += all(&self.hypercalls);
        sum.traps += all(&self.exceptions);
        sum.emulated += read(&self.emulated);
        // Read one after the other: the second may already be ahead of the first.
        sum.events += port_calls.saturating_sub(read(&self.not_sends));
        sum.switches += read(&self.switches);
    }
}

/// Adds one to a counter.
pub fn bump(counter: &AtomicU64) {
    counter.store(read(counter).wrapping_add(1), Ordering::Relaxed);
}

/// The value of a counter.
pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
