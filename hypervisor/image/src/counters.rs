//! Event counters per CPU: hypercalls by number, exceptions by vector, switches, upcalls.
//!
//! Bumped on the hot paths with one addition each and read by `dmesg` style debug keys and the
//! epitaph of a panic. They are statistics: nothing decides by them.

use core::cell::Cell;
use hv_machine::percpu::PerCpu;

/// Counters of one CPU.
pub struct Counters {
    /// Hypercalls by number.
    pub hypercalls: [Cell<u64>; 64],
    /// Exceptions taken from guests by vector.
    pub exceptions: [Cell<u64>; 32],
    /// Frames built for guests.
    pub bounces: Cell<u64>,
    /// Instructions emulated.
    pub emulated: Cell<u64>,
    /// Switches from one vCPU to another.
    pub switches: Cell<u64>,
}

impl Counters {
    fn new() -> Self {
        Self {
            hypercalls: [const { Cell::new(0) }; 64],
            exceptions: [const { Cell::new(0) }; 32],
            bounces: Cell::new(0),
            emulated: Cell::new(0),
            switches: Cell::new(0),
        }
    }
}

static COUNTERS: PerCpu<Counters> = PerCpu::new(Counters::new);

/// This CPU's counters.
#[inline]
pub fn here() -> &'static Counters {
    COUNTERS.get()
}

/// Adds one to a counter.
#[inline]
pub fn bump(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}
