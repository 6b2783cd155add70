//! A process that is killed ends, whatever it waits for.

use pvkernel_user::abi::STATUS_KILLED;
use pvkernel_user::file::pipe;
use pvkernel_user::process::{in_child, wait_for, Status};
use pvkernel_user::{sys, Errno, File};

use crate::check::{close, refused, same, Check};

crate::cases! {
    one_that_computes,
    one_that_sleeps,
    one_that_reads_a_pipe,
    one_that_writes_a_pipe,
    one_that_waits,
    one_that_calls_all_the_time,
    one_that_reads_the_console,
    itself,
    one_that_is_not_there,
    one_that_has_ended,
    a_family,
}

const KILLED: Status = Status(STATUS_KILLED);

/// Kills a child when it had time to begin what it does.
#[track_caller]
pub fn kill(run: impl FnOnce()) -> Check {
    let pid = in_child(|| {
        run();
        99
    })?;
    sys::sleep_ns(3_000_000)?;
    sys::kill(pid)?;
    same(wait_for(pid)?, KILLED)
}

fn one_that_computes() -> Check {
    kill(|| loop {
        core::hint::spin_loop();
    })
}

fn one_that_sleeps() -> Check {
    let start = sys::clock_ns();
    kill(|| _ = sys::sleep_ns(100_000_000_000))?;
    crate::check::holds(sys::clock_ns() - start < 50_000_000_000, "it did not sleep on")
}

fn one_that_reads_a_pipe() -> Check {
    let (read, _write) = pipe()?;
    kill(|| _ = read.read(&mut [0]))
}

fn one_that_writes_a_pipe() -> Check {
    let (_read, write) = pipe()?;
    kill(|| _ = write.write_all(&alloc::vec![0; 1 << 20]))
}

fn one_that_waits() -> Check {
    // Its child is an orphan then, and ends when the pipe does.
    let (read, write) = pipe()?;
    kill(|| {
        let child = in_child(|| {
            close(&write);
            read.read(&mut [0]).map_or(1, |_| 0)
        });
        let _ = child.and_then(wait_for);
    })
}

fn one_that_calls_all_the_time() -> Check {
    kill(|| loop {
        sys::yield_now();
    })
}

fn one_that_reads_the_console() -> Check {
    let console = File::read_only("/dev/console")?;
    kill(|| _ = console.read(&mut [0]))
}

fn itself() -> Check {
    let pid = in_child(|| {
        let _ = sys::kill(sys::getpid());
        0
    })?;
    same(wait_for(pid)?, KILLED)
}

fn one_that_is_not_there() -> Check {
    for pid in [0, u32::MAX, 1 << 30] {
        refused(sys::kill(pid), &[Errno::ESRCH])?;
    }
    // Without the first process nobody would ask for the ends of orphans.
    refused(sys::kill(1), &[Errno::EPERM])?;
    let pid = in_child(|| 0)?;
    wait_for(pid)?;
    refused(sys::kill(pid), &[Errno::ESRCH])
}

fn one_that_has_ended() -> Check {
    let pid = in_child(|| 5)?;
    sys::sleep_ns(3_000_000)?;
    // Whether that is an error is not said; its status stays what it was.
    let _ = sys::kill(pid);
    same(wait_for(pid)?, Status(5))
}

fn a_family() -> Check {
    for round in 0..10 {
        let pid = in_child(|| {
            for _ in 0..10 {
                let _ = in_child(|| {
                    let _ = sys::sleep_ns(1_000_000 * round);
                    0
                });
            }
            while pvkernel_user::process::wait_any().is_ok() {}
            99
        })?;
        sys::sleep_ns(200_000 * round)?;
        sys::kill(pid)?;
        let ended = wait_for(pid)?;
        crate::check::holds(ended == KILLED || ended == Status(99), "killed, or ended before")?;
    }
    Ok(())
}
