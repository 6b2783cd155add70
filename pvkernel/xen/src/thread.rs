//! Kernel threads: the backend's contexts and the programs' API.
//!
//! A context is a stack with a saved stack pointer.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

use pvkernel_core::kernel::{JoinHandle, Kernel};
use pvkernel_core::platform::{ContextId, Entry, OutOfMemory, Stack as Size};
use pvkernel_core::sync::Lock;
use spin::Once;

use crate::stack::Stack;
use crate::{platform, time};

static KERNEL: Once<Kernel> = Once::new();

/// Makes the caller the first thread.
pub(crate) fn init() {
    CONTEXTS.lock().push(Some(Box::new(Context::new(None, None))));
    KERNEL.call_once(|| Kernel::new(platform::platform(), "main"));
}

/// The kernel all threads belong to.
///
/// # Panics
/// Before threads are started at boot.
#[must_use]
pub fn kernel() -> &'static Kernel {
    KERNEL.get().expect("threads are started at boot")
}

/// Starts a thread.
///
/// # Errors
/// When there is no memory for its stack.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle, OutOfMemory> {
    kernel().spawn(name, body)
}

/// Lets the other ready threads run, and the handlers of events.
pub fn yield_now() {
    kernel().yield_now();
}

/// Sleeps for a time.
pub fn sleep_ns(duration_ns: u64) {
    kernel().sleep_until(time::now_ns().saturating_add(duration_ns));
}

/// Sleeps until a system time.
pub fn sleep_until(deadline_ns: u64) {
    kernel().sleep_until(deadline_ns);
}

/// Threads that have not ended.
pub(crate) fn count() -> usize {
    KERNEL.get().map_or(0, Kernel::thread_count)
}

/// Threads that wait for something.
pub struct WaitQueue(pvkernel_core::wait::WaitQueue);

impl WaitQueue {
    /// A queue nobody waits on.
    #[must_use]
    pub const fn new() -> Self {
        Self(pvkernel_core::wait::WaitQueue::new())
    }

    /// Waits until `condition` returns true.
    pub fn wait_until(&self, condition: impl FnMut() -> bool) {
        self.0.wait_until(kernel(), condition);
    }

    /// Waits until `condition` returns true or the time has come; returns its last result.
    pub fn wait_deadline(&self, deadline_ns: u64, condition: impl FnMut() -> bool) -> bool {
        self.0.wait_deadline(kernel(), Some(deadline_ns), condition)
    }

    /// Wakes every waiter.
    pub fn wake_all(&self) {
        if let Some(kernel) = KERNEL.get() {
            self.0.wake_all(kernel);
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

struct Context {
    /// Stack pointer while the context is not running; written by `context_switch`.
    saved_sp: UnsafeCell<usize>,
    entry: Option<Entry>,
    /// Kept until the context is freed.
    _stack: Option<Stack>,
}

// SAFETY: contexts are reached through the lock, and `saved_sp` also by `context_switch`, of which
// there is one at a time on one vCPU.
unsafe impl Send for Context {}

impl Context {
    const fn new(stack: Option<Stack>, entry: Option<Entry>) -> Self {
        Self { saved_sp: UnsafeCell::new(0), entry, _stack: stack }
    }
}

/// Contexts by index. Boxed, so that `saved_sp` does not move while a switch writes to it.
static CONTEXTS: Lock<Vec<Option<Box<Context>>>> = Lock::new(Vec::new());
/// The context that is running.
static CURRENT: Lock<usize> = Lock::new(0);

// SAFETY: defined in switch.S with these signatures.
#[cfg(target_os = "none")]
unsafe extern "C" {
    fn context_switch(save: *mut usize, load: usize);
    fn thread_trampoline();
}

/// On a host there are no contexts to switch; the symbols only have to exist.
#[cfg(not(target_os = "none"))]
unsafe extern "C" fn context_switch(_save: *mut usize, _load: usize) {}
#[cfg(not(target_os = "none"))]
extern "C" fn thread_trampoline() {}

/// Makes a context that will run `entry`.
pub(crate) fn new_context(entry: Entry, size: Size) -> Result<ContextId, OutOfMemory> {
    let stack = Stack::new(size)?;
    let top = stack.top();
    let mut contexts = CONTEXTS.lock();
    let index = contexts.iter().position(Option::is_none).unwrap_or(contexts.len());
    // What `context_switch` pops: r15 to r12, rbx (the index, for the trampoline), rbp, return
    // address; then two words that are never popped, so that the stack is 16-byte aligned at the
    // trampoline's call, as everything on it that asks for such alignment relies on.
    let words = [0, 0, 0, 0, index, 0, thread_trampoline as *const () as usize, 0, 0];
    let start = top - size_of_val(&words);
    let to = core::ptr::with_exposed_provenance_mut::<[usize; 9]>(start);
    // SAFETY: the stack is mapped writable and nobody uses it yet.
    unsafe { to.write(words) };
    let mut context = Context::new(Some(stack), Some(entry));
    *context.saved_sp.get_mut() = start;
    if index == contexts.len() {
        contexts.push(None);
    }
    contexts[index] = Some(Box::new(context));
    Ok(ContextId::new(index))
}

/// Continues another context.
pub(crate) fn switch(to: ContextId) {
    let (save, load) = {
        let contexts = CONTEXTS.lock();
        let mut current = CURRENT.lock();
        let find = |index: usize| contexts.get(index).and_then(Option::as_ref);
        let from = find(*current).expect("the running context exists").saved_sp.get();
        let next = find(to.index()).expect("a thread's context exists").saved_sp.get();
        *current = to.index();
        (from, next)
    };
    // SAFETY: the context is boxed and not freed while its thread exists.
    let load = unsafe { load.read() };
    // SAFETY: `load` was stored by an earlier switch away from that context or prepared by
    // `new_context`, so its stack holds what the routine pops; `save` is as valid as `load`.
    unsafe { context_switch(save, load) };
}

/// Frees a context that will not run again.
pub(crate) fn free_context(context: ContextId) {
    assert_ne!(*CURRENT.lock(), context.index(), "the running context was freed");
    let freed = CONTEXTS.lock().get_mut(context.index()).and_then(Option::take);
    drop(freed);
}

/// Runs the entry of a new context; called by `switch.S` on the new stack.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn pvkernel_thread_start(index: usize) -> ! {
    let entry =
        CONTEXTS.lock().get_mut(index).and_then(Option::as_mut).and_then(|c| c.entry.take());
    let ending = entry.expect("a new context has an entry")();
    ending.take_effect()
}
