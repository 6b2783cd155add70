//! The table of processes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pvkernel_abi::Errno;

use super::meter::place;
use super::{Process, FIRST, MAX};
use crate::sync::Lock;

/// Numbers are given out up to here, then again from the beginning.
const LAST_PID: u32 = 99_999;

/// All processes, also those that have ended and that nobody has asked about.
pub struct Processes {
    inner: Lock<Inner>,
}

struct Inner {
    all: Vec<Arc<Process>>,
    /// Places of processes that are being made.
    promised: usize,
    last_pid: u32,
}

/// What `wait` finds.
pub(super) enum Waited {
    /// A child that has ended; it is no longer in the table.
    Ended(Arc<Process>),
    /// There are such children; none has ended.
    NotYet,
    /// There are no such children.
    Nobody,
}

impl Processes {
    /// An empty table; all its memory is taken now.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner { all: Vec::with_capacity(MAX), promised: 0, last_pid: 0 };
        Self { inner: Lock::new(inner) }
    }

    /// Takes a place and a number for a process that is about to be made.
    pub(super) fn promise(&self) -> Result<u32, Errno> {
        let mut inner = self.inner.lock();
        if inner.all.len() + inner.promised >= MAX {
            return Err(Errno::EAGAIN);
        }
        let mut pid = inner.last_pid;
        loop {
            pid = if pid >= LAST_PID { FIRST + 1 } else { pid + 1 };
            // Another number and another place.
            if !inner.all.iter().any(|process| place(process.pid()) == place(pid)) {
                break;
            }
        }
        inner.promised += 1;
        inner.last_pid = pid;
        Ok(pid)
    }

    /// Gives a promised place back.
    pub(super) fn give_back(&self) {
        let mut inner = self.inner.lock();
        inner.promised = inner.promised.saturating_sub(1);
    }

    /// Puts a process at its promised place.
    pub(super) fn add(&self, process: Arc<Process>) {
        let mut inner = self.inner.lock();
        inner.promised = inner.promised.saturating_sub(1);
        inner.all.push(process);
    }

    /// A process by its number.
    #[must_use]
    pub fn find(&self, pid: u32) -> Option<Arc<Process>> {
        let inner = self.inner.lock();
        inner.all.iter().find(|process| process.pid() == pid).map(Arc::clone)
    }

    /// A child of a process that does not wait for anything.
    pub(super) fn find_busy_child(&self, parent: u32) -> Option<Arc<Process>> {
        let mut all = (0..).map_while(|index| self.at(index));
        all.find(|process| process.parent() == parent && process.is_busy())
    }

    /// The one at a place; for who looks at all, one after the other.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<Arc<Process>> {
        self.inner.lock().all.get(index).map(Arc::clone)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a child that has ended out of the table.
    pub(super) fn take_ended(&self, parent: u32, pid: Option<u32>) -> Waited {
        let mut inner = self.inner.lock();
        let is_wanted = |process: &Arc<Process>| {
            process.parent() == parent && pid.is_none_or(|pid| process.pid() == pid)
        };
        let ended = |process: &Arc<Process>| is_wanted(process) && process.has_ended();
        if let Some(place) = inner.all.iter().position(ended) {
            return Waited::Ended(inner.all.remove(place));
        }
        match inner.all.iter().any(is_wanted) {
            true => Waited::NotYet,
            false => Waited::Nobody,
        }
    }

    /// Takes a process out of the table.
    pub(super) fn remove(&self, pid: u32) {
        let mut inner = self.inner.lock();
        let place = inner.all.iter().position(|process| process.pid() == pid);
        let removed = place.map(|place| inner.all.remove(place));
        drop(inner);
        drop(removed);
    }

    /// Gives the children of a process to another; says whether one of them has ended.
    pub(super) fn hand_over(&self, from: u32, to: u32) -> bool {
        let inner = self.inner.lock();
        let mut has_ended = false;
        for child in inner.all.iter().filter(|process| process.parent() == from) {
            child.parent.store(to, Ordering::Relaxed);
            has_ended |= child.has_ended();
        }
        has_ended
    }
}

impl Default for Processes {
    fn default() -> Self {
        Self::new()
    }
}
