//! The scheduler's policy: who runs next.
//!
//! Plain data: no locks, no clock, no switching. `kernel` calls it and performs what it decides.
//! Threads take turns in the order in which they became ready. They are cooperative: a thread runs
//! until it yields, sleeps, waits or exits.
//!
//! Invariants: exactly one thread is current; a thread is in the ready list exactly when its state
//! is `Ready`; a blocked thread with a deadline is in the timer queue under that deadline.
//!
//! A thread that is about to wait first calls `prepare_wait` and only then looks at its condition.
//! A wake-up between the two finds the thread blocked and cancels the wait, so none is lost.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::platform::ContextId;
use crate::timer::TimerQueue;

/// Threads for which there is room from the beginning.
const ROOM: usize = 32;

/// Names a thread; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId {
    number: u64,
    /// Its place in the table, which is another thread's when it has exited.
    place: u32,
}

impl ThreadId {
    /// The number, for people.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.number
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Blocked { deadline_ns: Option<u64> },
}

#[derive(Debug)]
struct Thread {
    number: u64,
    name: String,
    context: ContextId,
    state: State,
}

/// The switch that `pick` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The current thread goes on.
    Stay,
    /// Another context runs now.
    Switch(ContextId),
    /// Nobody can run before this deadline or an event.
    Idle(Option<u64>),
}

/// All threads and the order in which they run.
#[derive(Debug)]
pub struct Scheduler {
    threads: Vec<Option<Thread>>,
    ready: VecDeque<ThreadId>,
    sleepers: TimerQueue<ThreadId>,
    zombies: Vec<ContextId>,
    current: ThreadId,
    next_id: u64,
}

impl Scheduler {
    /// A scheduler whose only thread is the caller's, running in `context`.
    #[must_use]
    pub fn new(name: &str, context: ContextId) -> Self {
        let main = ThreadId { number: 0, place: 0 };
        let name = String::from(name);
        let mut threads = Vec::with_capacity(ROOM);
        threads.push(Some(Thread { number: 0, name, context, state: State::Running }));
        Self {
            threads,
            ready: VecDeque::with_capacity(ROOM),
            sleepers: TimerQueue::new(),
            zombies: Vec::new(),
            current: main,
            next_id: 1,
        }
    }

    /// The running thread.
    #[must_use]
    pub const fn current(&self) -> ThreadId {
        self.current
    }

    /// Adds a thread that is ready to run in `context`.
    pub fn spawn(&mut self, name: &str, context: ContextId) -> ThreadId {
        let number = self.next_id;
        self.next_id += 1;
        let name = String::from(name);
        let thread = Some(Thread { number, name, context, state: State::Ready });
        let place = match self.threads.iter().position(Option::is_none) {
            Some(place) => {
                self.threads[place] = thread;
                place
            }
            None => {
                self.threads.push(thread);
                self.threads.len() - 1
            }
        };
        let id = ThreadId { number, place: place as u32 };
        self.ready.push_back(id);
        id
    }

    fn thread(&self, id: ThreadId) -> Option<&Thread> {
        let thread = self.threads.get(id.place as usize)?.as_ref()?;
        (thread.number == id.number).then_some(thread)
    }

    fn thread_mut(&mut self, id: ThreadId) -> Option<&mut Thread> {
        let thread = self.threads.get_mut(id.place as usize)?.as_mut()?;
        (thread.number == id.number).then_some(thread)
    }

    /// Puts the current thread behind all others that are ready.
    pub fn yield_current(&mut self) {
        let id = self.current;
        if self.set_current_state(State::Ready) {
            self.ready.push_back(id);
        }
    }

    /// Blocks the current thread until it is woken or the deadline has passed. The thread goes on
    /// running until the next `pick`, and may still call `cancel_wait`.
    pub fn prepare_wait(&mut self, deadline_ns: Option<u64>) {
        let id = self.current;
        if self.set_current_state(State::Blocked { deadline_ns }) {
            if let Some(deadline_ns) = deadline_ns {
                self.sleepers.insert(deadline_ns, id);
            }
        }
    }

    /// Takes back `prepare_wait`.
    pub fn cancel_wait(&mut self) {
        self.wake(self.current);
    }

    /// Makes a blocked thread ready; does nothing to any other, and nothing to one that exited.
    pub fn wake(&mut self, id: ThreadId) {
        let is_current = id == self.current;
        let Some(thread) = self.thread_mut(id) else { return };
        let State::Blocked { deadline_ns } = thread.state else { return };
        thread.state = if is_current { State::Running } else { State::Ready };
        if let Some(deadline_ns) = deadline_ns {
            self.sleepers.remove(deadline_ns, id);
        }
        if !is_current {
            self.ready.push_back(id);
        }
    }

    /// Whether a thread waits for something; false for one that has exited.
    #[must_use]
    pub fn is_waiting(&self, id: ThreadId) -> bool {
        self.thread(id).is_some_and(|thread| matches!(thread.state, State::Blocked { .. }))
    }

    /// Whether a thread is ready beside the current one.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next time at which a thread is to be woken.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.sleepers.next_deadline_ns()
    }

    /// Wakes every thread whose deadline is not after `now_ns`.
    pub fn expire(&mut self, now_ns: u64) {
        while let Some((deadline_ns, id)) = self.sleepers.pop_due(now_ns) {
            // Put back under the same deadline so that `wake` finds what it removes.
            self.sleepers.insert(deadline_ns, id);
            self.wake(id);
        }
    }

    /// Ends the current thread; its context becomes a zombie when the next thread runs.
    pub fn exit_current(&mut self) {
        if self.thread(self.current).is_none() {
            return;
        }
        let place = self.threads.get_mut(self.current.place as usize);
        if let Some(thread) = place.and_then(Option::take) {
            self.zombies.push(thread.context);
        }
    }

    /// Contexts of threads that ended. Must be called by a thread that runs in another context.
    pub fn take_zombies(&mut self) -> Vec<ContextId> {
        core::mem::take(&mut self.zombies)
    }

    /// Decides who runs now, and makes that thread the current one.
    pub fn pick(&mut self) -> Decision {
        if self.thread(self.current).is_some_and(|thread| thread.state == State::Running) {
            return Decision::Stay;
        }
        let Some(next) = self.ready.pop_front() else {
            return Decision::Idle(self.next_deadline_ns());
        };
        let was = core::mem::replace(&mut self.current, next);
        match self.thread_mut(next) {
            Some(thread) => {
                thread.state = State::Running;
                if was == next {
                    Decision::Stay
                } else {
                    Decision::Switch(thread.context)
                }
            }
            // Unreachable by the invariant on the ready list; looking again is always correct.
            None => self.pick(),
        }
    }

    /// The context of the current thread, unless it exited.
    #[must_use]
    pub fn current_context(&self) -> Option<ContextId> {
        self.thread(self.current).map(|thread| thread.context)
    }

    /// The name of a thread that has not exited.
    #[must_use]
    pub fn name(&self, id: ThreadId) -> Option<&str> {
        self.thread(id).map(|thread| thread.name.as_str())
    }

    /// Threads that have not exited.
    #[must_use]
    pub fn len(&self) -> usize {
        self.threads.iter().flatten().count()
    }

    /// Whether every thread has exited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set_current_state(&mut self, state: State) -> bool {
        match self.thread_mut(self.current) {
            Some(thread) => {
                thread.state = state;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
#[path = "sched_tests.rs"]
mod tests;
