//! Calls, processes, memory and switches.

use alloc::vec::Vec;

use pvkernel_user::file::pipe;
use pvkernel_user::process::{exec, in_child, wait_for};
use pvkernel_user::{sys, Errno, Result};

use crate::ticks::{mean, mean_of_parts, now, Pages};

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

fn null_call() -> Result<u64> {
    mean(1000, || {
        sys::null();
        Ok(())
    })
}

fn getpid() -> Result<u64> {
    mean(1000, || {
        core::hint::black_box(sys::getpid());
        Ok(())
    })
}

fn clock_ns() -> Result<u64> {
    mean(1000, || {
        core::hint::black_box(sys::clock_ns());
        Ok(())
    })
}

/// Nobody else wants to run.
fn yield_alone() -> Result<u64> {
    mean(500, || {
        sys::yield_now();
        Ok(())
    })
}

fn ended(pid: u32) -> Result<()> {
    match wait_for(pid)?.is_success() {
        true => Ok(()),
        false => Err(Errno::EIO),
    }
}

/// `fork`, `exit` of the child, `wait`.
fn fork_exit() -> Result<u64> {
    mean(100, || ended(in_child(|| 0)?))
}

/// The same of a process with 1 MiB more, all touched.
fn fork_exit_1mib() -> Result<u64> {
    let pages = Pages::new(MIB_PAGES)?;
    pages.touch(1);
    let ticks = mean(50, || ended(in_child(|| 0)?));
    pages.give_back()?;
    ticks
}

fn started(path: &str, args: &[&str]) -> Result<()> {
    ended(in_child(|| {
        exec(path, args);
        127
    })?)
}

/// `fork`, `exec` of a small program, its `exit`, `wait`.
fn fork_exec_exit() -> Result<u64> {
    mean(50, || started("/bin/true", &["true"]))
}

/// The same with a shell that has nothing to do.
fn fork_exec_shell() -> Result<u64> {
    mean(20, || started("/bin/sh", &["sh", "-c", ":"]))
}

/// Two processes that yield to each other; half of a round is a switch with its call.
fn context_switch() -> Result<u64> {
    const SWITCHES: u64 = 1000;
    let child = in_child(|| loop {
        sys::yield_now();
    })?;
    let ticks = mean(SWITCHES, || {
        sys::yield_now();
        Ok(())
    });
    sys::kill(child)?;
    wait_for(child)?;
    ticks.map(|ticks| ticks / 2)
}

/// A byte to another process and back.
fn pipe_round_trip() -> Result<u64> {
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
    let ticks = mean(500, || {
        there_end.write(&[1])?;
        match back.read(&mut [0])? {
            1 => Ok(()),
            _ => Err(Errno::EPIPE),
        }
    });
    drop((there_end, back));
    ended(child)?;
    ticks
}

/// A page that is touched for the first time.
fn page_fault() -> Result<u64> {
    const PAGES: u64 = 128;
    let ticks = mean_of_parts(5, || {
        let pages = Pages::new(PAGES)?;
        let start = now();
        pages.touch(1);
        let ticks = now() - start;
        pages.give_back()?;
        Ok(ticks)
    })?;
    Ok(ticks / PAGES)
}

/// A page that is written to for the first time since a fork.
fn cow_fault() -> Result<u64> {
    const PAGES: u64 = 128;
    let pages = Pages::new(PAGES)?;
    pages.touch(1);
    let (read, write) = pipe()?;
    let ticks = mean_of_parts(5, || {
        ended(in_child(|| {
            let start = now();
            pages.touch(2);
            let ticks = now() - start;
            i32::from(write.write(&ticks.to_le_bytes()).is_err())
        })?)?;
        let mut ticks = [0; 8];
        read.read_full(&mut ticks)?;
        Ok(u64::from_le_bytes(ticks))
    })?;
    pages.give_back()?;
    Ok(ticks / PAGES)
}

/// 1 MiB of memory taken, touched and given back.
fn grow_1mib() -> Result<u64> {
    // The vector is there so that the heap does not grow between.
    let kept: Vec<u8> = Vec::with_capacity(100);
    let ticks = mean(10, || {
        let pages = Pages::new(MIB_PAGES)?;
        pages.touch(1);
        pages.give_back()
    });
    drop(kept);
    ticks
}
