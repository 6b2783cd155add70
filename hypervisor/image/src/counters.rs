//! Event counters per CPU: hypercalls by number, exceptions by vector, switches, upcalls.
//!
//! Bumped on the hot paths with one addition each (only their own CPU does so) and read by a debug
//! key. They are statistics: nothing decides by them.

use core::sync::atomic::{AtomicU64, Ordering};

/// Counters of one CPU.
pub struct Counters {
    /// Hypercalls by number.
    pub hypercalls: [AtomicU64; 64],
    /// Exceptions taken from guests by vector.
    pub exceptions: [AtomicU64; 32],
    /// Frames built for guests.
    pub bounces: AtomicU64,
    /// Instructions emulated.
    pub emulated: AtomicU64,
    /// Switches from one vCPU to another.
    pub switches: AtomicU64,
}

impl Counters {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self {
            hypercalls: [const { AtomicU64::new(0) }; 64],
            exceptions: [const { AtomicU64::new(0) }; 32],
            bounces: AtomicU64::new(0),
            emulated: AtomicU64::new(0),
            switches: AtomicU64::new(0),
        }
    }
}

/// Adds one to a counter.
pub fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
