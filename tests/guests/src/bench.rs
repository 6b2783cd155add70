//! `bench`: instructions per operation, one row each.
//!
//! Meant for QEMU with `-icount shift=0,sleep=off`, where the time stamp counter advances by one
//! per instruction (times a constant that the guest calibrates away), guest and hypervisor
//! together. Each row runs a loop of `ROUNDS` operations several times and takes the cheapest
//! repetition, so interrupts that strike one repetition do not count; the loop without operation
//! is subtracted.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use core::arch::asm;

use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::hypercall::version;
use pvkernel_xen::{event, power, println, time};

pvkernel_xen::entry!(run);

const ROUNDS: u64 = 1000;
const REPETITIONS: usize = 9;
/// Instructions of the calibration loop.
const CALIBRATION: u64 = 1_000_000;

type Row = (&'static str, fn());

const ROWS: &[Row] = &[("null", null_hypercall)];

fn run(boot: &'static BootInfo) -> ! {
    let only = boot.args().value("row");
    event::mask_upcalls();
    let ticks = ticks_per_instruction_milli();
    for (name, operation) in ROWS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let empty = cheapest(|| ());
        let full = cheapest(operation);
        let milli = full.saturating_sub(empty) * 1_000_000 / (ROUNDS * ticks);
        println!("bench {name} {}", (milli + 500) / 1000);
    }
    println!("ZENDO-TEST bench SUCCESS");
    power::poweroff()
}

/// Counter ticks of one instruction, times 1000.
fn ticks_per_instruction_milli() -> u64 {
    let mut best = u64::MAX;
    for _ in 0..REPETITIONS {
        let start = time::tsc();
        // SAFETY: counts a register down; two instructions per round.
        unsafe {
            asm!("2: dec {0}", "jnz 2b", inout(reg) CALIBRATION / 2 => _, options(nomem, nostack))
        };
        best = best.min(time::tsc() - start);
    }
    (best * 1000 / CALIBRATION).max(1)
}

fn cheapest(operation: impl Fn()) -> u64 {
    (0..REPETITIONS)
        .map(|_| {
            let start = time::tsc();
            for _ in 0..ROUNDS {
                operation();
                // Keeps the empty loop from being removed, at no cost.
                // SAFETY: no instruction at all.
                unsafe { asm!("", options(nomem, nostack)) };
            }
            time::tsc() - start
        })
        .min()
        .unwrap_or(0)
}

fn null_hypercall() {
    let _ = version::version();
}
