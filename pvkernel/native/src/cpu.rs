//! The sensitive instructions, one function each.
//!
//! This module stands where the hypercalls are in the other backend. What a function changes is
//! memory's meaning or where the processor goes next, so most of them are unsafe; those that only
//! read, or stop for a while, are not.

use core::arch::asm;

/// Bits of CR0.
pub mod cr0 {
    /// The FPU is locked: its next use is an exception.
    pub const TS: u64 = 1 << 3;
    /// Paging, write protection, numeric errors, extension type, FPU waits, protection; caches on.
    pub const KERNEL: u64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1;
}

/// Bits of CR4.
pub mod cr4 {
    /// Long entries in page tables.
    pub const PAE: u64 = 1 << 5;
    /// Programs do not see where the kernel's tables are.
    pub const UMIP: u64 = 1 << 11;
    /// `fxsave`, and exceptions of SSE.
    pub const SSE: u64 = 1 << 9 | 1 << 10;
    /// The kernel does not run pages of programs.
    pub const SMEP: u64 = 1 << 20;
    /// The kernel does not read or write pages of programs.
    pub const SMAP: u64 = 1 << 21;
}

/// Model-specific registers.
pub mod msr {
    /// Where the local APIC is.
    pub const APIC_BASE: u32 = 0x1b;
    /// Selectors of `syscall` and `sysret`.
    pub const STAR: u32 = 0xc000_0081;
    /// Where `syscall` goes.
    pub const LSTAR: u32 = 0xc000_0082;
    /// Flags that `syscall` clears.
    pub const SYSCALL_MASK: u32 = 0xc000_0084;
}

/// The flag that lets interrupts in.
const INTERRUPTS: u64 = 1 << 9;

/// What the processor says about itself: eax, ebx, ecx, edx.
#[must_use]
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (eax, ebx, ecx, edx);
    // SAFETY: changes the four registers only; rbx, which the compiler keeps, is put back.
    unsafe {
        asm!("xchg {rbx}, rbx", "cpuid", "xchg {rbx}, rbx", rbx = inout(reg) 0_u64 => ebx,
            inout("eax") leaf => eax, inout("ecx") subleaf => ecx, out("edx") edx,
            options(nomem, nostack, preserves_flags));
    }
    let ebx: u64 = ebx;
    [eax, ebx as u32, ecx, edx]
}

/// Keeps interrupts out; returns whether they were let in.
#[inline]
pub fn disable_interrupts() -> bool {
    let flags: u64;
    // SAFETY: pushes one word and takes it; interrupts that are kept out break nothing.
    unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
    flags & INTERRUPTS != 0
}

/// Lets interrupts in.
///
/// # Safety
/// The interrupt table is loaded, and the caller is not between two steps that belong together.
#[inline]
pub unsafe fn enable_interrupts() {
    // SAFETY: the caller's promise.
    unsafe { asm!("sti", options(nostack)) };
}

/// Lets interrupts in and stops until one has come. Between the two instructions none is taken.
///
/// # Safety
/// As `enable_interrupts`.
pub unsafe fn wait_for_interrupt() {
    // SAFETY: the caller's promise.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}

/// Stops for ever.
pub fn halt() -> ! {
    loop {
        // SAFETY: nothing happens any more.
        unsafe { asm!("cli", "hlt", options(nostack)) };
    }
}

macro_rules! control_register {
    ($read:ident, $write:ident, $name:literal) => {
        #[doc = concat!("Reads ", $name, ".")]
        #[must_use]
        #[inline]
        pub fn $read() -> u64 {
            let value;
            // SAFETY: reading has no effect.
            unsafe {
                asm!(concat!("mov {}, ", $name), out(reg) value,
                    options(nomem, nostack, preserves_flags));
            }
            value
        }

        #[doc = concat!("Writes ", $name, ".")]
        ///
        /// # Safety
        /// The processor has the features, and memory in use keeps its meaning.
        #[inline]
        pub unsafe fn $write(value: u64) {
            // SAFETY: the caller's promise.
            unsafe {
                asm!(concat!("mov ", $name, ", {}"), in(reg) value,
                    options(nostack, preserves_flags));
            }
        }
    };
}

control_register!(read_cr0, write_cr0, "cr0");
control_register!(read_cr2, write_cr2, "cr2");
control_register!(read_cr3, write_cr3, "cr3");
control_register!(read_cr4, write_cr4, "cr4");

/// Forgets the cached translation of an address.
#[inline]
pub fn invlpg(va: u64) {
    // SAFETY: the processor looks at the page tables again, which hold what is valid.
    unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
}

/// Unlocks the FPU.
#[inline]
pub fn clts() {
    // SAFETY: the kernel does not use the FPU; whose registers are in it is known to `user::fpu`.
    unsafe { asm!("clts", options(nomem, nostack, preserves_flags)) };
}

/// Reads a model-specific register.
///
/// # Safety
/// The processor has it.
#[must_use]
pub unsafe fn rdmsr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The processor has it, and goes where the kernel wants it to go.
pub unsafe fn wrmsr(register: u32, value: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

/// A table of descriptors, as `lgdt` and `lidt` take it.
#[repr(C, packed(2))]
struct Table {
    limit: u16,
    base: u64,
}

impl Table {
    const fn new(base: u64, bytes: usize) -> Self {
        Self { limit: (bytes - 1) as u16, base }
    }
}

/// Loads the table of segments and reloads every segment register from it.
///
/// # Safety
/// The table stays for ever; `code` and `data` are flat segments of the kernel in it.
pub unsafe fn load_segments(base: u64, bytes: usize, code: u16, data: u16) {
    let table = Table::new(base, bytes);
    // SAFETY: the caller's promise; a far return is the way to load the code segment.
    unsafe {
        asm!("lgdt [{table}]", "push {code}", "lea {next}, [rip + 2f]", "push {next}", "retfq",
            "2:", "mov ds, {data:x}", "mov es, {data:x}", "mov ss, {data:x}", "mov fs, {zero:x}",
            "mov gs, {zero:x}", table = in(reg) &raw const table, code = in(reg) u64::from(code),
            data = in(reg) u64::from(data), zero = in(reg) 0_u64, next = out(reg) _);
    }
}

/// Loads the table of interrupts.
///
/// # Safety
/// The table stays for ever and leads to the stubs of `common.S`.
pub unsafe fn lidt(base: u64, bytes: usize) {
    let table = Table::new(base, bytes);
    // SAFETY: the caller's promise.
    unsafe { asm!("lidt [{}]", in(reg) &raw const table, options(nostack, preserves_flags)) };
}

/// Loads the task state.
///
/// # Safety
/// The selector is that of a task state which stays for ever.
pub unsafe fn ltr(selector: u16) {
    // SAFETY: the caller's promise.
    unsafe { asm!("ltr {:x}", in(reg) selector, options(nostack, preserves_flags)) };
}

/// Turns on what the processor has to protect the kernel from programs and from itself.
pub(crate) fn protect() {
    let [_, ebx7, ecx7, _] = if cpuid(0, 0)[0] >= 7 { cpuid(7, 0) } else { [0; 4] };
    let optional = [(ebx7, 7, cr4::SMEP), (ebx7, 20, cr4::SMAP), (ecx7, 2, cr4::UMIP)];
    let present = optional.iter().filter(|(word, bit, _)| word >> bit & 1 != 0);
    let flags = present.fold(cr4::PAE | cr4::SSE, |flags, (_, _, flag)| flags | flag);
    // SAFETY: only bits this processor has; nothing of a program is mapped.
    unsafe { write_cr4(flags) };
    // SAFETY: paging and protection stay on.
    unsafe { write_cr0(cr0::KERNEL) };
}
