//! Tests that every backend passes, run on the host with the fake and inside each image.
//!
//! Each function takes a platform (or a kernel on it) and reports the first broken promise as text.
//! They use only the traits, so a difference between backends is a bug in one of them or a promise
//! that has to be written down.

mod user;

pub use user::PROGRAMS;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{Access, BlockError, Platform};
use crate::kernel::Kernel;
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// The result of one test.
pub type Verdict = Result<(), &'static str>;

fn check(holds: bool, promise: &'static str) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(promise)
    }
}

/// A named test of a kernel on its platform.
pub type Test = (&'static str, fn(&'static Kernel) -> Verdict);

/// All tests.
pub const TESTS: &[Test] = &[
    ("mmu-map-and-unmap", |kernel| mmu_maps_what_it_is_told(kernel.platform())),
    ("mmu-frames-counted", |kernel| mmu_counts_frames(kernel.platform())),
    ("irq-mask-nests", |kernel| irq_masks_nest(kernel.platform())),
    ("clock-monotonic", |kernel| clock_never_runs_backwards(kernel.platform())),
    ("cpu-idle-deadline", |kernel| idle_ends_at_its_deadline(kernel.platform())),
    ("block-ranges", |kernel| block_ranges_are_checked(kernel.platform())),
    ("threads-take-turns", threads_take_turns),
    ("threads-join-and-free", threads_give_their_memory_back),
    ("threads-sleep-in-order", sleepers_wake_in_order),
    ("threads-wait-queue", wait_queues_lose_no_wake_up),
    user::SPACES[0],
    user::SPACES[1],
    user::SPACES[2],
];

/// Frames appear where they are mapped, with the access asked for, and vanish when unmapped.
///
/// # Errors
/// The broken promise.
pub fn mmu_maps_what_it_is_told(platform: &Platform) -> Verdict {
    let mmu = platform.mmu;
    let frames: Vec<usize> = (0..3).map_while(|_| mmu.alloc_frame()).collect();
    check(frames.len() == 3, "three frames can be allocated")?;
    for access in [Access::ReadWrite, Access::Read] {
        let base = mmu.map(&frames, access).map_err(|_| "fresh frames can be mapped")?;
        for (at, frame) in frames.iter().enumerate() {
            let found = mmu.translate(base + at * 4096);
            check(found == Some((*frame, access)), "a mapped page translates to its frame")?;
        }
        mmu.unmap(base, frames.len());
        check(mmu.translate(base).is_none(), "an unmapped page translates to nothing")?;
    }
    frames.iter().for_each(|frame| mmu.free_frame(*frame));
    Ok(())
}

/// Allocating and freeing changes the count by one each.
///
/// # Errors
/// The broken promise.
pub fn mmu_counts_frames(platform: &Platform) -> Verdict {
    let mmu = platform.mmu;
    let before = mmu.free_frames();
    let frame = mmu.alloc_frame().ok_or("a frame can be allocated")?;
    check(mmu.free_frames() + 1 == before, "an allocated frame is counted")?;
    mmu.free_frame(frame);
    check(mmu.free_frames() == before, "a freed frame is counted")
}

/// The inner of two masked sections does not unmask.
///
/// # Errors
/// The broken promise.
pub fn irq_masks_nest(platform: &Platform) -> Verdict {
    let irq = platform.irq;
    let outer = irq.mask();
    let inner = irq.mask();
    irq.restore(inner);
    let still_masked = !irq.mask();
    irq.restore(outer);
    let state = irq.mask();
    irq.restore(state);
    check(!inner && still_masked, "restoring an inner mask keeps events masked")?;
    check(state == outer, "restoring the outer mask restores the state")
}

/// Time moves forward only, and moves.
///
/// # Errors
/// The broken promise.
pub fn clock_never_runs_backwards(platform: &Platform) -> Verdict {
    let start = platform.clock.now_ns();
    let mut last = start;
    for _ in 0..1000 {
        let now = platform.clock.now_ns();
        check(now >= last, "the clock never runs backwards")?;
        last = now;
    }
    platform.cpu.idle(Some(last + 1_000_000));
    check(platform.clock.now_ns() > start, "the clock moves")
}

/// Idling ends when the deadline passes, even when nothing happens.
///
/// # Errors
/// The broken promise.
pub fn idle_ends_at_its_deadline(platform: &Platform) -> Verdict {
    let deadline = platform.clock.now_ns() + 2_000_000;
    for _ in 0..1000 {
        if platform.clock.now_ns() >= deadline {
            return Ok(());
        }
        platform.cpu.idle(Some(deadline));
        platform.irq.dispatch();
    }
    Err("idling ends at its deadline")
}

/// A disk refuses what lies behind its end.
///
/// # Errors
/// The broken promise.
pub fn block_ranges_are_checked(platform: &Platform) -> Verdict {
    let Some(block) = platform.block else { return Ok(()) };
    let mut buffer = alloc::vec![0; block.block_size()];
    check(block.read(0, &mut buffer).is_ok(), "the first block can be read")?;
    let refused = block.read(block.block_count(), &mut buffer) == Err(BlockError::OutOfRange);
    check(refused, "the block behind the last is refused")?;
    let odd = block.read(0, &mut buffer[1..]) == Err(BlockError::OutOfRange);
    check(odd, "a piece of a block is refused")?;
    let wrapped = block.read(u64::MAX, &mut buffer) == Err(BlockError::OutOfRange);
    check(wrapped, "a block number that overflows is refused")
}

/// Threads that yield run in rounds.
///
/// # Errors
/// The broken promise.
pub fn threads_take_turns(kernel: &'static Kernel) -> Verdict {
    let log = Arc::new(Lock::new(Vec::new()));
    let mut handles = Vec::new();
    for id in 0..3u32 {
        let log = Arc::clone(&log);
        let body = move || {
            for _ in 0..3 {
                log.lock().push(id);
                kernel.yield_now();
            }
        };
        handles.push(kernel.spawn("turn", body).map_err(|_| "a thread can be started")?);
    }
    handles.into_iter().for_each(|handle| handle.join());
    let order = log.lock().clone();
    check(order == [0, 1, 2, 0, 1, 2, 0, 1, 2], "threads that yield take turns")
}

/// A joined thread has run and its memory is free again.
///
/// # Errors
/// The broken promise.
pub fn threads_give_their_memory_back(kernel: &'static Kernel) -> Verdict {
    let ran = Arc::new(AtomicUsize::new(0));
    let run_one = || {
        let ran = Arc::clone(&ran);
        let body = move || {
            ran.fetch_add(1, Ordering::Relaxed);
        };
        kernel.spawn("short", body).map(|handle| handle.join())
    };
    run_one().map_err(|_| "a thread can be started")?;
    kernel.yield_now();
    let before = kernel.platform().mmu.free_frames();
    for _ in 0..20 {
        run_one().map_err(|_| "a thread can be started")?;
    }
    kernel.yield_now();
    check(ran.load(Ordering::Relaxed) == 21, "a joined thread has run")?;
    check(kernel.thread_count() >= 1, "the caller is still a thread")?;
    check(kernel.platform().mmu.free_frames() == before, "ended threads give their stacks back")
}

/// Sleeping threads wake in the order of their deadlines and not early.
///
/// # Errors
/// The broken promise.
pub fn sleepers_wake_in_order(kernel: &'static Kernel) -> Verdict {
    // On a busy machine somebody may come too late for the order to mean anything; then they get more time.
    for round in 0..30 {
        if sleep_round(kernel, 10_000_000 * (1 + round / 5))? {
            return Ok(());
        }
    }
    Err("sleepers wake within 60 ms of their deadlines at least once")
}

/// Returns false when a thread was late by a whole step.
fn sleep_round(kernel: &'static Kernel, step_ns: u64) -> Result<bool, &'static str> {
    let log = Arc::new(Lock::new(Vec::new()));
    let start = kernel.now_ns();
    let mut handles = Vec::new();
    for steps in [3u64, 1, 2] {
        let log = Arc::clone(&log);
        let body = move || {
            kernel.sleep_until(start + steps * step_ns);
            log.lock().push((steps, kernel.now_ns()));
        };
        handles.push(kernel.spawn("sleeper", body).map_err(|_| "a thread can be started")?);
    }
    handles.into_iter().for_each(|handle| handle.join());
    let log = log.lock();
    let early = log.iter().any(|(steps, woke)| *woke < start + steps * step_ns);
    check(!early, "nobody wakes before its deadline")?;
    if log.iter().any(|(steps, woke)| *woke >= start + (steps + 1) * step_ns) {
        return Ok(false);
    }
    let in_order = log.iter().map(|(steps, _)| *steps).eq([1, 2, 3]);
    check(in_order, "sleepers wake in the order of their deadlines")?;
    Ok(true)
}

/// Two threads hand a number back and forth; each waits for the other's change.
///
/// # Errors
/// The broken promise.
pub fn wait_queues_lose_no_wake_up(kernel: &'static Kernel) -> Verdict {
    const ROUNDS: u64 = 50;
    let ball = Arc::new((AtomicU64::new(0), WaitQueue::new()));
    let theirs = Arc::clone(&ball);
    let other = kernel.spawn("pong", move || {
        for round in 0..ROUNDS {
            theirs.1.wait_until(kernel, || theirs.0.load(Ordering::Relaxed) == 2 * round + 1);
            theirs.0.fetch_add(1, Ordering::Relaxed);
            theirs.1.wake_all(kernel);
        }
    });
    let other = other.map_err(|_| "a thread can be started")?;
    for round in 0..ROUNDS {
        ball.0.fetch_add(1, Ordering::Relaxed);
        ball.1.wake_all(kernel);
        ball.1.wait_until(kernel, || ball.0.load(Ordering::Relaxed) == 2 * round + 2);
    }
    other.join();
    let deadline = kernel.now_ns() + 1_000_000;
    let held = ball.1.wait_deadline(kernel, Some(deadline), || false);
    check(!held && kernel.now_ns() >= deadline, "a wait with a deadline ends at it")
}
