//! Contexts to run threads in, and the idle state.

use super::OutOfMemory;
use crate::kernel::Kernel;
use alloc::boxed::Box;

/// Names an execution context of the backend: a stack and the registers saved on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(usize);

impl ContextId {
    /// The context with this index in the backend's table.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Index in the backend's table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// What a context runs first. It has nothing to return to: whoever calls it then lets the [`Ending`]
/// take effect, when the entry itself is freed already.
pub type Entry = Box<dyn FnOnce() -> Ending + Send>;

/// The end of a thread, still to take effect.
pub struct Ending(pub(crate) &'static Kernel);

impl Ending {
    /// Ends the running thread.
    pub fn take_effect(self) -> ! {
        self.0.exit()
    }
}

/// How much stack a context gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// 64 KiB, for services.
    Large,
    /// 32 KiB, for the kernel's side of a process. Some are kept mapped for the next one;
    /// `Mmu::free_frames` counts those as free.
    Small,
}

/// One processor.
pub trait Cpu: Sync {
    /// The context the kernel was started in.
    fn boot_context(&self) -> ContextId;

    /// Makes a context that will run `entry` when it is first switched to.
    ///
    /// # Errors
    /// When there is no memory for a stack.
    fn new_context(&self, entry: Entry, stack: Stack) -> Result<ContextId, OutOfMemory>;

    /// Saves the running context and continues another; returns when somebody switches back.
    fn switch(&self, to: ContextId);

    /// Frees a context that will not run again and is not running now.
    fn free_context(&self, context: ContextId);

    /// Waits until an event is recorded or the time has come. Returns at once if one was recorded
    /// before: looking and falling asleep are one step.
    fn idle(&self, deadline_ns: Option<u64>);
}
