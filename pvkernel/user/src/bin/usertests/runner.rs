//! Runs a case: in a child, in an empty directory, with a time limit, and counts before and after.

use alloc::format;
use alloc::vec::Vec;

use pvkernel_user::file::{entries, is_directory};
use pvkernel_user::process::{in_child, poll, wait_for, Status};
use pvkernel_user::system::processes;
use pvkernel_user::text::join;
use pvkernel_user::{println, sys, Errno, Result};

use crate::check::{fail, Check, Failure};
use crate::Case;

const FOLDER: &str = "/usertests";
/// Longer than the longest case on a slow machine.
const LIMIT_NS: u64 = 120_000_000_000;
/// How long processes that a case left may take to end.
const SETTLE_NS: u64 = 3_000_000_000;
/// How long pages that are missing may take to come back once all processes have ended.
const LATE_NS: u64 = 30_000_000;
const STEP_NS: u64 = 1_000_000;

/// What must be the same afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    processes: usize,
    user: u64,
    tables: u64,
    /// Free pages and those of the kernel's heap, which grows but does not shrink.
    rest: u64,
}

impl Counts {
    fn now() -> Result<Self> {
        let memory = sys::memory()?;
        let rest = memory.free + memory.heap;
        let processes = processes()?.len();
        Ok(Self { processes, user: memory.user, tables: memory.tables, rest })
    }

    /// Nothing is missing.
    fn is_as(&self, before: &Self) -> bool {
        self.processes == before.processes && self.used() <= before.used()
    }

    fn used(&self) -> (u64, u64, u64) {
        (self.user, self.tables, u64::MAX - self.rest)
    }
}

/// Runs a case.
pub fn run(case: &Case) -> Check {
    // What the test itself allocates for counting is there before the first count.
    Counts::now()?;
    let before = Counts::now()?;
    let started = sys::clock_ns();
    once(case)?;
    let millis = (sys::clock_ns() - started) / 1_000_000;
    let Err(first) = settled(&before) else {
        println!("usertests: {}: ok, {millis} ms", case.name);
        return Ok(());
    };
    if first.processes != before.processes {
        return Err(fail(format!("before {before:?}, after {first:?}")));
    }
    once(case)?;
    match settled(&first) {
        Ok(()) => {
            let kept = before.rest - first.rest.min(before.rest);
            println!("usertests: {}: ok, {millis} ms; the kernel keeps {kept} pages", case.name);
            Ok(())
        }
        Err(second) => Err(fail(format!("{before:?}, then {first:?}, then {second:?}"))),
    }
}

/// Waits until everything is as before; what there is when it does not become so.
fn settled(before: &Counts) -> core::result::Result<(), Counts> {
    let start = sys::clock_ns();
    loop {
        let now = Counts::now().unwrap_or(*before);
        if now.is_as(before) {
            return Ok(());
        }
        let limit = if now.processes == before.processes { LATE_NS } else { SETTLE_NS };
        if sys::clock_ns() - start > limit || sys::sleep_ns(STEP_NS).is_err() {
            return Err(now);
        }
    }
}

fn once(case: &Case) -> Check {
    remove(FOLDER);
    // Where a disk is mounted there it stays, and the case runs on that.
    match sys::mkdir(FOLDER.as_bytes()) {
        Err(Errno::EEXIST) if is_directory(FOLDER) => {}
        made => made?,
    }
    let others: Vec<u32> = processes()?.iter().map(|process| process.pid).collect();
    let pid = in_child(|| in_folder(case))?;
    let status = wait_limited(pid);
    if status.is_none() {
        end_all_but(&others);
        // It was killed just now.
        let _ = wait_for(pid);
    }
    remove(FOLDER);
    match status {
        Some(Status(0)) => Ok(()),
        Some(Status(1)) => Err(fail("see the line above".into())),
        Some(status) => Err(fail(format!("it ended with {status}"))),
        None => Err(fail(format!("it took more than {} s", LIMIT_NS / 1_000_000_000))),
    }
}

fn in_folder(case: &Case) -> i32 {
    let changed = sys::chdir(FOLDER.as_bytes()).map_err(Failure::from);
    match changed.and_then(|()| (case.run)()) {
        Ok(()) => 0,
        Err(failure) => {
            println!("usertests: {}: {failure}", case.name);
            1
        }
    }
}

fn wait_limited(pid: u32) -> Option<Status> {
    let start = sys::clock_ns();
    while sys::clock_ns() - start < LIMIT_NS {
        match poll(pid) {
            Ok(Some(status)) => return Some(status),
            // A child that is no child: the kernel lost it.
            Err(_) => return Some(Status(-1)),
            Ok(None) => {}
        }
        let _ = sys::sleep_ns(STEP_NS);
    }
    None
}

/// Ends whatever a case left.
fn end_all_but(others: &[u32]) {
    let Ok(found) = processes() else { return };
    for process in found.iter().filter(|process| !others.contains(&process.pid)) {
        // It may have ended meanwhile.
        let _ = sys::kill(process.pid);
    }
}

/// Removes a directory and all in it, as far as it is there.
pub fn remove(path: &str) {
    if is_directory(path) {
        for entry in entries(path).unwrap_or_default() {
            remove(&join(path, &entry.name));
        }
    }
    // Whoever needs it gone will see that it is not.
    let _ = sys::unlink(path.as_bytes());
}
