//! When there is no more: memory, room for files. Whoever asks is refused; afterwards all is as before.

use alloc::format;
use alloc::vec::Vec;

use pvkernel_user::abi::STATUS_FAULT;
use pvkernel_user::process::{in_child, spawn, wait_for, Status};
use pvkernel_user::{sys, Errno, File};

use crate::check::{fail, holds, in_fork, same, Check};
use crate::danger::{poke, shrink};

crate::cases! {
    memory_ends,
    forks_without_memory,
    programs_without_memory,
    copies_without_memory,
    room_for_files_ends,
}

const PAGE: u64 = 4096;

/// Takes all memory there is, in steps that become smaller, and touches it: how much it was. What must
/// not run out for this process is taken by its own functions before.
fn take_all() -> u64 {
    let (mut taken, mut step) = (0, 1 << 20);
    while step >= PAGE {
        match sys::grow(step) {
            Ok(start) => {
                (0..step).step_by(PAGE as usize).for_each(|at| poke(start + at, 1));
                taken += step;
            }
            Err(_) => step /= 2,
        }
    }
    taken
}

/// A process without memory is refused, or ended, but nothing else.
#[track_caller]
fn ended_by_shortage(pid: u32) -> Check {
    let status = wait_for(pid)?;
    let is_end = status == Status(0) || status.is_killed() || status == Status(STATUS_FAULT + 14);
    holds(is_end, &format!("it was refused, or ended: {status}"))
}

fn memory_ends() -> Check {
    for _ in 0..2 {
        let pid = in_child(|| {
            let taken = take_all();
            i32::from(taken < 1 << 20)
        })?;
        ended_by_shortage(pid)?;
    }
    in_fork(|| Ok(()))
}

fn forks_without_memory() -> Check {
    let pid = in_child(|| {
        take_all();
        for spare in [0, 1, 2, 4, 8, 16, 32, 64] {
            if spare > 0 && shrink(spare * PAGE).is_err() {
                return 1;
            }
            match in_child(|| 0) {
                Ok(child) => drop(wait_for(child)),
                Err(Errno::ENOMEM | Errno::EAGAIN) => {}
                Err(_) => return 1,
            }
        }
        0
    })?;
    ended_by_shortage(pid)?;
    in_fork(|| Ok(()))
}

fn programs_without_memory() -> Check {
    let pid = in_child(|| {
        take_all();
        for spare in [1, 4, 16, 32, 64, 128] {
            if shrink(spare * PAGE).is_err() {
                return 1;
            }
            let _ = spawn(&["true"]).and_then(wait_for);
        }
        0
    })?;
    ended_by_shortage(pid)?;
    let child = spawn(&["true"])?;
    same(wait_for(child)?, Status(0))
}

/// A third of the memory in each of a family that shares it, until they write.
fn copies_without_memory() -> Check {
    let free = sys::memory()?.free;
    let pages = free / 3;
    let pid = in_child(|| {
        let Ok(area) = sys::grow(pages * PAGE) else { return 0 };
        let touch = |byte| (0..pages).for_each(|page| poke(area + page * PAGE, byte));
        touch(1);
        let mut children = Vec::with_capacity(4);
        for number in 0..4 {
            match in_child(|| {
                touch(number);
                0
            }) {
                Ok(child) => children.push(child),
                Err(_) => break,
            }
        }
        let ends = children.into_iter().filter_map(|child| wait_for(child).ok());
        let bad = ends.filter(|end| {
            !(end.is_success() || end.is_killed() || *end == Status(STATUS_FAULT + 14))
        });
        i32::from(bad.count() > 0)
    })?;
    ended_by_shortage(pid)
}

fn room_for_files_ends() -> Check {
    let before = sys::statfs(0)?;
    let piece = alloc::vec![1; 64 << 10];
    let file = File::create("large")?;
    let end = loop {
        match file.write(&piece) {
            Ok(0) => return Err(fail("a write of nothing".into())),
            Ok(_) => {}
            Err(why) => break why,
        }
        holds(file.stat()?.size <= before.bytes, "no more than there is room")?;
    };
    holds(matches!(end, Errno::ENOSPC | Errno::EFBIG | Errno::ENOMEM), "it is refused")?;
    // The rest works on.
    in_fork(|| Ok(()))?;
    drop(file);
    sys::unlink(b"large")?;
    let after = sys::statfs(0)?;
    holds(after.free + PAGE >= before.free, "the room is back")?;
    File::create("small")?.write_all(b"x").map_err(Into::into)
}
