//! The system that programs see: processes and files on a kernel with user mode.
//!
//! A backend's image calls `run` from its main thread, with the archive of programs. What is here is what
//! all processes share.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use pvkernel_abi::Errno;

use crate::kernel::Kernel;
use crate::platform::User;
use crate::proc::{self, Processes};
use crate::vm::Pool;
use crate::wait::WaitQueue;

/// How long a process runs while others want to.
pub const SLICE_NS: u64 = 10_000_000;

/// What a system needs beside its machine.
pub struct Setup {
    /// The archive of programs.
    pub archive: Option<&'static [u8]>,
    /// Looks a program up in it.
    pub find: fn(&'static [u8], &[u8]) -> Option<&'static [u8]>,
}

/// The system.
pub struct Os {
    /// Its threads.
    pub kernel: &'static Kernel,
    /// The machine's user mode.
    pub user: &'static dyn User,
    /// Frames of processes.
    pub pool: &'static Pool,
    /// All processes.
    pub processes: Processes,
    setup: Setup,
    /// The process whose program the machine is ready to run, or 0.
    current: AtomicU32,
    slice_end_ns: AtomicU64,
    over: AtomicBool,
    status: AtomicI32,
    end: WaitQueue,
}

impl Os {
    /// A system on a kernel; `None` if its machine has no user mode.
    #[must_use]
    pub fn leak(kernel: &'static Kernel, setup: Setup) -> Option<&'static Self> {
        let platform = kernel.platform();
        let user = platform.user?;
        let pool = Box::leak(Box::new(Pool::new(platform.mmu, user)));
        Some(Box::leak(Box::new(Self {
            kernel,
            user,
            pool,
            processes: Processes::new(),
            setup,
            current: AtomicU32::new(0),
            slice_end_ns: AtomicU64::new(0),
            over: AtomicBool::new(false),
            status: AtomicI32::new(0),
            end: WaitQueue::new(),
        })))
    }

    pub(crate) fn is_current(&self, pid: u32) -> bool {
        self.current.load(Ordering::Relaxed) == pid
    }

    pub(crate) fn set_current(&self, pid: u32, slice_end_ns: u64) {
        self.current.store(pid, Ordering::Relaxed);
        self.slice_end_ns.store(slice_end_ns, Ordering::Relaxed);
    }

    /// Whoever runs next has to be made ready first.
    pub(crate) fn nobody_is_current(&self) {
        self.current.store(0, Ordering::Relaxed);
    }

    pub(crate) fn slice_end_ns(&self) -> u64 {
        self.slice_end_ns.load(Ordering::Relaxed)
    }

    /// The contents of a program.
    pub(crate) fn program(
        &self,
        _files: &proc::Files,
        path: &[u8],
    ) -> Result<Cow<'static, [u8]>, Errno> {
        let archive = self.setup.archive.ok_or(Errno::ENOENT)?;
        (self.setup.find)(archive, path).map(Cow::Borrowed).ok_or(Errno::ENOENT)
    }

    pub(crate) fn first_ended(&self, status: i32) {
        self.status.store(status, Ordering::Relaxed);
        self.over.store(true, Ordering::Release);
        self.end.wake_all(self.kernel);
    }
}

/// Runs a first program until it ends; its status.
///
/// # Errors
/// It cannot be started.
pub fn run(os: &'static Os, path: &[u8], args: &[&[u8]]) -> Result<i32, Errno> {
    proc::start_first(os, path, args)?;
    os.end.wait_until(os.kernel, || os.over.load(Ordering::Acquire));
    Ok(os.status.load(Ordering::Relaxed))
}
