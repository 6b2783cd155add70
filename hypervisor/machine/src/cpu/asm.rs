//! Single privileged instructions.
//!
//! Used by the modules of this crate, which decide when an instruction is in order. Functions whose
//! effect cannot break the hypervisor's own memory are safe; the others say what they require.

use core::arch::asm;

/// Reads a model-specific register that exists.
///
/// # Safety
/// The register must exist on this CPU.
#[inline]
pub(crate) unsafe fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading has no effect on memory; that the register exists is the caller's part.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register that exists.
///
/// # Safety
/// The register must exist and accept the value, and the value must keep the hypervisor running.
#[inline]
pub(crate) unsafe fn wrmsr(msr: u32, value: u64) {
    // SAFETY: as required of the caller.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

/// Loads the root table.
///
/// # Safety
/// The table must map the hypervisor as every root table does, and `cr3` have no reserved bit set.
#[inline]
pub(crate) unsafe fn write_cr3(cr3: u64) {
    // SAFETY: as required of the caller.
    unsafe { asm!("mov cr3, {}", in(reg) cr3, options(nostack, preserves_flags)) };
}

/// The root table and its flags.
#[inline]
pub(crate) fn read_cr3() -> u64 {
    let cr3;
    // SAFETY: reading a control register has no effect.
    unsafe { asm!("mov {}, cr3", out(reg) cr3, options(nomem, nostack, preserves_flags)) };
    cr3
}

/// Address of the last page fault.
#[inline]
pub(crate) fn read_cr2() -> u64 {
    let cr2;
    // SAFETY: reading a control register has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) };
    cr2
}

/// CR0.
#[inline]
pub(crate) fn read_cr0() -> u64 {
    let cr0;
    // SAFETY: reading a control register has no effect.
    unsafe { asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack, preserves_flags)) };
    cr0
}

/// Writes CR0.
///
/// # Safety
/// Paging, protection and write protection must stay on.
#[inline]
pub(crate) unsafe fn write_cr0(cr0: u64) {
    // SAFETY: as required of the caller.
    unsafe { asm!("mov cr0, {}", in(reg) cr0, options(nostack, preserves_flags)) };
}

/// Writes CR4.
///
/// # Safety
/// Only bits this CPU has; PAE must stay on. (QEMU's emulation repeats the instruction for ever when
/// a reserved bit is set.)
#[inline]
pub(crate) unsafe fn write_cr4(cr4: u64) {
    // SAFETY: as required of the caller.
    unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags)) };
}

/// Drops one page's translation on this CPU.
#[inline]
pub(crate) fn invlpg(va: u64) {
    // SAFETY: dropping a cached translation only makes the CPU read the tables again.
    unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
}

/// The time stamp counter.
#[inline]
pub(crate) fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading the counter has no effect.
    unsafe {
        asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// A table register's operand in memory.
#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// Loads the interrupt descriptor table.
///
/// # Safety
/// The table must stay where it is and every gate lead to a handler.
pub(crate) unsafe fn lidt(base: u64, limit: u16) {
    let pointer = TablePointer { limit, base };
    // SAFETY: as required of the caller.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack)) };
}

/// Loads the global descriptor table.
///
/// # Safety
/// The table must stay where it is and hold the selectors in use.
pub(crate) unsafe fn lgdt(base: u64, limit: u16) {
    let pointer = TablePointer { limit, base };
    // SAFETY: as required of the caller.
    unsafe { asm!("lgdt [{}]", in(reg) &raw const pointer, options(readonly, nostack)) };
}

/// Loads the task register.
///
/// # Safety
/// The selector must name an available TSS with valid stacks.
pub(crate) unsafe fn ltr(selector: u16) {
    // SAFETY: as required of the caller.
    unsafe { asm!("ltr {:x}", in(reg) selector, options(nostack, preserves_flags)) };
}

/// Loads the register of the local descriptor table.
///
/// # Safety
/// The selector must be 0 or name an LDT descriptor.
pub(crate) unsafe fn lldt(selector: u16) {
    // SAFETY: as required of the caller.
    unsafe { asm!("lldt {:x}", in(reg) selector, options(nostack, preserves_flags)) };
}

/// Loads CS by a far return, and SS.
///
/// # Safety
/// The selectors must name flat ring-0 descriptors of the loaded table.
pub(crate) unsafe fn load_cs_ss(cs: u16, ss: u16) {
    // SAFETY: as required of the caller; the far return goes to the next instruction.
    unsafe {
        asm!("push {cs:r}", "lea {tmp}, [rip + 2f]", "push {tmp}", "retfq", "2:",
            "mov ss, {ss:x}",
            cs = in(reg) u64::from(cs), ss = in(reg) ss, tmp = out(reg) _,
            options(preserves_flags));
    }
}

/// `cpuid`.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (eax, ebx, ecx, edx): (u32, u64, u32, u32);
    // SAFETY: the instruction only reports; rbx, which the compiler keeps for itself, is restored.
    unsafe {
        asm!("mov {saved}, rbx", "cpuid", "xchg {saved}, rbx", saved = out(reg) ebx,
            inout("eax") leaf => eax, inout("ecx") subleaf => ecx, out("edx") edx,
            options(nomem, nostack, preserves_flags));
    }
    [eax, ebx as u32, ecx, edx]
}

/// Halts with interrupts on until one has been handled, and turns them off again.
#[inline]
pub(crate) fn sti_hlt_cli() {
    // SAFETY: the handlers of `trap.S` keep all registers and use only stack below the present one.
    // An interrupt cannot slip in before `hlt`: `sti` takes effect after the next instruction.
    unsafe { asm!("sti", "hlt", "cli") };
}

/// Stops this CPU.
pub(crate) fn cli_hlt() {
    // SAFETY: nothing happens until an NMI or reset.
    unsafe { asm!("cli", "hlt") };
}

/// Writes back and invalidates the caches.
pub(crate) fn wbinvd() {
    // SAFETY: memory keeps its content.
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
}
