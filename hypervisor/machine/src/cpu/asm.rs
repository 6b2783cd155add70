//! Single privileged instructions.
//!
//! Used by the modules of this crate, which decide when an instruction is in order. Functions whose
//! effect cannot break the hypervisor's own memory are safe; the others say what they require.

use core::arch::asm;

/// Defines functions that read a register.
macro_rules! readers {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident = $register:literal;)+) => {$(
        $(#[$doc])*
        $vis fn $name() -> u64 {
            let value;
            // SAFETY: reading the register has no effect.
            unsafe {
                asm!(concat!("mov {}, ", $register), out(reg) value,
                    options(nomem, nostack, preserves_flags));
            }
            value
        }
    )+};
}

/// Defines functions that write a register.
macro_rules! writers {
    ($($(#[$doc:meta])* unsafe fn $name:ident = $instruction:literal;)+) => {$(
        // The `# Safety` section is part of the documentation of each line that uses this macro.
        $(#[$doc])*
        pub(crate) unsafe fn $name(value: u64) {
            // SAFETY: as required of the caller.
            unsafe { asm!($instruction, in(reg) value, options(nostack, preserves_flags)) };
        }
    )+};
}

/// Defines functions for instructions without operands and without requirements.
macro_rules! plain {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident = $($instruction:literal),+;)+) => {$(
        $(#[$doc])*
        $vis fn $name() {
            // SAFETY: affects neither memory nor registers the hypervisor relies on. Where the
            // instructions let interrupts in, the handlers of `trap.S` keep all registers and use
            // only stack below the present one.
            unsafe { asm!($($instruction),+) };
        }
    )+};
}

readers! {
    /// CR0 as it is.
    pub fn host_cr0 = "cr0";
    /// Address of the last page fault on this CPU.
    pub fn cr2 = "cr2";
    /// The root table and its flags.
    pub(crate) fn read_cr3 = "cr3";
    pub(crate) fn read_dr6 = "dr6";
    pub(crate) fn read_ds = "ds";
    pub(crate) fn read_es = "es";
    pub(crate) fn read_fs = "fs";
    pub(crate) fn read_gs = "gs";
}

writers! {
    /// Writes CR0.
    ///
    /// # Safety
    /// Paging, protection and write protection must stay on.
    unsafe fn write_cr0 = "mov cr0, {}";
    /// Loads the root table.
    ///
    /// # Safety
    /// The table must map the hypervisor as every root table does, and no reserved bit be set.
    unsafe fn write_cr3 = "mov cr3, {}";
    /// Writes CR4.
    ///
    /// # Safety
    /// Only bits this CPU has; PAE must stay on. (QEMU's emulation repeats the instruction for ever
    /// when a reserved bit is set.)
    unsafe fn write_cr4 = "mov cr4, {}";
    /// Loads the register of the local descriptor table.
    ///
    /// # Safety
    /// The selector must be 0 or name an LDT descriptor.
    unsafe fn lldt = "lldt {:x}";
}

plain! {
    /// Sleeps until an interrupt has been handled. The caller has checked that there is no work; an
    /// interrupt that arrives after that check still wakes: `sti` takes effect after `hlt` began.
    pub fn idle_wait = "sti", "hlt", "cli";
    /// Stops this CPU until an NMI.
    pub(crate) fn cli_hlt = "cli", "hlt";
    /// Writes back and empties the caches.
    pub fn wbinvd = "wbinvd";
    /// Unlocks the FPU.
    pub fn clts = "clts";
    /// Exchanges the GS bases of the guest's two modes.
    pub fn swapgs = "swapgs";
}

/// Drops one page's translation on this CPU.
pub fn invlpg(va: u64) {
    // SAFETY: dropping a cached translation only makes the CPU read the tables again.
    unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
}

/// The time stamp counter.
pub fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading the counter has no effect.
    unsafe {
        asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// What the CPU reports about itself.
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (eax, ebx, ecx, edx): (u32, u64, u32, u32);
    // SAFETY: the instruction only reports; rbx, which the compiler keeps for itself, is restored.
    unsafe {
        asm!("mov {saved}, rbx", "cpuid", "xchg {saved}, rbx", saved = out(reg) ebx,
            inout("eax") leaf => eax, inout("ecx") subleaf => ecx, out("edx") edx,
            options(nomem, nostack, preserves_flags));
    }
    [eax, ebx as u32, ecx, edx]
}

/// A table register's operand in memory.
#[repr(C, packed)]
pub(crate) struct TablePointer {
    limit: u16,
    base: u64,
}

impl TablePointer {
    /// Names a table by its address and its last byte.
    pub(crate) const fn new(base: u64, limit: u16) -> Self {
        Self { limit, base }
    }
}

/// Loads the interrupt descriptor table.
///
/// # Safety
/// The table must stay where it is and every gate lead to a handler.
pub(crate) unsafe fn lidt(table: &TablePointer) {
    // SAFETY: as required of the caller.
    unsafe { asm!("lidt [{}]", in(reg) table, options(readonly, nostack, preserves_flags)) };
}

/// Loads the global descriptor table, CS by a far return, SS, and the task register.
///
/// # Safety
/// The table must stay where it is and hold flat ring-0 segments at `cs` and `ss` and an available
/// task state with valid stacks at `task`.
pub(crate) unsafe fn load_segment_tables(table: &TablePointer, cs: u16, ss: u16, task: u16) {
    // SAFETY: as required of the caller; the far return goes to the next instruction.
    unsafe {
        asm!("lgdt [{table}]", "push {cs:r}", "lea {next}, [rip + 2f]", "push {next}", "retfq", "2:",
            "mov ss, {ss:x}", "ltr {task:x}", table = in(reg) table, cs = in(reg) u64::from(cs),
            ss = in(reg) ss, task = in(reg) task, next = out(reg) _, options(preserves_flags));
    }
}
