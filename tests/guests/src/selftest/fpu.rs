//! FPU state, the task-switched flag, and x87 exceptions (TCG does not raise those of SSE).

use core::arch::asm;

use crate::harness::{hypercall, Report};
use crate::probe::fault_of;
use hypercall_abi::nr;

extern "C" fn fpu_nop(_: u64) -> u64 {
    // SAFETY: changes nothing.
    unsafe { asm!("fnop") };
    0x77
}

extern "C" fn sse_nop(_: u64) -> u64 {
    // SAFETY: changes a register the kernel does not use.
    unsafe { asm!("xorps xmm0, xmm0") };
    0x77
}

extern "C" fn x87_divide(_: u64) -> u64 {
    let control: u16 = 0x037b;
    // SAFETY: unmasks the exception of a division by zero, which the probe catches.
    unsafe { asm!("fninit", "fldcw [{}]", "fld1", "fldz", "fdivp", "fwait", in(reg) &control) };
    0
}

extern "C" fn reset(_: u64) -> u64 {
    let control: u32 = 0x1f80;
    // SAFETY: the state the vCPU began with.
    unsafe { asm!("fninit", "ldmxcsr [{}]", in(reg) &control) };
    0
}

fn control_words() -> (u16, u32) {
    let (mut x87, mut sse) = (0u16, 0u32);
    // SAFETY: stores the words to variables.
    unsafe { asm!("fnstcw [{}]", "stmxcsr [{}]", in(reg) &mut x87, in(reg) &mut sse) };
    (x87, sse)
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    t.eq("initial-control-words", (0x37f, 0x1f80), control_words());
    t.eq("x87", Ok(0x77), fault_of(fpu_nop, 0));
    t.eq("sse", Ok(0x77), fault_of(sse_nop, 0));
    t.ret("taskswitch-set", 0, hypercall(nr::FPU_TASKSWITCH, &[1]));
    t.eq("taskswitch-traps", Err((7, 0)), fault_of(fpu_nop, 0));
    t.eq("taskswitch-cleared-by-trap", Ok(0x77), fault_of(fpu_nop, 0));
    t.ret("taskswitch-set-again", 0, hypercall(nr::FPU_TASKSWITCH, &[1]));
    t.eq("taskswitch-traps-sse", Err((7, 0)), fault_of(sse_nop, 0));
    t.ret("taskswitch-set-third", 0, hypercall(nr::FPU_TASKSWITCH, &[1]));
    t.ret("taskswitch-clear", 0, hypercall(nr::FPU_TASKSWITCH, &[0]));
    t.eq("taskswitch-cleared", Ok(0x77), fault_of(fpu_nop, 0));
    t.eq("x87-divide", Err((16, 0)), fault_of(x87_divide, 0));
    let _ = fault_of(reset, 0);
    state_survives(t);
}

/// Registers keep their values while other domains and the hypervisor run.
fn state_survives(t: &mut Report) {
    let value = 0x1234_5678_9abc_def0u64;
    // SAFETY: a register the kernel does not use.
    unsafe { asm!("movq xmm5, {}", in(reg) value) };
    pvkernel_xen::thread::sleep_ns(2_000_000);
    let after: u64;
    // SAFETY: as above.
    unsafe { asm!("movq {}, xmm5", out(reg) after) };
    t.eq("state-survives-sleep", value, after);
}
