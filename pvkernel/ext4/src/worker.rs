//! The thread that owns the file system.
//!
//! What `rsext4` does takes about 30 KiB of stack, more than threads of processes have. So a thread with
//! a large stack owns the mounted file system and does what others ask for, one thing after another.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use pvkernel_abi::Errno;
use pvkernel_core::kernel::{JoinHandle, Kernel};
use pvkernel_core::sync::Lock;
use pvkernel_core::wait::WaitQueue;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

struct Inbox<S> {
    jobs: VecDeque<Job<S>>,
    is_closed: bool,
}

struct Shared<S> {
    inbox: Lock<Inbox<S>>,
    has_work: WaitQueue,
}

/// A place for an answer.
struct Answer<T> {
    value: Lock<Option<T>>,
    is_there: WaitQueue,
}

/// A thread that owns an `S`. Dropping this ends it and waits for the end.
pub(crate) struct Worker<S> {
    kernel: &'static Kernel,
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle>,
}

impl<S> Shared<S> {
    fn next(&self, kernel: &Kernel) -> Option<Job<S>> {
        let mut next = None;
        self.has_work.wait_until(kernel, || {
            let mut inbox = self.inbox.lock();
            next = inbox.jobs.pop_front();
            next.is_some() || inbox.is_closed
        });
        next
    }
}

impl<S: 'static> Worker<S> {
    /// Starts the thread, which makes what it owns.
    ///
    /// # Errors
    /// `ENOMEM` without memory for a stack, or what `make` says.
    pub(crate) fn start(
        kernel: &'static Kernel,
        make: impl FnOnce() -> Result<S, Errno> + Send + 'static,
    ) -> Result<Self, Errno> {
        let inbox = Inbox { jobs: VecDeque::new(), is_closed: false };
        let shared = Arc::new(Shared { inbox: Lock::new(inbox), has_work: WaitQueue::new() });
        let theirs = Arc::clone(&shared);
        let made = Arc::new(Answer { value: Lock::new(None), is_there: WaitQueue::new() });
        let told = Arc::clone(&made);
        let body = move || {
            let state = make();
            *told.value.lock() = Some(state.as_ref().map(drop).map_err(|error| *error));
            told.is_there.wake_all(kernel);
            let Ok(mut state) = state else { return };
            while let Some(job) = theirs.next(kernel) {
                job(&mut state);
            }
        };
        let thread = kernel.spawn("ext4", body).map_err(|_| Errno::ENOMEM)?;
        let worker = Self { kernel, shared, thread: Some(thread) };
        made.is_there.wait_until(kernel, || made.value.lock().is_some());
        let made = made.value.lock().take();
        made.unwrap_or(Err(Errno::EIO)).map(|()| worker)
    }

    /// Has something done and waits for it.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let kernel = self.kernel;
        let answer = Arc::new(Answer { value: Lock::new(None), is_there: WaitQueue::new() });
        let told = Arc::clone(&answer);
        let job: Job<S> = Box::new(move |state| {
            let value = work(state);
            *told.value.lock() = Some(value);
            told.is_there.wake_all(kernel);
        });
        {
            let mut inbox = self.shared.inbox.lock();
            if inbox.is_closed {
                return Err(Errno::EIO);
            }
            inbox.jobs.push_back(job);
        }
        self.shared.has_work.wake_all(kernel);
        answer.is_there.wait_until(kernel, || answer.value.lock().is_some());
        let value = answer.value.lock().take();
        value.unwrap_or(Err(Errno::EIO))
    }

    /// Takes no more work; what was asked for before is done.
    pub(crate) fn close(&self) {
        self.shared.inbox.lock().is_closed = true;
        self.shared.has_work.wake_all(self.kernel);
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.shared.inbox.lock().is_closed = true;
        self.shared.has_work.wake_all(self.kernel);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}
