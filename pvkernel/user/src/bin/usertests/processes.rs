//! Processes come, end and are waited for.

use alloc::vec::Vec;

use pvkernel_user::abi::{wait, Process, ProcessState};
use pvkernel_user::file::pipe;
use pvkernel_user::process::{in_child, poll, wait_any, wait_for, Status};
use pvkernel_user::system::processes;
use pvkernel_user::{sys, Errno};

use crate::check::{close, ends_well, holds, in_fork, refused, same, start, Check};

crate::cases! {
    statuses_reach_the_parent,
    children_are_waited_for_by_number,
    there_is_nothing_to_wait_for,
    many_children_end,
    a_parent_that_does_not_wait,
    orphans_find_a_parent,
    numbers_are_right,
    it_is_listed,
    a_thousand_forks_lose_nothing,
    forks_while_others_end,
    a_fork_bomb_ends,
}

const SLEEPING: u32 = ProcessState::Sleeping as u32;

fn statuses_reach_the_parent() -> Check {
    for status in [0, 1, 42, 255, -1, i32::MIN] {
        let pid = in_child(|| status)?;
        same(wait_for(pid)?, Status(status))?;
    }
    Ok(())
}

fn children_are_waited_for_by_number() -> Check {
    let first = in_child(|| 1)?;
    let second = in_child(|| 2)?;
    let third = in_child(|| 3)?;
    same(wait_for(second)?, Status(2))?;
    same(wait_for(first)?, Status(1))?;
    same(wait_any()?, (third, Status(3)))?;
    refused(wait_for(second), &[Errno::ECHILD])
}

fn there_is_nothing_to_wait_for() -> Check {
    refused(wait_any(), &[Errno::ECHILD])?;
    refused(sys::wait(-1, wait::NOHANG), &[Errno::ECHILD])?;
    refused(wait_for(sys::getpid()), &[Errno::ECHILD])?;
    refused(wait_for(sys::getppid()), &[Errno::ECHILD])?;
    refused(wait_for(1), &[Errno::ECHILD])?;
    let (read, write) = pipe()?;
    let child = start(|| {
        close(&write);
        read.read(&mut [0])?;
        Ok(())
    })?;
    // The pipe has two ends to write: this one keeps the child.
    same(poll(child)?, None)?;
    same(sys::wait(-1, wait::NOHANG)?.0, 0)?;
    refused(wait_for(child + 1000), &[Errno::ECHILD])?;
    drop(write);
    ends_well(child)
}

fn many_children_end() -> Check {
    let mut running = Vec::new();
    for number in 0..60 {
        running.push((in_child(|| number)?, Status(number)));
    }
    while !running.is_empty() {
        let ended = wait_any()?;
        let before = running.len();
        running.retain(|child| *child != ended);
        same(running.len(), before - 1)?;
    }
    refused(wait_any(), &[Errno::ECHILD])
}

fn a_parent_that_does_not_wait() -> Check {
    for _ in 0..20 {
        let child = in_child(|| {
            for _ in 0..5 {
                if in_child(|| 0).is_err() {
                    return 1;
                }
            }
            0
        })?;
        ends_well(child)?;
    }
    Ok(())
}

fn orphans_find_a_parent() -> Check {
    let (read, write) = pipe()?;
    let child = start(|| {
        let parent = sys::getpid();
        in_child(|| {
            while sys::getppid() == parent {
                sys::yield_now();
            }
            i32::from(write.write_all(&[sys::getppid() as u8]).is_err())
        })?;
        Ok(())
    })?;
    ends_well(child)?;
    drop(write);
    let mut new = [0xff];
    same(read.read_full(&mut new)?, 1)?;
    holds(new[0] <= 1, "the parent of an orphan is init, or none")
}

fn numbers_are_right() -> Check {
    let me = sys::getpid();
    let (read, write) = pipe()?;
    let child = start(|| {
        same(sys::getppid(), me)?;
        holds(sys::getpid() != me, "a child has a number of its own")?;
        write.write_all(&sys::getpid().to_le_bytes())?;
        Ok(())
    })?;
    let mut number = [0; 4];
    same(read.read_full(&mut number)?, 4)?;
    same(u32::from_le_bytes(number), child)?;
    same(sys::getpid(), me)?;
    ends_well(child)
}

fn it_is_listed() -> Check {
    let (read, write) = pipe()?;
    let child = start(|| {
        close(&write);
        read.read(&mut [0])?;
        Ok(())
    })?;
    // How soon the child comes to its wait is the machine's affair.
    let is_there = |process: &Process| process.pid == child && process.state == SLEEPING;
    let mut found = processes()?;
    for _ in 0..1000 {
        if found.iter().any(is_there) {
            break;
        }
        sys::sleep_ns(2_000_000)?;
        found = processes()?;
    }
    let entry = |pid| found.iter().find(|process| process.pid == pid);
    let Some(entry_of_child) = entry(child) else { return holds(false, "the child is listed") };
    same(entry_of_child.parent, sys::getpid())?;
    same(entry_of_child.state, SLEEPING)?;
    same(pvkernel_user::text::padded(&entry_of_child.name).contains("usertests"), true)?;
    holds(entry(sys::getpid()).is_some(), "this process is listed")?;
    holds(entry_of_child.pages > 0, "it has pages")?;
    drop(write);
    ends_well(child)
}

fn a_thousand_forks_lose_nothing() -> Check {
    // Once, so that what is kept for later is there.
    in_fork(|| Ok(()))?;
    let before = sys::memory()?;
    for _ in 0..1000 {
        let pid = in_child(|| 7)?;
        same(wait_for(pid)?, Status(7))?;
    }
    let after = sys::memory()?;
    same((after.user, after.tables), (before.user, before.tables))?;
    same(after.free + after.heap, before.free + before.heap)
}

fn forks_while_others_end() -> Check {
    let mut families = Vec::new();
    for _ in 0..4 {
        families.push(start(|| {
            for round in 0..50 {
                let pid = in_child(|| round)?;
                if round % 2 == 0 {
                    sys::yield_now();
                }
                same(wait_for(pid)?, Status(round))?;
            }
            Ok(())
        })?);
    }
    families.into_iter().try_for_each(ends_well)
}

/// Each process forks until it is refused, says so, and stays until all are let go.
fn a_fork_bomb_ends() -> Check {
    let (read, write) = pipe()?;
    let (gate, key) = pipe()?;
    let child = in_child(|| {
        close(&read);
        close(&key);
        loop {
            match sys::fork() {
                Ok(_) => {}
                Err(why) => {
                    let _ = write.write(&[why as u8]);
                    let _ = gate.read(&mut [0]);
                    break;
                }
            }
        }
        while wait_any().is_ok() {}
        0
    })?;
    drop((write, gate));
    let mut part = [0; 256];
    let first = read.read(&mut part)?;
    holds(first > 0, "somebody is refused")?;
    sys::sleep_ns(20_000_000)?;
    holds(processes()?.len() > 20, "there were many")?;
    drop(key);
    let (mut refusals, mut count) = (0, first);
    while count > 0 {
        let is_known = |byte: &u8| *byte == Errno::EAGAIN as u8 || *byte == Errno::ENOMEM as u8;
        holds(part.iter().take(count).all(is_known), "it is refused with EAGAIN or ENOMEM")?;
        refusals += count;
        count = read.read(&mut part)?;
    }
    holds(refusals > 20, "all of them were")?;
    same(wait_for(child)?, Status(0))?;
    in_fork(|| Ok(()))
}
