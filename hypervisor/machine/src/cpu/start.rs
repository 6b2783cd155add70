//! Puts one CPU into the state the hypervisor runs in: control registers, entry points, tables.
//!
//! Called by the boot code of each CPU, on any stack with a `CpuInfo`, once its window exists. After
//! it, exceptions are handled and a guest can be entered.

use super::{asm, features, gdt};
use crate::entry::{idt, stack_head, stubs};
use crate::layout::{percpu_page, window, PAGE, STACK_SIZE};
use crate::percpu::CpuId;
use crate::regs::{CpuInfo, GuestRegs};
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

/// Words of a task state segment, as the CPU reads them 32 bits at a time.
pub(crate) fn task_state(cpu: u32) -> [u32; 26] {
    let stack = percpu_page(cpu, window::STACK);
    let ring0 = stack_head(cpu) + offset_of!(CpuInfo, regs) as u64 + size_of::<GuestRegs>() as u64;
    // The fatal stack has a page; NMI and debug share one, whose halves are ample for assembly.
    let fatal = stack + PAGE;
    let nmi = stack + PAGE + PAGE / 2;
    let debug = stack + 2 * PAGE;
    let mut words = [0; 26];
    for (index, value) in [(1, ring0), (9, fatal), (11, nmi), (13, debug)] {
        words[index] = value as u32;
        words[index + 1] = (value >> 32) as u32;
    }
    // No I/O permission bitmap: its offset is the end of the segment.
    words[25] = 104 << 16;
    words
}

/// Makes this CPU ready; its window has been built.
pub(crate) fn init(cpu: CpuId) {
    // SAFETY: paging, protection and write protection stay on.
    unsafe { asm::write_cr0(CR0) };
    // SAFETY: only bits this CPU has, PAE among them.
    unsafe { asm::write_cr4(features().host_cr4) };
    gdt::load();
    idt::load();
    let (long, compat) = stubs::targets(cpu.0);
    let star = u64::from(FLAT_RING3_CS32) << 48 | u64::from(gdt::HYPERVISOR_CS) << 32;
    entry_msr(MSR_STAR, star);
    entry_msr(MSR_LSTAR, long);
    entry_msr(MSR_CSTAR, compat);
    entry_msr(MSR_SYSCALL_MASK, SYSCALL_MASK);
    if !features().amd_style {
        entry_msr(MSR_SYSENTER_CS, u64::from(gdt::HYPERVISOR_CS));
        entry_msr(MSR_SYSENTER_ESP, stack_head(cpu.0));
        entry_msr(MSR_SYSENTER_EIP, stubs::sysenter_target());
    }
    super::xsetbv(super::host_xcr0());
    super::clear_debug_regs();
}

fn entry_msr(msr: u32, value: u64) {
    // SAFETY: every 64-bit CPU has the register (the sysenter ones: every CPU that is not AMD-like
    // too); the values are entry points and selectors of the hypervisor.
    unsafe { asm::wrmsr(msr, value) };
}

const _: () = assert!(STACK_SIZE == 8 * PAGE);
