//! A lock whose holder may wait.
//!
//! Whoever finds it taken sleeps until it is free. For state that is used across I/O: a file system, a
//! request to the store. Everything short uses `Lock`. Event handlers must not take it.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::kernel::Kernel;
use crate::sync::{Lock, LockGuard};
use crate::wait::WaitQueue;

/// Mutual exclusion between threads that may wait meanwhile.
pub struct SleepLock<T> {
    taken: AtomicBool,
    queue: WaitQueue,
    data: Lock<T>,
}

impl<T> SleepLock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), queue: WaitQueue::new(), data: Lock::new(value) }
    }

    /// Takes the lock, and sleeps until that is possible.
    pub fn lock<'a>(&'a self, kernel: &'a Kernel) -> SleepGuard<'a, T> {
        // Mostly it is free, and then nothing of the scheduler's is touched.
        if self.taken.swap(true, Ordering::Acquire) {
            self.queue.wait_until(kernel, || !self.taken.swap(true, Ordering::Acquire));
        }
        SleepGuard { lock: self, kernel, data: Some(self.data.lock()) }
    }

    /// Takes the lock if it is free.
    pub fn try_lock<'a>(&'a self, kernel: &'a Kernel) -> Option<SleepGuard<'a, T>> {
        match self.taken.swap(true, Ordering::Acquire) {
            true => None,
            false => Some(SleepGuard { lock: self, kernel, data: Some(self.data.lock()) }),
        }
    }
}

/// The data of a `SleepLock`; gives it free when dropped.
pub struct SleepGuard<'a, T> {
    lock: &'a SleepLock<T>,
    kernel: &'a Kernel,
    data: Option<LockGuard<'a, T>>,
}

impl<T> Deref for SleepGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.data.as_ref().expect("present until the guard is dropped")
    }
}

impl<T> DerefMut for SleepGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.data.as_mut().expect("present until the guard is dropped")
    }
}

impl<T> Drop for SleepGuard<'_, T> {
    fn drop(&mut self) {
        self.data = None;
        self.lock.taken.store(false, Ordering::Release);
        self.lock.queue.wake_all(self.kernel);
    }
}

#[cfg(test)]
mod tests {
    use super::SleepLock;
    use crate::kernel::Kernel;
    use crate::platform::hosted::Hosted;
    use std::boxed::Box;

    #[test]
    fn a_holder_may_wait_and_nobody_gets_in_meanwhile() {
        let (_, platform) = Hosted::leak();
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
        let lock: &'static SleepLock<u32> = Box::leak(Box::new(SleepLock::new(0)));
        let add = move || {
            for _ in 0..20 {
                let mut guard = lock.lock(kernel);
                let seen = *guard;
                kernel.yield_now();
                *guard = seen + 1;
            }
        };
        let handles: std::vec::Vec<_> =
            (0..3).map(|_| kernel.spawn("adder", add).expect("memory")).collect();
        handles.into_iter().for_each(crate::kernel::JoinHandle::join);
        assert_eq!(*lock.lock(kernel), 60);
    }
}
