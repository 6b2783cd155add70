//! Frames of processes, and how many use each.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::RESERVE;
use crate::platform::{Mmu, User};
use crate::sync::{Lock, LockGuard};

/// Frames with counts of their users.
pub struct Pool {
    mmu: &'static dyn Mmu,
    user: &'static dyn User,
    users: Lock<Vec<u16>>,
    used: AtomicUsize,
}

impl Pool {
    /// A pool on a machine. The counts take their memory now.
    #[must_use]
    pub fn new(mmu: &'static dyn Mmu, user: &'static dyn User) -> Self {
        let users = Lock::new(alloc::vec![0; mmu.total_frames()]);
        Self { mmu, user, users, used: AtomicUsize::new(0) }
    }

    /// The machine's user mode.
    #[must_use]
    pub fn user(&self) -> &'static dyn User {
        self.user
    }

    /// Frames that processes use, shared ones once.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether processes may have so many more frames.
    #[must_use]
    pub fn has(&self, frames: usize) -> bool {
        self.mmu.free_frames() > RESERVE.saturating_add(frames)
    }

    /// A frame with one user; its contents are whatever they were. `None` when only the reserve is left.
    pub fn alloc(&self) -> Option<usize> {
        if !self.has(0) {
            return None;
        }
        let frame = self.mmu.alloc_frame()?;
        let mut users = self.users.lock();
        let Some(count) = users.get_mut(frame) else {
            drop(users);
            self.mmu.free_frame(frame);
            return None;
        };
        *count = 1;
        drop(users);
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(frame)
    }

    /// How many use a frame.
    #[must_use]
    pub fn users(&self, frame: usize) -> u16 {
        self.users.lock().get(frame).copied().unwrap_or(0)
    }

    /// The counts, for who looks at many.
    pub(super) fn counts(&self) -> Counts<'_> {
        Counts(self.users.lock())
    }

    /// Takes one user from each frame; those without are free.
    pub fn release(&self, frames: impl Iterator<Item = usize>) {
        for frame in frames {
            let mut users = self.users.lock();
            let Some(count) = users.get_mut(frame) else { continue };
            *count = count.saturating_sub(1);
            let is_last = *count == 0;
            drop(users);
            if is_last {
                self.mmu.free_frame(frame);
                self.used.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// The counts while nobody else looks at them.
pub(super) struct Counts<'a>(LockGuard<'a, Vec<u16>>);

impl Counts<'_> {
    /// Whether more than one use a frame.
    pub(super) fn is_shared(&self, frame: usize) -> bool {
        self.0.get(frame).is_some_and(|count| *count > 1)
    }

    /// Adds a user.
    pub(super) fn share(&mut self, frame: usize) {
        // As many users as processes at most, which fit.
        if let Some(count) = self.0.get_mut(frame) {
            *count = count.saturating_add(1);
        }
    }
}
