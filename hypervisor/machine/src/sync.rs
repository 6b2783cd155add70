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
    #[inline]
    fn relax() {
        core::hint::spin_loop();
        #[cfg(target_os = "none")]
        crate::tlb::service();
    }
}

/// Mutual exclusion.
pub type Mutex<T> = spin::mutex::SpinMutex<T, Relax>;
/// Guard of a [`Mutex`].
pub type MutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;
/// A value that is made once.
pub type Once<T> = spin::once::Once<T, Relax>;
