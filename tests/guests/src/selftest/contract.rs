//! The platform contract of `pvkernel-core`, kept by the Xen backend.

use crate::harness::Report;
use pvkernel_core::platform::contract::{PROGRAMS, TESTS};
use pvkernel_xen::thread;

/// Runs every test of the contract.
pub fn run(t: &mut Report) {
    for (name, test) in TESTS.iter().chain(PROGRAMS) {
        t.eq(name, Ok(()), test(thread::kernel()));
    }
}
