//! Locks. All spin, and serve TLB flush requests of other CPUs while they do.
//!
//! Interrupts are off while the hypervisor runs, so a CPU that waits for a lock cannot take a flush
//! interrupt; and the holder of the lock may be the one that waits for the flush. Serving requests
//! in the waiting loop is what makes that combination safe. For the same reason no lock needs an
//! interrupt-safe variant: handlers run in guest mode and in `idle_wait`, where no lock is held.
//!
//! The lock order is written down in the image.

/// What a CPU does between two looks at a lock.
pub struct Relax;

impl spin::relax::RelaxStrategy for Relax {
    fn relax() {
        core::hint::spin_loop();
        #[cfg(target_os = "none")]
        crate::tlb::service();
    }
}

/// Mutual exclusion. Waiting is out of line: most locks are free, and the callers' registers are not
/// disturbed by code that is rarely run.
#[derive(Default)]
pub struct Mutex<T>(spin::mutex::SpinMutex<T, Relax>);

impl<T> Mutex<T> {
    /// A lock that is free.
    pub const fn new(value: T) -> Self {
        Self(spin::mutex::SpinMutex::new(value))
    }

    /// Waits until the lock is free and takes it.
    #[inline(always)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    /// Frees the lock, for a panic.
    ///
    /// # Safety
    /// Its holder never goes on.
    #[cfg(target_os = "none")]
    pub(crate) unsafe fn force_unlock(&self) {
        // SAFETY: as required of the caller.
        unsafe { self.0.force_unlock() };
    }
}
/// Guard of a [`Mutex`].
pub type MutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;
/// A value that is made once.
pub type Once<T> = spin::once::Once<T, Relax>;
