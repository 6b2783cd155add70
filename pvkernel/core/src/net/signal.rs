//! A wait queue that smoltcp can wake.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::Waker;

use crate::kernel::Kernel;
use crate::wait::WaitQueue;

struct Inner {
    kernel: &'static Kernel,
    queue: WaitQueue,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.queue.wake_all(self.kernel);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.wake_all(self.kernel);
    }
}

/// Threads that wait for one side of a socket.
pub struct Signal {
    inner: Arc<Inner>,
    /// Made once, so that registering it again costs nothing.
    waker: Waker,
}

impl Signal {
    /// A signal nobody waits for.
    pub fn new(kernel: &'static Kernel) -> Self {
        let inner = Arc::new(Inner { kernel, queue: WaitQueue::new() });
        let waker = Waker::from(Arc::clone(&inner));
        Self { inner, waker }
    }

    /// What smoltcp calls; must be registered again each time it was called.
    pub const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Tries until `attempt` has a result or the time has come. An attempt without a result must have
    /// registered the waker.
    pub fn wait<T>(
        &self,
        deadline_ns: Option<u64>,
        attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        self.wait_unless(deadline_ns, &|| false, attempt)
    }

    /// The same, for who may want to wait no longer: whoever makes `give_up` true wakes the thread.
    pub fn wait_unless<T>(
        &self,
        deadline_ns: Option<u64>,
        give_up: &dyn Fn() -> bool,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let mut result = attempt();
        if result.is_none() {
            self.inner.queue.wait_deadline(self.inner.kernel, deadline_ns, || {
                result = attempt();
                result.is_some() || give_up()
            });
        }
        result
    }
}
