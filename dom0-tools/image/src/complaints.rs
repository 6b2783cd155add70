//! Lines on dom0's console that a guest can cause.
//!
//! A guest can break its rings and connect again as often as it likes. One line in a while says so; the
//! console, whose bytes are slow, stays with the person.

use core::sync::atomic::{AtomicU64, Ordering};
use pvkernel_xen::{println, time};

/// How long nothing is said after a line.
const QUIET_NS: u64 = 1_000_000_000;

/// The lines of one service.
pub struct Complaints {
    service: &'static str,
    quiet_until_ns: AtomicU64,
}

impl Complaints {
    /// None so far.
    pub const fn new(service: &'static str) -> Self {
        Self { service, quiet_until_ns: AtomicU64::new(0) }
    }

    /// Says a line, or nothing when another was said just now.
    pub fn say(&self, line: core::fmt::Arguments<'_>) {
        let now_ns = time::now_ns();
        if now_ns >= self.quiet_until_ns.load(Ordering::Relaxed) {
            self.quiet_until_ns.store(now_ns + QUIET_NS, Ordering::Relaxed);
            println!("{}: {line}", self.service);
        }
    }
}
