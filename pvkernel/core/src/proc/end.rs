//! How processes end, and how others hear of it.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use pvkernel_abi::Errno;

use super::process::ANY_CHILD;
use super::table::Waited;
use super::{Process, FIRST};
use crate::os::Os;

/// So long after ^C the next program is still the one that was meant.
const MISSED_NS: u64 = 100_000_000;

impl Process {
    /// Ends this process: gives back all it has, hands its children to the first process and tells its
    /// parent. Its thread returns after that.
    pub(super) fn end(self: &Arc<Self>, status: i32) {
        let os = self.os();
        self.files.close_all();
        let space = self.space.lock().take();
        drop(space);
        os.user.free_fpu(self.fpu);
        os.nobody_is_current();
        *self.thread.lock() = None;
        self.status.store(status, Ordering::Relaxed);
        if os.processes.hand_over(self.pid(), FIRST) {
            wake_parent(self, FIRST);
        }
        self.ended.store(true, Ordering::Release);
        let parent = self.parent();
        match os.processes.find(parent) {
            Some(parent) if !parent.has_ended() => parent.children.wake_all(os.kernel),
            // Nobody will ask.
            _ => os.processes.remove(self.pid()),
        }
        if self.pid() == FIRST {
            os.first_ended(status);
        }
    }

    /// `wait`: the number and status of a child that has ended, or `None` when none has and the caller
    /// does not want to wait.
    ///
    /// # Errors
    /// `ECHILD` without such children; `EAGAIN` when the process is to end.
    pub fn wait(&self, pid: Option<u32>, must_wait: bool) -> Result<Option<(u32, i32)>, Errno> {
        let os = self.os();
        let mut found = Waited::NotYet;
        let mut look = || {
            found = os.processes.take_ended(self.pid(), pid);
            !matches!(found, Waited::NotYet)
        };
        if !look() && must_wait {
            self.waits_for.store(pid.unwrap_or(ANY_CHILD), Ordering::Relaxed);
            os.make_up_for_missed(self);
            self.children.wait_until(os.kernel, || look() || self.is_killed());
            self.waits_for.store(0, Ordering::Relaxed);
        }
        match found {
            Waited::Ended(child) => Ok(Some((child.pid(), child.status.load(Ordering::Relaxed)))),
            Waited::Nobody => Err(Errno::ECHILD),
            Waited::NotYet if must_wait => Err(Errno::EAGAIN),
            Waited::NotYet => Ok(None),
        }
    }
}

impl Os {
    /// What ^C does: ends what the shell waits for, and what that waits for in turn. The first process and
    /// its children (the shell) stay. A shell between two programs is made to end the next; one that
    /// starts none is ended by the next ^C, because nothing else would stop it.
    pub fn interrupt(&self) {
        if self.end_awaited() {
            return;
        }
        let Some(shell) = self.processes.find_busy_child(FIRST) else { return };
        let missed_ns = self.missed_ns.swap(self.kernel.now_ns(), Ordering::Relaxed);
        if missed_ns != 0 && missed_ns + MISSED_NS < self.kernel.now_ns() {
            shell.kill();
        }
    }

    /// Called when a process begins to wait for a child.
    fn make_up_for_missed(&self, waiter: &Process) {
        if waiter.parent() > FIRST || self.missed_ns.load(Ordering::Relaxed) == 0 {
            return;
        }
        let missed_ns = self.missed_ns.swap(0, Ordering::Relaxed);
        if self.kernel.now_ns() < missed_ns + MISSED_NS {
            self.end_awaited();
        }
    }

    /// Ends all processes that are awaited; says whether there were any.
    fn end_awaited(&self) -> bool {
        let (mut index, mut any) = (0, false);
        while let Some(process) = self.processes.at(index) {
            index += 1;
            if process.parent() > FIRST && !process.has_ended() && self.is_awaited(&process) {
                process.kill();
                any = true;
            }
        }
        any
    }

    /// Whether its parent waits for it, and the parent's parent for that one, up to the shell.
    fn is_awaited(&self, process: &Process) -> bool {
        let (mut pid, mut parent) = (process.pid(), process.parent());
        while let Some(waiter) = self.processes.find(parent) {
            let waits_for = waiter.waits_for.load(Ordering::Relaxed);
            if waits_for != pid && waits_for != ANY_CHILD {
                return false;
            }
            if waiter.parent() <= FIRST {
                return true;
            }
            (pid, parent) = (parent, waiter.parent());
        }
        false
    }
}

fn wake_parent(process: &Process, pid: u32) {
    if let Some(parent) = process.os().processes.find(pid) {
        parent.children.wake_all(process.os().kernel);
    }
}
