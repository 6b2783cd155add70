//! The bench's own entry points (`handlers.S`) and what they leave behind.

use hypercall_abi::callback::kind;
use hypercall_abi::nr;
use hypercall_abi::regs::{IretContext, TrapInfo, FLAT_KERNEL_CS};
use pvkernel_xen::hypercall::cpu;
use pvkernel_xen::trap;
use test_guests::call::hypercall;

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("handlers.S"));

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in handlers.S with these types.
    unsafe extern "C" {
        pub static bench_fault: u8;
        pub static bench_fault_code: u8;
        pub static bench_mark_stop_fault: u8;
        pub static bench_mark_stop_fault_code: u8;
        pub static bench_user_left: u8;
        pub static bench_user_timed: u8;
        pub static bench_stamp: u64;
        pub static bench_user_count: u64;
        pub fn bench_user_enter(frame: *const hypercall_abi::regs::IretContext);
    }
}

/// On a host the guest does not run; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    pub static bench_fault: u8 = 0;
    pub static bench_fault_code: u8 = 0;
    pub static bench_mark_stop_fault: u8 = 0;
    pub static bench_mark_stop_fault_code: u8 = 0;
    pub static bench_user_left: u8 = 0;
    pub static bench_user_timed: u8 = 0;
    pub static bench_stamp: u64 = 0;
    pub static bench_user_count: u64 = 0;
    pub unsafe extern "C" fn bench_user_enter(_: *const hypercall_abi::regs::IretContext) {}
}

/// One of the entry points.
#[derive(Clone, Copy)]
pub enum Entry {
    /// An exception of the kernel: skips r12 bytes and counts in r13.
    Fault,
    /// The same, with an error code.
    FaultCode,
    /// As `Fault`, but reads the counter first.
    TimedFault,
    /// As `FaultCode`, but reads the counter first.
    TimedFaultCode,
    /// Any entry from user mode.
    UserLeft,
    /// The same, but reads the counter first.
    UserTimed,
}

impl Entry {
    fn address(self) -> u64 {
        let at = match self {
            Entry::Fault => &raw const symbols::bench_fault,
            Entry::FaultCode => &raw const symbols::bench_fault_code,
            Entry::TimedFault => &raw const symbols::bench_mark_stop_fault,
            Entry::TimedFaultCode => &raw const symbols::bench_mark_stop_fault_code,
            Entry::UserLeft => &raw const symbols::bench_user_left,
            Entry::UserTimed => &raw const symbols::bench_user_timed,
        };
        at as u64
    }

    /// Makes this the handler of an exception, also for software interrupts of user mode.
    pub fn take(self, vector: u8) {
        let entry = TrapInfo::new(vector, 3, FLAT_KERNEL_CS, self.address());
        // SAFETY: the entry points accept the frames of the vectors the topics give them.
        let set = unsafe { cpu::set_trap_table(&[entry, TrapInfo::default()]) };
        assert_eq!(set, Ok(()), "the entry point's address is canonical");
    }

    /// Makes this the handler of system calls from user mode.
    pub fn take_syscalls(self) {
        // SAFETY: as above.
        let set = unsafe { cpu::callback_register(kind::SYSCALL, 0, self.address()) };
        assert_eq!(set, Ok(()), "the entry point's address is canonical");
    }
}

/// Gives everything back to the kernel's own handlers.
pub fn restore() {
    hypercall(nr::SET_TRAP_TABLE, &[0]);
    trap::install();
}

/// What a timed entry point left.
pub fn stamp() -> u64 {
    // SAFETY: written by the entry points only, which have run.
    unsafe { (&raw const symbols::bench_stamp).read_volatile() }
}

/// How often user mode was left.
pub fn user_count() -> u64 {
    // SAFETY: as above.
    unsafe { (&raw const symbols::bench_user_count).read_volatile() }
}

/// Enters user mode and comes back when it is left.
#[inline]
pub fn enter_user(frame: &IretContext) {
    // SAFETY: the topic that calls this has set up user mode and its ways out.
    unsafe { symbols::bench_user_enter(frame) };
}
