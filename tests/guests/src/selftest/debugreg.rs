//! Debug registers.

use core::arch::asm;

use crate::harness::{hypercall, Report, IN_HOLE, NOT_CANONICAL};
use crate::probe::{catch, fault_of};
use hypercall_abi::{nr, Errno};

fn set(register: u64, value: u64) -> i64 {
    hypercall(nr::SET_DEBUGREG, &[register, value])
}

fn get(register: u64) -> i64 {
    hypercall(nr::GET_DEBUGREG, &[register])
}

static WATCHED: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

extern "C" fn touch(_: u64) -> u64 {
    WATCHED.store(1, core::sync::atomic::Ordering::SeqCst);
    0
}

extern "C" fn move_to_dr7(value: u64) -> u64 {
    // SAFETY: emulated or refused; an enabled breakpoint would trap, which the probe catches.
    unsafe { asm!("mov dr7, {}", in(reg) value) };
    0
}

extern "C" fn move_from_dr7(_: u64) -> u64 {
    let value: u64;
    // SAFETY: emulated.
    unsafe { asm!("mov {}, dr7", out(reg) value) };
    value
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    for register in 0..4u64 {
        let name = alloc::format!("dr{register}");
        t.ret(&name, 0, set(register, 0x1000 + register));
        t.ret(&alloc::format!("{name}-read"), 0x1000 + register, get(register));
        t.errno(&alloc::format!("{name}-hole"), Errno::EPERM, set(register, IN_HOLE));
        t.errno(
            &alloc::format!("{name}-not-canonical"),
            Errno::EPERM,
            set(register, NOT_CANONICAL),
        );
        t.ret(&alloc::format!("{name}-clear"), 0, set(register, 0));
    }
    t.ret("dr7-initial", 0x400, get(7));
    t.ret("dr6", 0, set(6, 0));
    t.ret("dr6-reserved-bits", 0xffff_0ff0, get(6));
    t.ret("dr4-is-dr6", 0xffff_0ff0, get(4));
    t.ret("dr5-is-dr7", 0x400, get(5));
    t.errno("dr6-upper-half", Errno::EINVAL, set(6, 1 << 32));
    t.errno("dr7-upper-half", Errno::EINVAL, set(7, 1 << 32));
    t.errno("dr7-general-detect", Errno::EPERM, set(7, 1 << 13));
    t.errno("dr8", Errno::ENODEV, set(8, 0));
    t.errno("dr8-read", Errno::ENODEV, get(8));
    t.errno("dr-huge", Errno::ENODEV, set(u64::from(u32::MAX), 0));
    // I/O breakpoints need CR4.DE.
    t.errno("dr7-io-breakpoint", Errno::EPERM, set(7, 1 | 2 << 16));
    watch(t);
    moves(t);
}

fn watch(t: &mut Report) {
    t.ret("watch-address", 0, set(0, &raw const WATCHED as u64));
    // Local enable of breakpoint 0, on writes of 8 bytes.
    t.ret("watch-enable", 0, set(7, 1 | 0b1001 << 16));
    t.ret("watch-dr7", 0x400 | 1 | 0b1001 << 16, get(7));
    t.eq("watch-traps", Err((1, 0)), fault_of(touch, 0));
    t.eq("watch-dr6", 1, get(6) & 0xf);
    t.ret("watch-disable", 0, set(7, 0));
    t.ret("watch-dr6-clear", 0, set(6, 0));
    t.check("watch-is-off", catch(touch, 0).is_ok());
    t.ret("watch-clear", 0, set(0, 0));
}

fn moves(t: &mut Report) {
    t.eq("move-from-dr7", Ok(0x400), fault_of(move_from_dr7, 0));
    t.eq("move-to-dr7", Ok(0), fault_of(move_to_dr7, 0x400));
    t.eq("move-to-dr7-bad", Err((13, 0)), fault_of(move_to_dr7, 1 << 13));
}
