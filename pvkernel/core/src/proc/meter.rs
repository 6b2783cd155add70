//! How long each process has run.
//!
//! The machine changes hands when another process's program is about to run; what has passed since is the
//! time of the one before: its program's, and the kernel's for it. Time in which nobody ran does not count:
//! `busy_ns` is a clock that stands still then. One CPU changes these counters, others may read them.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Places; the table gives out no number whose place another process has.
const PLACES: usize = 1024;

/// The place of a process.
pub(super) const fn place(pid: u32) -> usize {
    pid as usize % PLACES
}

/// Times of all processes.
pub(crate) struct Meters {
    spent_ns: [AtomicU64; PLACES],
    /// Whose time it is.
    holder: AtomicU32,
    since_ns: AtomicU64,
}

impl Meters {
    pub(crate) const fn new() -> Self {
        let spent_ns = [const { AtomicU64::new(0) }; PLACES];
        Self { spent_ns, holder: AtomicU32::new(0), since_ns: AtomicU64::new(0) }
    }

    /// A process begins.
    pub(super) fn reset(&self, pid: u32) {
        self.spent_ns[place(pid)].store(0, Ordering::Relaxed);
    }

    /// From now on it is this process's time.
    pub(super) fn turn(&self, pid: u32, busy_ns: u64) {
        let spent_ns = &self.spent_ns[place(self.holder.load(Ordering::Relaxed))];
        let turn_ns = busy_ns.wrapping_sub(self.since_ns.load(Ordering::Relaxed));
        spent_ns.store(spent_ns.load(Ordering::Relaxed) + turn_ns, Ordering::Relaxed);
        self.holder.store(pid, Ordering::Relaxed);
        self.since_ns.store(busy_ns, Ordering::Relaxed);
    }

    /// How long a process has run.
    pub(super) fn spent_ns(&self, pid: u32, busy_ns: u64) -> u64 {
        let spent_ns = self.spent_ns[place(pid)].load(Ordering::Relaxed);
        match self.holder.load(Ordering::Relaxed) == pid {
            true => spent_ns + busy_ns.saturating_sub(self.since_ns.load(Ordering::Relaxed)),
            false => spent_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_belongs_to_who_had_it() {
        let meters = Meters::new();
        meters.turn(1, 100);
        meters.turn(2, 150);
        meters.turn(1, 170);
        assert_eq!(meters.spent_ns(1, 175), 55);
        assert_eq!(meters.spent_ns(2, 175), 20);
        meters.turn(2, 180);
        assert_eq!((meters.spent_ns(1, 200), meters.spent_ns(2, 200)), (60, 40));
        // The place of a process that is gone is another's later.
        meters.reset(1 + PLACES as u32);
        assert_eq!(meters.spent_ns(1 + PLACES as u32, 200), 0);
    }
}
