//! Puts one CPU into the state the hypervisor runs in: control registers, entry points, tables.
//!
//! Called by the boot code of each CPU, on any stack with a `CpuInfo`, once its window exists. After
//! it, exceptions are handled and a guest can be entered.

use super::{asm, features, gdt, msr};
use crate::entry::{idt, regs::CpuInfo, stack_head, STUB32};
use crate::layout::{percpu_page, window, PAGE, STACK_SIZE};
use crate::GuestRegs;
use core::mem::offset_of;
use hypercall_abi::regs::FLAT_RING3_CS32;

const MSR_SYSENTER_CS: u32 = 0x174;
const MSR_SYSENTER_ESP: u32 = 0x175;
const MSR_SYSENTER_EIP: u32 = 0x176;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_CSTAR: u32 = 0xc000_0083;
const MSR_SYSCALL_MASK: u32 = 0xc000_0084;

/// TF, IF, DF, NT, RF, AC: cleared by `syscall`.
const SYSCALL_MASK: u64 = 0x100 | 0x200 | 0x400 | 0x4000 | 0x1_0000 | 0x4_0000;
/// CR0: paging, write protection, numeric errors, extension type, protection; caches on.
const CR0: u64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1;

extern "C" {
    fn hv_sysenter();
}

/// The task state segment as 64-bit words, though the addresses in it lie between those.
pub(crate) fn task_state(cpu: u32) -> [u64; 13] {
    let stack = percpu_page(cpu, window::STACK);
    let ring0 = stack_head(cpu) + offset_of!(CpuInfo, regs) as u64 + size_of::<GuestRegs>() as u64;
    // The fatal stack has a page; NMI and debug share one, whose halves are ample for assembly.
    let fatal = stack + PAGE;
    let nmi = stack + PAGE + PAGE / 2;
    let debug = stack + 2 * PAGE;
    let mut words = [0; 13];
    for (index, value) in [(0, ring0), (4, fatal), (5, nmi), (6, debug)] {
        words[index] |= value << 32;
        words[index + 1] |= value >> 32;
    }
    // No I/O permission bitmap: its offset is the end of the segment.
    words[12] |= 104 << 48;
    words
}

/// Makes this CPU ready; its window has been built.
pub(crate) fn init(cpu: u32) {
    // SAFETY: paging, protection and write protection stay on.
    unsafe { asm::write_cr0(CR0) };
    // SAFETY: only bits this CPU has, PAE among them.
    unsafe { asm::write_cr4(features().host_cr4) };
    gdt::load(cpu);
    idt::load();
    let stubs = percpu_page(cpu, window::STUBS);
    let sysenter = (hv_sysenter as *const ()).addr() as u64;
    let cs = u64::from(gdt::HYPERVISOR_CS);
    let entries = [
        (MSR_STAR, u64::from(FLAT_RING3_CS32) << 48 | cs << 32),
        (MSR_LSTAR, stubs),
        (MSR_CSTAR, stubs + STUB32),
        (MSR_SYSCALL_MASK, SYSCALL_MASK),
        // Of no effect on AMD's processors, which have no `sysenter` in long mode.
        (MSR_SYSENTER_CS, cs),
        (MSR_SYSENTER_ESP, stack_head(cpu)),
        (MSR_SYSENTER_EIP, sysenter),
    ];
    for (register, value) in entries {
        // SAFETY: the values are entry points and selectors of the hypervisor.
        unsafe { msr::wrmsr(register, value) };
    }
    super::xsetbv(super::host_xcr0());
    super::clear_debug_regs();
}

const _: () = assert!(STACK_SIZE == 8 * PAGE);
