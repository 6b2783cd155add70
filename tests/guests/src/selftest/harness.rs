//! Counting cases.

use core::fmt::Debug;

use hypercall_abi::Errno;
use pvkernel_xen::println;
pub use test_guests::call::{address, command, hypercall};

/// An address of the lower half where nothing is mapped.
pub const UNMAPPED: u64 = 0x7000_0000_0000;
/// An address in the hypervisor's hole.
pub const IN_HOLE: u64 = 0xffff_8300_0000_0000;
/// An address that is not canonical.
pub const NOT_CANONICAL: u64 = 0x8000_0000_0000_0000;

/// Results so far.
pub struct Report {
    /// Whether this is the control domain, which may do more.
    pub is_dom0: bool,
    topic: &'static str,
    ok: u32,
    failed: u32,
    skipped: u32,
}

impl Report {
    /// Nothing has run yet.
    pub const fn new(is_dom0: bool) -> Self {
        Self { is_dom0, topic: "", ok: 0, failed: 0, skipped: 0 }
    }

    /// Starts a topic; its name is the prefix of its cases.
    pub fn begin(&mut self, topic: &'static str) {
        self.topic = topic;
    }

    /// Compares what came with what Xen does.
    pub fn eq<T: PartialEq + Debug>(&mut self, name: &str, expected: T, got: T) {
        if expected == got {
            self.ok += 1;
            println!("case {}-{name}: ok", self.topic);
        } else {
            self.failed += 1;
            println!("case {}-{name}: FAIL expected {expected:x?} got {got:x?}", self.topic);
        }
    }

    /// A condition.
    pub fn check(&mut self, name: &str, holds: bool) {
        self.eq(name, true, holds);
    }

    /// A hypercall's return value that must be this error.
    pub fn errno(&mut self, name: &str, expected: Errno, ret: i64) {
        self.eq(name, Err(expected), result(ret));
    }

    /// A hypercall's return value that must be this number.
    pub fn ret(&mut self, name: &str, expected: u64, ret: i64) {
        self.eq(name, Ok(expected), result(ret));
    }

    /// A hypercall that must return 0 for the control domain and an error for others.
    pub fn privileged(&mut self, name: &str, refused: Errno, ret: i64) {
        if self.is_dom0 {
            self.ret(name, 0, ret);
        } else {
            self.errno(name, refused, ret);
        }
    }

    /// A case that cannot run here.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        println!("case {}-{name}: skip {why}", self.topic);
    }

    /// The verdict line.
    pub fn finish(&self) {
        let verdict = match (self.failed, self.ok) {
            (0, 0) => "ERROR",
            (0, _) => "SUCCESS",
            _ => "FAILURE",
        };
        println!(
            "ZENDO-TEST selftest {verdict} {} ok, {} failed, {} skipped",
            self.ok, self.failed, self.skipped
        );
    }
}

/// A return value as number or error. Negative numbers that are no known error stay visible.
fn result(ret: i64) -> Result<u64, Errno> {
    match Errno::from_ret(ret) {
        Some(errno) => Err(errno),
        None => Ok(ret as u64),
    }
}
