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
        Counts { users: self.users.lock(), pool: self }
    }

    /// Takes one user from each frame; those without are free.
    pub fn release(&self, frames: impl Iterator<Item = usize>) {
        let mut counts = self.counts();
        frames.for_each(|frame| counts.release(frame));
    }
}

/// The counts while nobody else looks at them.
pub(super) struct Counts<'a> {
    users: LockGuard<'a, Vec<u16>>,
    pool: &'a Pool,
}

impl Counts<'_> {
    /// Whether more than one use a frame.
    #[inline]
    pub(super) fn is_shared(&self, frame: usize) -> bool {
        self.users.get(frame).is_some_and(|count| *count > 1)
    }

    /// Adds a user.
    #[inline]
    pub(super) fn share(&mut self, frame: usize) {
        // As many users as processes at most, which fit.
        if let Some(count) = self.users.get_mut(frame) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes a user away; without the last one the frame is free.
    #[inline]
    pub(super) fn release(&mut self, frame: usize) {
        let Some(count) = self.users.get_mut(frame) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.pool.mmu.free_frame(frame);
            self.pool.used.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
