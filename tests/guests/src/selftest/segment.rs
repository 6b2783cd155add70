//! Segment bases.

use core::arch::asm;

use crate::harness::{hypercall, Report, NOT_CANONICAL};
use hypercall_abi::segment::{SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER, SEGBASE_GS_USER_SEL};
use hypercall_abi::{nr, Errno};

fn set(which: u32, base: u64) -> i64 {
    hypercall(nr::SET_SEGMENT_BASE, &[u64::from(which), base])
}

fn read_fs() -> u64 {
    let value: u64;
    // SAFETY: the base was just set to a variable.
    unsafe { asm!("mov {}, fs:[0]", out(reg) value, options(nostack, readonly)) };
    value
}

fn read_gs() -> u64 {
    let value: u64;
    // SAFETY: the base was just set to a variable.
    unsafe { asm!("mov {}, gs:[0]", out(reg) value, options(nostack, readonly)) };
    value
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let values = [0x1111_u64, 0x2222];
    let at = |index: usize| core::ptr::from_ref(&values[index]) as u64;
    t.ret("fs", 0, set(SEGBASE_FS, at(0)));
    t.eq("fs-used", values[0], read_fs());
    t.ret("gs-kernel", 0, set(SEGBASE_GS_KERNEL, at(1)));
    t.eq("gs-kernel-used", values[1], read_gs());
    t.ret("gs-user", 0, set(SEGBASE_GS_USER, at(0)));
    t.eq("gs-user-does-not-show-in-kernel", values[1], read_gs());
    t.eq("fs-survives-hypercalls", values[0], read_fs());
    for (name, which) in
        [("fs", SEGBASE_FS), ("gs-kernel", SEGBASE_GS_KERNEL), ("gs-user", SEGBASE_GS_USER)]
    {
        let name = alloc::format!("{name}-not-canonical");
        t.errno(&name, Errno::EINVAL, set(which, NOT_CANONICAL));
    }
    t.eq("refused-keeps-base", values[0], read_fs());
    t.ret("gs-user-selector-null", 0, set(SEGBASE_GS_USER_SEL, 0));
    t.ret("gs-user-selector-bad", 0, set(SEGBASE_GS_USER_SEL, 0x1233));
    t.ret("gs-user-selector-flat", 0, set(SEGBASE_GS_USER_SEL, 0xe02b));
    t.ret("gs-user-selector-null-again", 0, set(SEGBASE_GS_USER_SEL, 0));
    t.eq("gs-user-selector-leaves-kernel-base", values[1], read_gs());
    t.errno("unknown", Errno::EINVAL, set(4, 0));
    t.errno("unknown-huge", Errno::EINVAL, set(u32::MAX, 0));
    for which in [SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER] {
        t.ret("restore", 0, set(which, 0));
    }
}
