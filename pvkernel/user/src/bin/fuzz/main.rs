//! `fuzz [seed=N] [calls=M]`: system calls nobody would make.
//!
//! Children make random calls with random and nasty arguments, a hundred each, then end; many end sooner,
//! by a call or a fault of their own. The kernel must live, every child must end when it is killed, and the
//! pages must come back. Console and power are left out: a child that reads the one or turns off the other
//! shows nothing.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

#[allow(unsafe_code)]
mod wild;

use alloc::format;

use pvkernel_user::abi::Call;
use pvkernel_user::file::{entries, is_directory};
use pvkernel_user::process::{in_child, poll, wait_any, wait_for, Status};
use pvkernel_user::random::Random;
use pvkernel_user::system::processes;
use pvkernel_user::text::{join, value};
use pvkernel_user::{eprintln, println, sys, Result};

pvkernel_user::program!(run);

const FOLDER: &str = "/fuzz";
const CALLS_OF_A_CHILD: u64 = 100;
/// How long a child may take: some sleep, or wait for themselves.
const LIMIT_NS: u64 = 20_000_000;
const STEP_NS: u64 = 500_000;
const SETTLE_NS: u64 = 3_000_000_000;

fn run(args: &[&str]) -> i32 {
    let words = args.get(1..).unwrap_or_default();
    let is_known = |word: &&str| word.starts_with("seed=") || word.starts_with("calls=");
    let number = |key, usual| match value(words, key) {
        Some(text) => text.parse().ok(),
        None => Some(usual),
    };
    let (Some(seed), Some(calls)) = (number("seed", 1u64), number("calls", 2000u64)) else {
        return pvkernel_user::io::usage("fuzz [seed=N] [calls=M]");
    };
    if !words.iter().all(is_known) {
        return pvkernel_user::io::usage("fuzz [seed=N] [calls=M]");
    }
    match fuzz(seed, calls) {
        Ok(0) => 0,
        Ok(_) => 1,
        Err(why) => {
            println!("ZENDO-TEST fuzz ERROR seed {seed}: {}", why.text());
            1
        }
    }
}

/// What must be the same before and after.
fn counts() -> Result<(usize, u64, u64)> {
    let memory = sys::memory()?;
    Ok((processes()?.len(), memory.user, memory.tables))
}

/// All of it, in a child, so that what this process itself takes for it is not counted.
fn fuzz(seed: u64, calls: u64) -> Result<u64> {
    counts()?;
    let before = counts()?;
    let rounds = calls.div_ceil(CALLS_OF_A_CHILD);
    let worker = in_child(|| i32::from(work(seed, rounds).is_err()))?;
    let status = wait_for(worker)?;
    let after = settled(before)?;
    let text = format!("seed {seed}, {rounds} children");
    if after != before || !status.is_success() {
        eprintln!("fuzz: (processes, pages, tables) were {before:?} and are {after:?}, {status}");
        println!("ZENDO-TEST fuzz FAILURE {text}, {before:?} became {after:?}, {status}");
        return Ok(1);
    }
    println!("ZENDO-TEST fuzz SUCCESS {text}");
    Ok(0)
}

/// Starts the children, one after the other, and cleans up behind each.
fn work(seed: u64, rounds: u64) -> Result<()> {
    let others: alloc::vec::Vec<u32> = processes()?.iter().map(|process| process.pid).collect();
    let (mut ended, mut faulted, mut killed) = (0u64, 0u64, 0u64);
    for round in 0..rounds {
        // It is there already when the last one left it.
        let _ = sys::mkdir(FOLDER.as_bytes());
        let pid = in_child(|| child(seed.wrapping_add(round << 32)))?;
        match end_of(pid) {
            status if status.fault().is_some() => faulted += 1,
            status if status.is_killed() => killed += 1,
            _ => ended += 1,
        }
        end_all_but(&others);
        while sys::wait(-1, pvkernel_user::abi::wait::NOHANG).is_ok_and(|(pid, _)| pid != 0) {}
        remove(FOLDER, 0);
    }
    println!("fuzz: {ended} ended, {faulted} by a fault, {killed} killed");
    Ok(())
}

fn settled(before: (usize, u64, u64)) -> Result<(usize, u64, u64)> {
    let start = sys::clock_ns();
    loop {
        while sys::wait(-1, pvkernel_user::abi::wait::NOHANG).is_ok_and(|(pid, _)| pid != 0) {}
        let now = counts()?;
        if now == before || sys::clock_ns() - start > SETTLE_NS {
            return Ok(now);
        }
        sys::sleep_ns(STEP_NS)?;
    }
}

/// Waits for a child so long, then kills it.
fn end_of(pid: u32) -> Status {
    let start = sys::clock_ns();
    while sys::clock_ns() - start < LIMIT_NS {
        match poll(pid) {
            Ok(Some(status)) => return status,
            Ok(None) => {}
            Err(_) => return Status(0),
        }
        let _ = sys::sleep_ns(STEP_NS);
    }
    let _ = sys::kill(pid);
    wait_for(pid).unwrap_or(Status(0))
}

/// Ends what a child started and left behind.
fn end_all_but(others: &[u32]) {
    let Ok(found) = processes() else { return };
    for process in found.iter().filter(|process| !others.contains(&process.pid)) {
        let _ = sys::kill(process.pid);
    }
}

fn remove(path: &str, depth: u32) {
    if is_directory(path) && depth < 100 {
        for entry in entries(path).unwrap_or_default() {
            remove(&join(path, &entry.name), depth + 1);
        }
    }
    let _ = sys::unlink(path.as_bytes());
}

/// Calls of one child. Its descriptors are its own: a file, a pipe, a directory, nothing of the console.
fn child(seed: u64) -> i32 {
    let mut random = Random::new(seed);
    let _ = sys::chdir(FOLDER.as_bytes());
    (0..3).for_each(|fd| _ = sys::close(fd));
    let _ = sys::open(b"file", 7);
    let _ = sys::pipe();
    let _ = sys::open(b".", 1);
    for _ in 0..CALLS_OF_A_CHILD {
        let number = match random.below(20) {
            0 => random.next(),
            _ => random.of(Call::ALL).map_or(0, |call| call as u64),
        };
        if is_allowed(number) {
            wild::call(number, &mut random);
        }
    }
    while wait_any().is_ok() {}
    0
}

/// Not allowed is what ends the test and not the kernel: power, killing others.
fn is_allowed(number: u64) -> bool {
    !matches!(Call::of(number), Some(Call::Poweroff | Call::Kill | Call::Umount | Call::Exit))
}
