//! Every hypercall of the interface, typed.
//!
//! Each function marshals its arguments, makes the call, and turns the result into a `Result`. The
//! functions that can change what memory of this kernel means (page tables, frames given away,
//! entry points, areas the hypervisor writes to) are `unsafe`; the others are safe to call with
//! any arguments, because the hypervisor answers nonsense with an error.
//!
//! `raw` is the one place with the instruction. Structures passed by pointer live in ordinary kernel
//! memory, which is always mapped.

pub mod control;
pub mod cpu;
pub mod evtchn;
pub mod grant;
pub mod memory;
pub mod misc;
pub mod mmu;
pub mod physdev;
pub mod sched;
pub mod vcpu;
pub mod version;

pub use control::{domctl, platform_op, sysctl};
pub use mmu::mmuext;

use hypercall_abi::Errno;

/// Makes a hypercall.
///
/// # Safety
/// The caller answers for everything the hypervisor does in its name: every address in the
/// arguments, and in structures they point to, is memory that may be read or written as the call
/// documents, and no change of page tables or entry points breaks the running program.
#[inline]
pub unsafe fn raw(nr: u64, args: [u64; 5]) -> i64 {
    let result: i64;
    // SAFETY: SYSCALL from guest-kernel mode enters the hypervisor and comes back behind the
    // instruction with only rax, rcx, r11 and the argument registers changed; memory effects are
    // the caller's obligation, and the asm block is not marked as leaving memory alone.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") nr => result,
            inlateout("rdi") args[0] => _,
            inlateout("rsi") args[1] => _,
            inlateout("rdx") args[2] => _,
            inlateout("r10") args[3] => _,
            inlateout("r8") args[4] => _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A hypercall with a command and a structure that is read and written.
///
/// # Safety
/// As for `raw`: what the structure asks for is the caller's obligation.
unsafe fn command<T>(nr: u64, cmd: u32, arg: &mut T) -> i64 {
    let address = core::ptr::from_mut(arg) as u64;
    // SAFETY: the structure is valid memory of its size; the rest is the caller's obligation.
    unsafe { raw(nr, [u64::from(cmd), address, 0, 0, 0]) }
}

/// The address of a slice for a hypercall that reads it.
fn address_of<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

/// The address of a slice for a hypercall that writes it.
fn address_of_mut<T>(slice: &mut [T]) -> u64 {
    slice.as_mut_ptr() as u64
}

/// A result without value.
fn done(ret: i64) -> Result<(), Errno> {
    Errno::check(ret).map(|_| ())
}
