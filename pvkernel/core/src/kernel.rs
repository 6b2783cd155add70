//! Threads on a platform: the scheduler's decisions, carried out.
//!
//! A backend makes one `Kernel` at boot and keeps it for ever. Threads are cooperative: they run
//! until they call `yield_now`, `sleep_until`, wait on a queue, or end. Event handlers run at the
//! same points, in the context of whoever got there, with no lock held; a handler may wake threads
//! and print, but must not wait.
//!
//! What it does not do: preempt. A thread that never yields keeps the others from running, although
//! events are still recorded by the backend.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::platform::{Ending, OutOfMemory, Platform, Stack};
use crate::sched::{Decision, Scheduler, ThreadId};
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// The threads of one vCPU and the platform they run on.
pub struct Kernel {
    platform: Platform,
    sched: Lock<Scheduler>,
    in_handler: AtomicBool,
    /// Time in which nobody ran.
    idled_ns: AtomicU64,
}

impl Kernel {
    /// A kernel whose first thread is the caller's.
    #[must_use]
    pub fn new(platform: Platform, main_name: &str) -> Self {
        let context = platform.cpu.boot_context();
        Self {
            platform,
            sched: Lock::new(Scheduler::new(main_name, context)),
            in_handler: AtomicBool::new(false),
            idled_ns: AtomicU64::new(0),
        }
    }

    /// The platform.
    #[must_use]
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Time since the platform's start.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.platform.clock.now_ns()
    }

    /// Time since the platform's start in which somebody ran, at a time that `now_ns` gave.
    #[must_use]
    pub fn busy_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.idled_ns.load(Ordering::Relaxed))
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// When there is no memory for its stack.
    pub fn spawn(
        &'static self,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle, OutOfMemory> {
        self.spawn_on(name, Stack::Large, body)
    }

    /// Starts a thread with a stack of a size.
    ///
    /// # Errors
    /// When there is no memory for its stack.
    pub fn spawn_on(
        &'static self,
        name: &str,
        stack: Stack,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle, OutOfMemory> {
        let end = Arc::new(ThreadEnd { done: AtomicBool::new(false), queue: WaitQueue::new() });
        let its_end = Arc::clone(&end);
        let entry = Box::new(move || {
            self.reap();
            body();
            its_end.done.store(true, Ordering::Release);
            its_end.queue.wake_all(self);
            Ending(self)
        });
        let context = self.platform.cpu.new_context(entry, stack)?;
        let id = self.sched.lock().spawn(name, context);
        Ok(JoinHandle { id, end, kernel: self })
    }

    /// Lets the other ready threads run.
    pub fn yield_now(&self) {
        self.sched.lock().yield_current();
        self.reschedule();
    }

    /// Blocks the current thread until the time has come.
    pub fn sleep_until(&self, deadline_ns: u64) {
        while self.now_ns() < deadline_ns {
            self.prepare_wait(Some(deadline_ns));
            self.reschedule();
        }
    }

    /// Wakes a blocked thread.
    pub fn wake(&self, id: ThreadId) {
        self.sched.lock().wake(id);
    }

    /// Whether a thread waits for something; false for one that has ended.
    #[must_use]
    pub fn is_waiting(&self, id: ThreadId) -> bool {
        self.sched.lock().is_waiting(id)
    }

    /// Until when a program may run: the end of its slice if others are ready, the time somebody sleeps
    /// for, or for ever.
    #[must_use]
    pub fn run_limit_ns(&self, slice_end_ns: u64) -> Option<u64> {
        let sched = self.sched.lock();
        let deadline_ns = sched.next_deadline_ns();
        match sched.has_ready() {
            false => deadline_ns,
            true => Some(deadline_ns.map_or(slice_end_ns, |other| other.min(slice_end_ns))),
        }
    }

    /// The running thread.
    #[must_use]
    pub fn current(&self) -> ThreadId {
        self.sched.lock().current()
    }

    /// Threads that have not ended.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.sched.lock().len()
    }

    /// Runs the handlers of events that have happened.
    ///
    /// # Panics
    /// If a handler waits, which would run handlers inside of handlers.
    pub fn dispatch_events(&self) {
        if !self.platform.irq.is_raised() {
            return;
        }
        assert!(!self.in_handler.swap(true, Ordering::Relaxed), "an event handler waited");
        self.platform.irq.dispatch();
        self.in_handler.store(false, Ordering::Relaxed);
    }

    pub(crate) fn prepare_wait(&self, deadline_ns: Option<u64>) -> ThreadId {
        let mut sched = self.sched.lock();
        sched.prepare_wait(deadline_ns);
        sched.current()
    }

    pub(crate) fn cancel_wait(&self) {
        self.sched.lock().cancel_wait();
    }

    /// Runs whoever should run now; returns when the calling thread runs again.
    pub(crate) fn reschedule(&self) {
        loop {
            self.dispatch_events();
            let decision = {
                let mut sched = self.sched.lock();
                // Who waits for nothing but events need not know the time.
                if sched.next_deadline_ns().is_some() {
                    sched.expire(self.now_ns());
                }
                sched.pick()
            };
            match decision {
                Decision::Stay => return,
                Decision::Switch(context) => {
                    self.platform.cpu.switch(context);
                    self.reap();
                    return;
                }
                Decision::Idle(deadline_ns) => self.idle(deadline_ns),
            }
        }
    }

    fn idle(&self, deadline_ns: Option<u64>) {
        let start_ns = self.now_ns();
        self.platform.cpu.idle(deadline_ns);
        let idled_ns = self.idled_ns.load(Ordering::Relaxed) + (self.now_ns() - start_ns);
        self.idled_ns.store(idled_ns, Ordering::Relaxed);
    }

    /// Frees the stacks of threads that ended; runs on another stack than theirs.
    fn reap(&self) {
        let zombies = self.sched.lock().take_zombies();
        zombies.into_iter().for_each(|context| self.platform.cpu.free_context(context));
    }

    pub(crate) fn exit(&self) -> ! {
        self.sched.lock().exit_current();
        self.reschedule();
        panic!("a thread ran after its end");
    }
}

struct ThreadEnd {
    done: AtomicBool,
    queue: WaitQueue,
}

/// A thread that was started; dropping the handle lets it run on alone.
pub struct JoinHandle {
    id: ThreadId,
    end: Arc<ThreadEnd>,
    kernel: &'static Kernel,
}

impl JoinHandle {
    /// Names the thread.
    #[must_use]
    pub const fn id(&self) -> ThreadId {
        self.id
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end.done.load(Ordering::Acquire)
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        self.end.queue.wait_until(self.kernel, || self.end.done.load(Ordering::Acquire));
    }
}
