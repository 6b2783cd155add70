//! Executing instructions that may fault.
//!
//! `catch` calls a function and turns an exception in it into a value. The function must not hold
//! anything that has to be dropped: a fault leaves it for good.

use hypercall_abi::regs::{IretContext, TrapInfo, FLAT_KERNEL_CS};
use pvkernel_core::sync::Lock;
use pvkernel_xen::event;
use pvkernel_xen::hypercall::cpu;
use pvkernel_xen::trap::{self, TrapFrame};

use crate::usermode;

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("probe.S"));

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in probe.S with these types.
    unsafe extern "C" {
        pub fn probe_call(function: extern "C" fn(u64) -> u64, argument: u64) -> u64;
        pub fn probe_iret(frame: *const hypercall_abi::regs::IretContext);
        pub static probe_recover: u8;
        pub static probe_raw_stub: u8;
        pub static probe_iret_target: u8;
        pub static probe_sp: u64;
        pub static probe_raw_sp: u64;
        pub static probe_raw_words: [u64; 12];
        pub static probe_iret_seen: [u64; 7];
    }
}

/// On a host the guest does not run; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    pub unsafe extern "C" fn probe_call(f: extern "C" fn(u64) -> u64, argument: u64) -> u64 {
        f(argument)
    }
    pub unsafe extern "C" fn probe_iret(_: *const hypercall_abi::regs::IretContext) {}
    pub static probe_recover: u8 = 0;
    pub static probe_raw_stub: u8 = 0;
    pub static probe_iret_target: u8 = 0;
    pub static probe_sp: u64 = 0;
    pub static probe_raw_sp: u64 = 0;
    pub static probe_raw_words: [u64; 12] = [0; 12];
    pub static probe_iret_seen: [u64; 7] = [0; 7];
}

/// An exception that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Vector.
    pub vector: u64,
    /// Error code, 0 for vectors without one.
    pub error: u64,
    /// Where.
    pub rip: u64,
    /// The faulting address, for page faults.
    pub cr2: u64,
    /// Flags at the fault.
    pub rflags: u64,
    /// Code selector and saved event mask.
    pub cs: u64,
}

impl Fault {
    /// Vector and error code.
    pub const fn kind(&self) -> (u64, u64) {
        (self.vector, self.error)
    }
}

static CAUGHT: Lock<Option<Fault>> = Lock::new(None);
static ACTIVE: Lock<bool> = Lock::new(false);

/// Installs the hooks of all exceptions.
pub fn install() {
    for vector in (0..32).filter(|vector| *vector != 2) {
        // SAFETY: the hook leaves to `probe_recover` or to `user_recover`, and only while a probe
        // or a user program runs.
        unsafe { trap::set_hook(vector, Some(on_fault)) };
    }
    // SAFETY: as above.
    unsafe { trap::set_hook(trap::SYSCALL, Some(usermode::on_trap)) };
}

fn on_fault(frame: &mut TrapFrame) -> bool {
    if frame.from_user() {
        return usermode::on_trap(frame);
    }
    if !*ACTIVE.lock() {
        return false;
    }
    *CAUGHT.lock() = Some(Fault {
        vector: frame.vector,
        error: frame.error,
        rip: frame.rip,
        cr2: event::fault_address(),
        rflags: frame.rflags,
        cs: frame.cs,
    });
    frame.rip = &raw const symbols::probe_recover as u64;
    // SAFETY: written by `probe_call`, which is active.
    frame.rsp = unsafe { (&raw const symbols::probe_sp).read_volatile() };
    // Trap flag, direction, nested task, alignment check off.
    frame.rflags &= !(1 << 8 | 1 << 10 | 1 << 14 | 1 << 18);
    frame.cs = 0xe030;
    frame.ss = 0xe02b;
    true
}

fn run(body: impl FnOnce() -> u64) -> Result<u64, Fault> {
    *CAUGHT.lock() = None;
    *ACTIVE.lock() = true;
    let value = body();
    *ACTIVE.lock() = false;
    match CAUGHT.lock().take() {
        Some(fault) => Err(fault),
        None => Ok(value),
    }
}

/// Calls a function; an exception in it becomes an error.
pub fn catch(function: extern "C" fn(u64) -> u64, argument: u64) -> Result<u64, Fault> {
    // SAFETY: the routine follows the calling convention whether the function returns or faults.
    run(|| unsafe { symbols::probe_call(function, argument) })
}

/// Vector and error code of the exception that a function raises.
pub fn fault_of(function: extern "C" fn(u64) -> u64, argument: u64) -> Result<u64, (u64, u64)> {
    catch(function, argument).map_err(|fault| fault.kind())
}

/// What the hypervisor pushed for an exception, lowest address first, and the stack pointer.
pub fn raw_frame(
    vector: u8,
    flags: u8,
    function: extern "C" fn(u64) -> u64,
    argument: u64,
) -> (u64, [u64; 12]) {
    let stub = &raw const symbols::probe_raw_stub as u64;
    let table = [TrapInfo::new(vector, flags, FLAT_KERNEL_CS, stub), TrapInfo::default()];
    // SAFETY: the stub accepts any frame.
    unsafe { cpu::set_trap_table(&table) }.expect("the stub's address is canonical");
    // SAFETY: as in `catch`.
    unsafe { symbols::probe_call(function, argument) };
    trap::install();
    // SAFETY: written by the stub, which ran.
    let sp = unsafe { (&raw const symbols::probe_raw_sp).read_volatile() };
    // SAFETY: as above.
    let words = unsafe { (&raw const symbols::probe_raw_words).read_volatile() };
    (sp, words)
}

/// Registers at the target of an `iret`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// rax, rcx, r11.
    pub general: [u64; 3],
    /// Stack pointer.
    pub rsp: u64,
    /// Flags.
    pub rflags: u64,
    /// Code and stack selectors.
    pub selectors: [u64; 2],
}

/// Address of the landing point for `iret`.
pub fn landing() -> u64 {
    &raw const symbols::probe_iret_target as u64
}

/// Makes the `iret` hypercall with a frame.
pub fn iret(frame: &IretContext) -> Result<Landed, Fault> {
    run(|| {
        // SAFETY: frames of the cases lead to the landing point or fault.
        unsafe { symbols::probe_iret(frame) };
        0
    })?;
    // SAFETY: written at the landing point, which was reached.
    let seen = unsafe { (&raw const symbols::probe_iret_seen).read_volatile() };
    Ok(Landed {
        general: [seen[0], seen[1], seen[2]],
        rsp: seen[3],
        rflags: seen[4],
        selectors: [seen[5] & 0xffff, seen[6] & 0xffff],
    })
}
