//! Who runs when: time slices, sleep, and registers that belong to one process.

use alloc::vec::Vec;

use pvkernel_user::abi::Call;
use pvkernel_user::file::pipe;
use pvkernel_user::process::{in_child, wait_for};
use pvkernel_user::sys;

use crate::check::{ends_well, holds, same, start, Check, Failure};
use crate::danger::{keeps_float, keeps_registers};

crate::cases! {
    a_spinner_stops_nobody,
    spinners_share,
    sleepers_wake_in_order,
    sleep_takes_its_time,
    the_clock_goes_forward,
    float_registers_are_kept,
    float_registers_begin_clean,
    registers_are_kept_by_interrupts,
}

const MS: u64 = 1_000_000;

fn spinner() -> Result<u32, pvkernel_user::Errno> {
    in_child(|| loop {
        core::hint::spin_loop();
    })
}

fn a_spinner_stops_nobody() -> Check {
    let spinners = [spinner()?, spinner()?];
    let start = sys::clock_ns();
    let mut calls = 0;
    for _ in 0..5 {
        sys::sleep_ns(MS)?;
        calls += in_child(|| 0).and_then(wait_for).map_or(0, |_| 1);
    }
    let took = sys::clock_ns() - start;
    for pid in spinners {
        sys::kill(pid)?;
        wait_for(pid)?;
    }
    same(calls, 5)?;
    holds(took < 5_000 * MS, "it had its turn")
}

/// Each of several that only compute gets on.
fn spinners_share() -> Check {
    let (read, write) = pipe()?;
    let mut pids = Vec::new();
    for number in 0..4u8 {
        pids.push(in_child(|| loop {
            (0..20_000).for_each(|_| core::hint::spin_loop());
            if write.write(&[number]).is_err() {
                return 0;
            }
        })?);
    }
    let (mut counts, mut part) = ([0u32; 4], [0; 64]);
    while counts.iter().any(|count| *count < 20) {
        let count = read.read(&mut part)?;
        for number in part.iter().take(count) {
            if let Some(count) = counts.get_mut(usize::from(*number)) {
                *count += 1;
            }
        }
        holds(counts.iter().sum::<u32>() < 100_000, "all four get on")?;
    }
    for pid in pids {
        sys::kill(pid)?;
        wait_for(pid)?;
    }
    Ok(())
}

/// A host that is busy elsewhere can hold all of it up for longer than is between two deadlines; a kernel
/// that wakes in the wrong order does so however far apart they are.
fn sleepers_wake_in_order() -> Check {
    let mut order = [0; 5];
    for apart_ms in [40, 160, 640] {
        order = order_of_waking(apart_ms)?;
        if order == [1, 2, 3, 4, 5] {
            break;
        }
    }
    same(order, [1, 2, 3, 4, 5])
}

/// The numbers of five that sleep, as they wake.
fn order_of_waking(apart_ms: u64) -> Result<[u8; 5], Failure> {
    let (read, write) = pipe()?;
    let from = sys::clock_ns();
    let mut pids = Vec::new();
    for number in [5u8, 1, 4, 2, 3] {
        pids.push(start(|| {
            let until = from + (50 + apart_ms * u64::from(number)) * MS;
            sys::sleep_ns(until.saturating_sub(sys::clock_ns()))?;
            write.write_all(&[number])?;
            Ok(())
        })?);
    }
    pids.into_iter().try_for_each(ends_well)?;
    let mut order = [0; 5];
    read.read_full(&mut order)?;
    Ok(order)
}

fn sleep_takes_its_time() -> Check {
    for ns in [0, 1, 1000, MS, 10 * MS] {
        let before = sys::clock_ns();
        sys::sleep_ns(ns)?;
        let took = sys::clock_ns() - before;
        holds(took >= ns && took < ns + 2000 * MS, "it slept as long as it should")?;
    }
    let child = in_child(|| sys::sleep_ns(u64::MAX).map_or(1, |()| 0))?;
    sys::sleep_ns(3 * MS)?;
    let running = pvkernel_user::process::poll(child)?;
    same(running, None)?;
    sys::kill(child)?;
    wait_for(child).map(|_| ()).map_err(Into::into)
}

fn the_clock_goes_forward() -> Check {
    let mut last = sys::clock_ns();
    for _ in 0..10_000 {
        let now = sys::clock_ns();
        holds(now >= last, "time does not go back")?;
        last = now;
    }
    let [before, _] = sys::wall_clock()?;
    let [after, nanos] = sys::wall_clock()?;
    holds(nanos < 1_000_000_000 && after >= before && after - before < 60, "nor does the date")
}

fn float_registers_are_kept() -> Check {
    let mut pids = Vec::new();
    for seed in 1..=4u64 {
        pids.push(start(|| {
            for round in 0..20 {
                let seed = seed * 0x1234_5678_9abc + round;
                // Each time it yields, the one that only computes has a whole slice.
                let (calls, yields) = if round % 5 == 0 { (10, true) } else { (500, false) };
                holds(keeps_float(seed, calls, yields), "they are this process's own")?;
            }
            Ok(())
        })?);
    }
    // A process that uses none of them must not disturb.
    let idle = spinner()?;
    let ended: Check = pids.into_iter().try_for_each(ends_well);
    sys::kill(idle)?;
    wait_for(idle)?;
    ended?;
    // A child begins with a copy, and the parent's stay.
    for seed in 0..10 {
        holds(keeps_float(seed << 30, 1, false), "before a fork")?;
        ends_well(start(|| holds(keeps_float(!seed >> 2, 2, true), "in a child"))?)?;
    }
    Ok(())
}

fn float_registers_begin_clean() -> Check {
    holds(keeps_float(0x7777_7777_7777, 1, false), "they hold what was put there")?;
    let pid = pvkernel_user::process::spawn(&["usertests", "--float-is-clean"])?;
    ends_well(pid)
}

fn registers_are_kept_by_interrupts() -> Check {
    let spinners = [spinner()?, spinner()?];
    let mut kept = true;
    for seed in 0..3000u64 {
        kept &= keeps_registers(Call::Null as u64, seed * 0x1_0001);
    }
    for pid in spinners {
        sys::kill(pid)?;
        wait_for(pid)?;
    }
    holds(kept, "all registers")
}
