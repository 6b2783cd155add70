//! The processor: control registers, roots, idling, and what the image may do with them.
//!
//! Called by the image on every switch and by emulation. CR3 loads go through here only, so that
//! each is recorded as a full flush. Bits the CPU does not have are never written.

pub(crate) mod asm;
mod debugreg;
mod features;
mod fpu;
pub mod gdt;
mod msr;
mod port;
pub mod segments;
pub(crate) mod start;

pub use crate::tlb::flush_local_all;
pub use asm::{clts, cpuid, cr2, host_cr0, idle_wait, invlpg, rdtsc, swapgs, wbinvd};
pub use debugreg::{clear_debug_regs, load_debug_regs, take_dr6};
pub use features::{features, Features};
pub use fpu::{host_xcr0, xsetbv, FpuArea};
pub use msr::{rdmsr_safe, wrmsr_safe};
pub use port::{inb, inl, inw, outb, outl, outw};

use crate::mem::{hvslots, pt::bits};
use crate::percpu;
use crate::tlb;
use core::sync::atomic::Ordering;
use hv_core::emul::cr::CR0_TS;
use hypercall_abi::Mfn;

/// Bits of CR4: those that guests know, and those that are the hypervisor's affair.
pub mod cr4 {
    pub use hv_core::emul::cr::{CR4_DE as DE, CR4_FSGSBASE as FSGSBASE, CR4_MCE as MCE};
    pub use hv_core::emul::cr::{CR4_OSFXSR as OSFXSR, CR4_OSXMMEXCPT as OSXMMEXCPT};
    pub use hv_core::emul::cr::{CR4_OSXSAVE as OSXSAVE, CR4_PAE as PAE, CR4_TSD as TSD};
    /// `sgdt` and the like only in ring 0.
    pub const UMIP: u64 = 1 << 11;
    /// No execution of user pages in ring 0.
    pub const SMEP: u64 = 1 << 20;
    /// No access to user pages in ring 0.
    pub const SMAP: u64 = 1 << 21;
    /// The bits that follow the guest. (OSXSAVE stays on: the hypervisor itself uses `xsave`.)
    pub const GUEST: u64 = TSD | DE | FSGSBASE;
}

/// Makes a validated guest root the present one.
///
/// # Panics
/// When there can be no such frame. That it is RAM whose hypervisor slots hold what
/// [`crate::hvslots`] says is what validation of a root means; the image loads validated roots only.
#[inline]
pub fn load_guest_root(root: Mfn) {
    assert!(root.get() < crate::frames::max_mfn(), "a root table is no RAM");
    // SAFETY: a root with the hypervisor's slots; the number has no reserved bit.
    unsafe { tlb::load_root(root.maddr()) };
}

/// Switches the guest of this CPU to its other mode, whose validated root this is. The clock of
/// flushes does not tick: that a flush happened may always be left out of the records.
///
/// # Panics
/// When there can be no such frame; see [`load_guest_root`] for what the image answers for.
#[inline]
pub fn switch_mode(root: Mfn, kernel: bool) {
    assert!(root.get() < crate::frames::max_mfn(), "a root table is no RAM");
    // SAFETY: a root with the hypervisor's slots; the number has no reserved bit.
    unsafe { asm::write_cr3(root.maddr()) };
    percpu::info().kernel_mode.store(u8::from(kernel), Ordering::Relaxed);
    swapgs();
}

/// Makes the hypervisor's own root, which maps no guest, the present one.
pub fn load_idle_root() {
    // SAFETY: the root all others have the hypervisor's slots from.
    unsafe { tlb::load_root(hvslots::root().maddr()) };
}

/// The present root.
pub fn current_root() -> Mfn {
    Mfn::from_maddr(asm::read_cr3() & bits::FRAME)
}

/// Sets the bits of CR4 that follow the guest ([`cr4::GUEST`]); bits the CPU lacks are left out.
pub fn set_guest_cr4(bits: u64) {
    let wanted = (bits & cr4::GUEST & features().cr4_available) as u32;
    if percpu::info().guest_cr4.swap(wanted, Ordering::Relaxed) != wanted {
        // SAFETY: the hypervisor's bits stay, the others exist on this CPU.
        unsafe { asm::write_cr4(features().host_cr4 | u64::from(wanted)) };
    }
}

/// Locks the FPU: its next use faults.
pub fn stts() {
    let cr0 = host_cr0();
    if cr0 & CR0_TS == 0 {
        // SAFETY: only the FPU is affected.
        unsafe { asm::write_cr0(cr0 | CR0_TS) };
    }
}

/// Looks at something up to `looks` times until it is so; false when it never was.
pub(crate) fn spin_until(looks: u32, mut is_so: impl FnMut() -> bool) -> bool {
    (0..looks).any(|_| {
        core::hint::spin_loop();
        is_so()
    })
}
