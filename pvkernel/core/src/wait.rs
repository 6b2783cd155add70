//! Wait queues.
//!
//! A thread waits until a condition holds; whoever makes it hold calls `wake_all`. The waiter puts
//! itself on the queue *before* it evaluates the condition, so a wake-up that comes in between
//! finds it and cancels the wait: no wake-up is lost. A woken thread always looks at its condition
//! again, so a spurious wake-up does no harm.

use alloc::vec::Vec;

use crate::kernel::Kernel;
use crate::sched::ThreadId;
use crate::sync::Lock;

/// Threads in the order in which they began to wait. Mostly there is one, which costs no memory of the
/// heap.
struct Waiters {
    first: Option<ThreadId>,
    /// Those behind the first; empty without one.
    others: Vec<ThreadId>,
}

impl Waiters {
    fn push(&mut self, waiter: ThreadId) {
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.others.push(waiter),
        }
    }

    fn remove(&mut self, waiter: ThreadId) {
        if self.first != Some(waiter) {
            return self.others.retain(|other| *other != waiter);
        }
        self.first = match self.others.is_empty() {
            true => None,
            false => Some(self.others.remove(0)),
        };
    }
}

/// Threads that wait for something.
pub struct WaitQueue {
    waiters: Lock<Waiters>,
}

impl WaitQueue {
    /// A queue nobody waits on.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiters: Lock::new(Waiters { first: None, others: Vec::new() }) }
    }

    /// Waits until `condition` returns true. The condition runs in this thread; it must not wait.
    pub fn wait_until(&self, kernel: &Kernel, condition: impl FnMut() -> bool) {
        self.wait_deadline(kernel, None, condition);
    }

    /// Waits until `condition` returns true or the time has come; returns the last result of the
    /// condition.
    pub fn wait_deadline(
        &self,
        kernel: &Kernel,
        deadline_ns: Option<u64>,
        mut condition: impl FnMut() -> bool,
    ) -> bool {
        loop {
            let me = kernel.prepare_wait(deadline_ns);
            self.waiters.lock().push(me);
            let holds = condition();
            let is_late = || deadline_ns.is_some_and(|deadline| kernel.now_ns() >= deadline);
            if holds || is_late() {
                kernel.cancel_wait();
                self.waiters.lock().remove(me);
                return holds;
            }
            kernel.reschedule();
            self.waiters.lock().remove(me);
        }
    }

    /// Wakes every waiter.
    pub fn wake_all(&self, kernel: &Kernel) {
        let mut waiters = self.waiters.lock();
        let (first, mut others) = (waiters.first.take(), core::mem::take(&mut waiters.others));
        drop(waiters);
        first.into_iter().chain(others.drain(..)).for_each(|waiter| kernel.wake(waiter));
        // The memory of the list stays: a queue is used again and again, and what the heap holds must
        // not depend on whether its last waiter was woken or found its condition true.
        let mut waiters = self.waiters.lock();
        if waiters.others.capacity() == 0 {
            waiters.others = others;
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}
