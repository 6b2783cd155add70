//! Model-specific registers.

use core::arch::asm;

use crate::harness::{Report, NOT_CANONICAL};
use crate::probe::fault_of;

const GP: Result<u64, (u64, u64)> = Err((13, 0));
const EFER: u32 = 0xc000_0080;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const SHADOW_GS_BASE: u32 = 0xc000_0102;

extern "C" fn read(index: u64) -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: emulated or a fault.
    unsafe { asm!("rdmsr", in("ecx") index as u32, out("rax") low, out("rdx") high) };
    high << 32 | low & 0xffff_ffff
}

extern "C" fn write(operands: u64) -> u64 {
    let operands = core::ptr::with_exposed_provenance::<[u64; 2]>(operands as usize);
    // SAFETY: points to the array in `set`, which lives during the call.
    let [index, value] = unsafe { *operands };
    // SAFETY: emulated or a fault; bases are not used by this kernel.
    unsafe {
        asm!("wrmsr", in("ecx") index as u32, in("eax") value as u32, in("edx") (value >> 32) as u32);
    }
    0
}

fn get(index: u32) -> Result<u64, (u64, u64)> {
    fault_of(read, u64::from(index))
}

fn set(index: u32, value: u64) -> Result<u64, (u64, u64)> {
    let operands = [u64::from(index), value];
    fault_of(write, core::ptr::from_ref(&operands) as u64)
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    bases(t);
    fixed(t);
    refused(t);
}

fn bases(t: &mut Report) {
    for (name, index) in [("fs", FS_BASE), ("gs", GS_BASE), ("shadow-gs", SHADOW_GS_BASE)] {
        let named = |what: &str| alloc::format!("{name}-base{what}");
        t.eq(&named("-write"), Ok(0), set(index, 0x1234_5000));
        t.eq(&named("-read"), Ok(0x1234_5000), get(index));
        t.eq(&named("-not-canonical"), GP, set(index, NOT_CANONICAL));
        t.eq(&named("-kept"), Ok(0x1234_5000), get(index));
        t.eq(&named("-clear"), Ok(0), set(index, 0));
    }
}

fn fixed(t: &mut Report) {
    let efer = get(EFER).unwrap_or(0);
    // Long mode on and active, SYSCALL, no-execute.
    t.eq("efer", 0xd01, efer & 0xd01);
    t.eq("efer-no-svm", 0, efer & 1 << 12);
    t.eq("efer-write-same", Ok(0), set(EFER, efer));
    t.eq("efer-write-other", GP, set(EFER, efer ^ 1 << 11));
    t.eq("apic-base", Ok(0xfee0_0900), get(0x1b));
    t.eq("pat", Ok(0x0000_0501_0007_0406), get(0x277));
}

fn refused(t: &mut Report) {
    for (name, index) in [
        ("apic-base", 0x1b),
        ("pat", 0x277),
        ("tsc", 0x10),
        ("star", STAR),
        ("lstar", LSTAR),
        ("sysenter-cs", 0x174),
        ("mtrr-def-type", 0x2ff),
        ("hypercall-page-2", 0x4000_0001),
        ("unknown", 0xdead_beef),
    ] {
        t.eq(&alloc::format!("{name}-write"), GP, set(index, 0));
    }
    for (name, index) in [
        ("lstar", LSTAR),
        ("sysenter-cs", 0x174),
        ("mtrr-def-type", 0x2ff),
        ("rapl", 0x611),
        ("tsx-ctrl", 0x122),
        ("x2apic-id", 0x802),
        ("unknown", 0xdead_beef),
    ] {
        t.eq(&alloc::format!("{name}-read"), GP, get(index));
    }
    t.eq("hypercall-page-read", Ok(0), get(0x4000_0000));
    t.eq("hypercall-page-bad-frame", GP, set(0x4000_0000, 1 << 50));
    t.eq("hypercall-page-bad-index", GP, set(0x4000_0000, 1));
}
