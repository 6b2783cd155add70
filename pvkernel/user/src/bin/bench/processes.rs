//! Calls, processes, memory and switches.

use alloc::vec::Vec;

use pvkernel_user::file::pipe;
use pvkernel_user::process::{exec, in_child, wait_for};
use pvkernel_user::{sys, Errno, Result};

use crate::meter::{Cost, Meter};
use crate::ticks::Pages;

crate::rows! {
    null_call,
    getpid,
    clock_ns,
    yield_alone,
    fork_exit,
    fork_exit_1mib,
    fork_exec_exit,
    fork_exec_shell,
    context_switch,
    pipe_round_trip,
    page_fault,
    cow_fault,
    grow_1mib,
}

const MIB_PAGES: u64 = 256;

/// What this program does when it runs itself.
pub fn helper(args: &[&str]) -> Option<i32> {
    (args.get(1) == Some(&"--end")).then_some(0)
}

fn null_call(meter: Meter) -> Result<Cost> {
    meter.mean(1000, || {
        sys::null();
        Ok(())
    })
}

fn getpid(meter: Meter) -> Result<Cost> {
    meter.mean(1000, || {
        core::hint::black_box(sys::getpid());
        Ok(())
    })
}

fn clock_ns(meter: Meter) -> Result<Cost> {
    meter.mean(1000, || {
        core::hint::black_box(sys::clock_ns());
        Ok(())
    })
}

/// Nobody else wants to run.
fn yield_alone(meter: Meter) -> Result<Cost> {
    meter.mean(500, || {
        sys::yield_now();
        Ok(())
    })
}

/// Waits for a child, which must end well.
pub fn ended(pid: u32) -> Result<()> {
    match wait_for(pid)?.is_success() {
        true => Ok(()),
        false => Err(Errno::EIO),
    }
}

/// `fork`, `exit` of the child, `wait`.
fn fork_exit(meter: Meter) -> Result<Cost> {
    meter.mean(100, || ended(in_child(|| 0)?))
}

/// The same of a process with 1 MiB more, all touched.
fn fork_exit_1mib(meter: Meter) -> Result<Cost> {
    let pages = Pages::new(MIB_PAGES)?;
    pages.touch(1);
    let cost = meter.mean(50, || ended(in_child(|| 0)?));
    pages.give_back()?;
    cost
}

fn started(path: &str, args: &[&str]) -> Result<()> {
    ended(in_child(|| {
        exec(path, args);
        127
    })?)
}

/// `fork`, `exec` of a small program, its `exit`, `wait`.
fn fork_exec_exit(meter: Meter) -> Result<Cost> {
    meter.mean(50, || started("/bin/true", &["true"]))
}

/// The same with a shell that has nothing to do.
fn fork_exec_shell(meter: Meter) -> Result<Cost> {
    meter.mean(20, || started("/bin/sh", &["sh", "-c", ":"]))
}

/// Two processes that yield to each other; half of a round is a switch with its call.
fn context_switch(meter: Meter) -> Result<Cost> {
    const SWITCHES: u64 = 1000;
    let child = in_child(|| loop {
        sys::yield_now();
    })?;
    let cost = meter.mean(SWITCHES, || {
        sys::yield_now();
        Ok(())
    });
    sys::kill(child)?;
    wait_for(child)?;
    cost.map(|cost| cost.each_is(2))
}

/// A byte to another process and back.
fn pipe_round_trip(meter: Meter) -> Result<Cost> {
    let (there, there_end) = pipe()?;
    let (back, back_end) = pipe()?;
    let ends = [there_end.fd(), back.fd()];
    let child = in_child(|| {
        ends.iter().for_each(|fd| _ = sys::close(*fd));
        let mut byte = [0];
        while there.read(&mut byte).is_ok_and(|count| count == 1) {
            if back_end.write(&byte).is_err() {
                return 1;
            }
        }
        0
    })?;
    drop((there, back_end));
    let cost = meter.mean(500, || {
        there_end.write(&[1])?;
        match back.read(&mut [0])? {
            1 => Ok(()),
            _ => Err(Errno::EPIPE),
        }
    });
    drop((there_end, back));
    ended(child)?;
    cost
}

/// A page that is touched for the first time.
fn page_fault(meter: Meter) -> Result<Cost> {
    const PAGES: u64 = 128;
    let cost = meter.mean_of_parts(5, |part| {
        let pages = Pages::new(PAGES)?;
        let ticks = part.run(|| pages.touch(1));
        pages.give_back()?;
        Ok(ticks)
    })?;
    Ok(cost.each_is(PAGES))
}

/// A page that is written to for the first time since a fork.
fn cow_fault(meter: Meter) -> Result<Cost> {
    const PAGES: u64 = 128;
    let pages = Pages::new(PAGES)?;
    pages.touch(1);
    let (read, write) = pipe()?;
    let cost = meter.mean_of_parts(5, |part| {
        ended(in_child(|| {
            let ticks = part.run(|| pages.touch(2));
            i32::from(write.write(&ticks.to_le_bytes()).is_err())
        })?)?;
        let mut ticks = [0; 8];
        read.read_full(&mut ticks)?;
        Ok(u64::from_le_bytes(ticks))
    })?;
    pages.give_back()?;
    Ok(cost.each_is(PAGES))
}

/// 1 MiB of memory taken, touched and given back.
fn grow_1mib(meter: Meter) -> Result<Cost> {
    // The vector is there so that the heap does not grow between.
    let kept: Vec<u8> = Vec::with_capacity(100);
    let cost = meter.mean(10, || {
        let pages = Pages::new(MIB_PAGES)?;
        pages.touch(1);
        pages.give_back()
    });
    drop(kept);
    cost
}
