//! The one kind of lock of the kernel.
//!
//! Threads are cooperative and nothing that an event upcall runs takes a lock, so on one vCPU a
//! contended lock means that somebody switched threads while holding it. `Lock` turns that mistake
//! into a message instead of a silent hang: it spins for a bounded time only.
//!
//! Rule: never call anything that may switch threads while a guard is alive.

use spin::mutex::{SpinMutex, SpinMutexGuard};

/// Attempts before a lock is declared dead; about a second on an emulated machine.
const MAX_ATTEMPTS: u32 = 1 << 24;

/// A mutual exclusion lock that reports a deadlock.
pub struct Lock<T> {
    inner: SpinMutex<T>,
}

/// Access to the data of a `Lock`; releases it when dropped.
pub type LockGuard<'a, T> = SpinMutexGuard<'a, T>;

impl<T> Lock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { inner: SpinMutex::new(value) }
    }

    /// Takes the lock.
    ///
    /// # Panics
    /// If the lock does not become free in a bounded time: its holder switched threads.
    pub fn lock(&self) -> LockGuard<'_, T> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(guard) = self.inner.try_lock() {
                return guard;
            }
            core::hint::spin_loop();
        }
        panic!("deadlock: a lock was held while threads switched");
    }

    /// Takes the lock if it is free; for the panic path, which must not wait.
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        self.inner.try_lock()
    }
}
