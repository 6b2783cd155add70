//! The ways into the hypervisor and back to the guest.
//!
//! The paths are assembly, one file each; this module gives them their constants and holds the two
//! Rust functions they call for events of ring 0. Invariant: interrupts are off in the hypervisor
//! except in `cpu::idle_wait`, so there is at most one guest frame per CPU, at the head of its stack.
//!
//! It decides nothing about guests: that is the hooks' part.

pub(crate) mod hooks;
pub(crate) mod idt;
pub(crate) mod regs;
pub(crate) mod ring0;

use crate::layout::{percpu_page, window, STACK_SIZE};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use hooks::{hooks, Hooks};
use hypercall_abi::regs as abi;
use regs::{CpuInfo, GuestRegs, CPUINFO_SIZE, VECTOR_SYSCALL_EXIT};

/// Flags a guest may run with: not IOPL, not VM, nothing unknown.
const FLAGS_ALLOWED: u32 = 0x0025_4dd5;
/// Flags a guest always runs with: IF, and bit 1.
const FLAGS_FORCED: u32 = 0x202;
const FLAG_TF: u32 = 0x100;
/// Offset of the entry for 32-bit code in the page of `syscall` entries.
pub(crate) const STUB32: u64 = 32;
/// Distance from that page to the CPU's `CpuInfo`: the same in every CPU's window.
const STUBS_TO_INFO: u64 = stack_head(0) - percpu_page(0, window::STUBS);

/// Assembles the files; fields of the structures are known there by their offsets from `CpuInfo`.
macro_rules! entry_asm {
    ($($file:literal)+; $($reg:ident)+; $($field:ident)+; $($hook:ident)+) => {
        global_asm!(
            $(include_str!($file),)+
            $($reg = const reg(offset_of!(GuestRegs, $reg)),)+
            $($field = const offset_of!(CpuInfo, $field),)+
            $($hook = const offset_of!(Hooks<hooks::Opaque>, $hook),)+
            CPUINFO_SIZE = const CPUINFO_SIZE,
            STACK_MASK = const STACK_SIZE - 1,
            STUB_SIZE = const idt::STUB_SIZE,
            STUB32 = const STUB32,
            STUBS_TO_INFO = const STUBS_TO_INFO,
            STUBS_TO_RSP = const STUBS_TO_INFO + reg(offset_of!(GuestRegs, rsp)) as u64,
            VECTOR_SYSCALL_EXIT = const VECTOR_SYSCALL_EXIT,
            FLAGS_ALLOWED = const FLAGS_ALLOWED,
            FLAGS_FORCED = const FLAGS_FORCED,
            FLAG_TF = const FLAG_TF,
            NR_IRET = const hypercall_abi::nr::IRET,
            USER_CS32 = const abi::FLAT_RING3_CS32,
            USER_CS64 = const abi::FLAT_RING3_CS64,
            USER_SS = const abi::FLAT_RING3_SS64,
        );
    };
}

/// Offset of a register from the start of `CpuInfo`.
const fn reg(offset: usize) -> usize {
    offset + offset_of!(CpuInfo, regs)
}

entry_asm!(
    "frame.S" "syscall.S" "exit.S" "trap.S";
    r15 r11 r10 rax rcx rdx error_code vector rip cs rflags rsp ss;
    regs work kernel_mode vcpu_words current;
    hypercall iret syscall rare_syscall page_fault exception examine iret_fault event exit_work
);

/// Leaves the boot code of this CPU for ever: from here on it runs what `exit_work` picks.
pub(crate) fn enter_exit_loop() -> ! {
    let current = core::ptr::from_mut((hooks().current)()).expose_provenance();
    crate::percpu::info().current.store(current as u64, Ordering::Relaxed);
    // SAFETY: the head of this CPU's own stack, as the path expects; what lies on the stack is given
    // up, which the return type says to the compiler. Interrupts are off outside `idle_wait`.
    unsafe {
        asm!("mov rsp, {}", "jmp hv_exit_to_guest", in(reg) crate::percpu::info_ptr(),
            options(noreturn));
    }
}

/// Continues with `function` at the head of the stack of CPU `cpu`.
///
/// # Safety
/// The stack must be mapped, not in use, and no reference into the present one may be used later.
pub(crate) unsafe fn call_on_stack(cpu: u32, function: extern "C" fn(u64) -> !, arg: u64) -> ! {
    // SAFETY: as required of the caller; the frame-pointer chain ends here.
    unsafe {
        asm!("mov rsp, {}", "xor ebp, ebp", "call {}", "ud2", in(reg) stack_head(cpu),
            in(reg) function, in("rdi") arg, options(noreturn));
    }
}

/// Address of the `CpuInfo` of CPU `cpu`.
pub(crate) const fn stack_head(cpu: u32) -> u64 {
    percpu_page(cpu, window::STACK) + STACK_SIZE - CPUINFO_SIZE
}
