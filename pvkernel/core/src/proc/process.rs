//! One process.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use pvkernel_abi::{Process as Shown, ProcessState};

use crate::fs::FileTable;
use crate::os::Os;
use crate::platform::FpuId;
use crate::sched::ThreadId;
use crate::sync::Lock;
use crate::vm::Space;
use crate::wait::WaitQueue;

/// Bytes of a name that are kept.
const NAME: usize = 32;

/// In `waits_for`: the end of any child.
pub(super) const ANY_CHILD: u32 = u32::MAX;

/// A process.
pub struct Process {
    pid: u32,
    os: &'static Os,
    pub(super) parent: AtomicU32,
    name: Lock<[u8; NAME]>,
    /// Present until it ends.
    pub(super) space: Lock<Option<Space>>,
    /// What it has open.
    pub files: FileTable,
    pub(super) fpu: FpuId,
    pub(super) thread: Lock<Option<ThreadId>>,
    killed: AtomicBool,
    pub(super) ended: AtomicBool,
    pub(super) status: AtomicI32,
    /// The child whose end it waits for: its number, `ANY_CHILD`, or 0.
    pub(super) waits_for: AtomicU32,
    /// Where it waits for the end of children.
    pub(super) children: WaitQueue,
}

impl Process {
    pub(super) fn new(
        os: &'static Os,
        pid: u32,
        parent: u32,
        space: Space,
        files: FileTable,
        fpu: FpuId,
    ) -> Self {
        Self {
            pid,
            os,
            parent: AtomicU32::new(parent),
            name: Lock::new([0; NAME]),
            space: Lock::new(Some(space)),
            files,
            fpu,
            thread: Lock::new(None),
            killed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            status: AtomicI32::new(0),
            waits_for: AtomicU32::new(0),
            children: WaitQueue::new(),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The system it belongs to.
    #[must_use]
    pub const fn os(&self) -> &'static Os {
        self.os
    }

    /// The number of its parent, 0 when that has ended.
    #[must_use]
    pub fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// Whether it is to end as soon as it can. What waits for long asks this and gives up.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Makes it end as soon as it can.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        let thread = *self.thread.lock();
        if let Some(thread) = thread {
            self.os.kernel.wake(thread);
        }
    }

    /// Looks at its memory, or changes it. Threads must not switch meanwhile.
    pub fn with_space<T>(&self, work: impl FnOnce(&mut Space) -> T) -> Option<T> {
        let mut space = self.space.lock();
        space.as_mut().map(work)
    }

    /// Names it after its program: the last part of a path.
    pub(super) fn set_name(&self, path: &[u8]) {
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let len = last.len().min(NAME);
        let mut name = [0; NAME];
        name[..len].copy_from_slice(&last[..len]);
        *self.name.lock() = name;
    }

    /// Its name; zero bytes behind.
    #[must_use]
    pub fn name(&self) -> [u8; NAME] {
        *self.name.lock()
    }

    /// Whether it runs, or could.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state(), ProcessState::Running)
    }

    fn state(&self) -> ProcessState {
        if self.has_ended() {
            return ProcessState::Ended;
        }
        let thread = *self.thread.lock();
        match thread.is_some_and(|thread| self.os.kernel.is_waiting(thread)) {
            true => ProcessState::Sleeping,
            false => ProcessState::Running,
        }
    }

    /// What `processes` tells about it.
    #[must_use]
    pub fn shown(self: &Arc<Self>) -> Shown {
        let pages = self.space.lock().as_ref().map_or(0, Space::pages);
        Shown {
            pid: self.pid,
            parent: self.parent(),
            state: self.state() as u32,
            descriptors: self.files.count() as u32,
            pages: pages as u64,
            run_ns: self
                .os
                .meters
                .spent_ns(self.pid, self.os.kernel.busy_ns(self.os.kernel.now_ns())),
            name: self.name(),
        }
    }
}

/// A name for people.
pub(super) struct Name(pub [u8; NAME]);

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(NAME);
        self.0[..len].escape_ascii().fmt(f)
    }
}
