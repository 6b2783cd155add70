//! The ways into the hypervisor and back to the guest.
//!
//! The paths are assembly, one file each; this module gives them their constants and holds the two
//! Rust functions they call for events of ring 0. Invariant: interrupts are off in the hypervisor
//! except in `cpu::idle_wait`, so there is at most one guest frame per CPU, at the head of its stack.
//!
//! It decides nothing about guests: that is the hooks' part.

pub(crate) mod idt;
pub(crate) mod ring0;
pub(crate) mod stubs;

use crate::hooks::Hooks;
use crate::layout::STACK_SIZE;
use crate::regs::{CpuInfo, GuestRegs, CPUINFO_SIZE, VECTOR_SYSCALL_EXIT};
use core::arch::global_asm;
use core::mem::offset_of;
use hypercall_abi::regs as abi;

/// Flags a guest may run with: not IOPL, not VM, nothing unknown.
const FLAGS_ALLOWED: u32 = 0x0025_4dd5;
/// Flags a guest always runs with: IF, and bit 1.
const FLAGS_FORCED: u32 = 0x202;
const FLAG_TF: u32 = 0x100;

macro_rules! entry_asm {
    ($($file:literal),+) => {
        global_asm!(
            $(include_str!($file),)+
            R15 = const reg(offset_of!(GuestRegs, r15)),
            R14 = const reg(offset_of!(GuestRegs, r14)),
            R13 = const reg(offset_of!(GuestRegs, r13)),
            R12 = const reg(offset_of!(GuestRegs, r12)),
            RBP = const reg(offset_of!(GuestRegs, rbp)),
            RBX = const reg(offset_of!(GuestRegs, rbx)),
            R11 = const reg(offset_of!(GuestRegs, r11)),
            R10 = const reg(offset_of!(GuestRegs, r10)),
            R9 = const reg(offset_of!(GuestRegs, r9)),
            R8 = const reg(offset_of!(GuestRegs, r8)),
            RAX = const reg(offset_of!(GuestRegs, rax)),
            RCX = const reg(offset_of!(GuestRegs, rcx)),
            RDX = const reg(offset_of!(GuestRegs, rdx)),
            RSI = const reg(offset_of!(GuestRegs, rsi)),
            RDI = const reg(offset_of!(GuestRegs, rdi)),
            ERROR_CODE = const reg(offset_of!(GuestRegs, error_code)),
            VECTOR = const reg(offset_of!(GuestRegs, vector)),
            RIP = const reg(offset_of!(GuestRegs, rip)),
            CS = const reg(offset_of!(GuestRegs, cs)),
            RFLAGS = const reg(offset_of!(GuestRegs, rflags)),
            RSP = const reg(offset_of!(GuestRegs, rsp)),
            SS = const reg(offset_of!(GuestRegs, ss)),
            REGS = const offset_of!(CpuInfo, regs),
            WORK = const offset_of!(CpuInfo, work),
            KERNEL_MODE = const offset_of!(CpuInfo, kernel_mode),
            UPCALL_PAIR = const offset_of!(CpuInfo, upcall_pair),
            CPUINFO_SIZE = const CPUINFO_SIZE,
            STACK_MASK = const STACK_SIZE - 1,
            VECTOR_SYSCALL_EXIT = const VECTOR_SYSCALL_EXIT,
            FLAGS_ALLOWED = const FLAGS_ALLOWED,
            FLAGS_FORCED = const FLAGS_FORCED,
            FLAG_TF = const FLAG_TF,
            USER_CS32 = const abi::FLAT_RING3_CS32,
            USER_CS64 = const abi::FLAT_RING3_CS64,
            USER_SS = const abi::FLAT_RING3_SS64,
            HOOK_HYPERCALL = const offset_of!(Hooks, hypercall),
            HOOK_SYSCALL = const offset_of!(Hooks, syscall),
            HOOK_EXCEPTION = const offset_of!(Hooks, exception),
            HOOK_IRET_FAULT = const offset_of!(Hooks, iret_fault),
            HOOK_EXIT_WORK = const offset_of!(Hooks, exit_work),
        );
    };
}

/// Offset of a register from the start of `CpuInfo`.
const fn reg(offset: usize) -> usize {
    offset + offset_of!(CpuInfo, regs)
}

entry_asm!("frame.S", "exit.S", "syscall.S", "trap.S");

extern "C" {
    fn hv_enter_exit_loop(info: *mut CpuInfo) -> !;
    fn hv_call_on_stack(top: u64, function: extern "C" fn(u64) -> !, argument: u64) -> !;
}

/// Leaves the boot code of this CPU for ever: from here on it runs what `exit_work` picks.
pub(crate) fn enter_exit_loop() -> ! {
    let info = crate::percpu::info_ptr();
    // SAFETY: `info` is the head of this CPU's own stack; what lies on the stack is given up, which
    // the return type says to the compiler. Interrupts are off outside `idle_wait`.
    unsafe { hv_enter_exit_loop(info) }
}

/// Continues with `function` at the head of the stack of CPU `cpu`.
///
/// # Safety
/// The stack must be mapped, not in use, and no reference into the present one may be used later.
pub(crate) unsafe fn call_on_stack(cpu: u32, function: extern "C" fn(u64) -> !, arg: u64) -> ! {
    let top = stack_head(cpu);
    // SAFETY: as required of the caller.
    unsafe { hv_call_on_stack(top, function, arg) }
}

/// Address of the `CpuInfo` of CPU `cpu`.
pub(crate) const fn stack_head(cpu: u32) -> u64 {
    crate::layout::percpu_page(cpu, crate::layout::window::STACK) + STACK_SIZE - CPUINFO_SIZE
}
