//! Model-specific registers, which may not exist or refuse a value.

use crate::mem::fixups::on_fault;
use core::arch::asm;

/// Reads a register; `None` when the CPU refuses.
pub fn rdmsr_safe(msr: u32) -> Option<u64> {
    let (low, high, failed): (u32, u32, u64);
    // SAFETY: reading has no effect on memory; a fault is survived.
    unsafe {
        asm!("2: rdmsr", "3:", on_fault!("2b"), inout("r8") 0_u64 => failed,
            in("ecx") msr, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    (failed == 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// Writes a register; false when the CPU refuses.
///
/// # Safety
/// The value must keep the hypervisor running.
pub(crate) unsafe fn wrmsr(msr: u32, value: u64) -> bool {
    let failed: u64;
    // SAFETY: as required of the caller; a fault is survived.
    unsafe {
        asm!("2: wrmsr", "3:", on_fault!("2b"), inout("r8") 0_u64 => failed,
            in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
    failed == 0
}

/// Writes a register; false when the CPU refuses. For registers that hold plain state or control
/// devices of the processor: those that hold addresses of the hypervisor are refused here.
pub fn wrmsr_safe(msr: u32, value: u64) -> bool {
    // SAFETY: registers the hypervisor relies on are left alone.
    !is_ours(msr) && unsafe { wrmsr(msr, value) }
}

/// Registers with entry points, bases and modes of the hypervisor.
const fn is_ours(msr: u32) -> bool {
    matches!(msr, 0x1b | 0x174..=0x176 | 0x277 | 0xc000_0080..=0xc000_0084 | 0xc000_0100..=0xc000_0102)
}
