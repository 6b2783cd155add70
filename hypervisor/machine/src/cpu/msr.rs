//! Model-specific registers that may not exist.

use core::arch::asm;

/// Reads a register; `None` when the CPU refuses.
#[must_use]
pub fn rdmsr_safe(msr: u32) -> Option<u64> {
    let (low, high, failed): (u32, u32, u32);
    // SAFETY: reading has no effect on memory; a fault of instruction 2 continues at 4.
    unsafe {
        asm!(
            "2: rdmsr",
            "3:",
            ".pushsection .hv_fixup, \"ax\"",
            "4: mov {failed:e}, 1",
            "jmp 3b",
            ".popsection",
            ".pushsection .hv_extable, \"a\"",
            ".quad 2b, 4b",
            ".popsection",
            failed = inout(reg) 0_u32 => failed,
            in("ecx") msr,
            out("eax") low,
            out("edx") high,
            options(nomem, nostack, preserves_flags),
        );
    }
    (failed == 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// Writes a register; false when the CPU refuses. For registers that hold plain state or control
/// devices of the processor: those that hold addresses of the hypervisor are refused here.
pub fn wrmsr_safe(msr: u32, value: u64) -> bool {
    if is_ours(msr) {
        return false;
    }
    let failed: u32;
    // SAFETY: registers the hypervisor relies on are refused above; a fault of instruction 2
    // continues at 4.
    unsafe {
        asm!(
            "2: wrmsr",
            "3:",
            ".pushsection .hv_fixup, \"ax\"",
            "4: mov {failed:e}, 1",
            "jmp 3b",
            ".popsection",
            ".pushsection .hv_extable, \"a\"",
            ".quad 2b, 4b",
            ".popsection",
            failed = inout(reg) 0_u32 => failed,
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags),
        );
    }
    failed == 0
}

/// Registers with entry points, bases and modes of the hypervisor.
const fn is_ours(msr: u32) -> bool {
    matches!(msr, 0x1b | 0x174..=0x176 | 0x277 | 0xc000_0080..=0xc000_0084 | 0xc000_0100..=0xc000_0102)
}
