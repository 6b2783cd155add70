//! Which CPU this is, and data that each CPU has for itself.
//!
//! Soundness of [`PerCpu`]: code of the hypervisor never migrates between CPUs, and runs with
//! interrupts off except in `cpu::idle_wait`. So `get` hands out shared references to a slot that
//! only one thread of execution uses; an interrupt in `idle_wait` is a call on that same thread.
//! NMI handlers are assembly and touch no such data.

use crate::entry::regs::{CpuInfo, CPUINFO_SIZE};
use crate::entry::stack_head;
use crate::layout::STACK_SIZE;
use alloc::boxed::Box;
use core::arch::asm;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
pub use hv_core::sched::CpuId;

/// Most CPUs there can be.
pub const MAX_CPUS: usize = hv_core::sched::MAX_CPUS as usize;

static ONLINE: AtomicU64 = AtomicU64::new(1);
static COUNT: AtomicU32 = AtomicU32::new(1);

/// The head of this CPU's stack.
#[inline(always)]
pub(crate) fn info_ptr() -> *mut CpuInfo {
    let rsp: u64;
    // SAFETY: reads a register. On one CPU the result below is always the same.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags, pure)) };
    let top = (rsp | (STACK_SIZE - 1)) - (CPUINFO_SIZE - 1);
    core::ptr::with_exposed_provenance_mut(top as usize)
}

/// This CPU's block, of which all but the registers are atomics.
#[inline(always)]
pub(crate) fn info() -> &'static CpuInfo {
    // SAFETY: every stack of the hypervisor has the block at its head from the first instruction of
    // Rust code on, and stacks are never freed; the registers in it are in an `UnsafeCell`.
    unsafe { &*info_ptr() }
}

/// The block of any CPU that runs.
pub(crate) fn info_of(cpu: CpuId) -> Option<&'static CpuInfo> {
    let head = core::ptr::with_exposed_provenance::<CpuInfo>(stack_head(cpu.0) as usize);
    // SAFETY: a CPU that is counted runs on a stack at this address; see `info`.
    (cpu.0 < nr_cpus()).then(|| unsafe { &*head })
}

/// The CPU this runs on.
#[inline(always)]
pub fn cpu_id() -> CpuId {
    CpuId(info().cpu_id.load(Ordering::Relaxed))
}

/// Bit per CPU that runs.
#[inline]
pub fn online_mask() -> u64 {
    ONLINE.load(Ordering::Relaxed)
}

/// How many CPUs run; their numbers are below this.
#[inline]
pub fn nr_cpus() -> u32 {
    COUNT.load(Ordering::Relaxed)
}

pub(crate) fn mark_online(cpu: CpuId) {
    ONLINE.fetch_or(cpu.mask(), Ordering::SeqCst);
}

/// Fixes how many CPUs are used; those with higher numbers are left out from now on.
pub(crate) fn set_count(count: u32) {
    ONLINE.fetch_and(u64::MAX >> (64 - count.clamp(1, 64)), Ordering::SeqCst);
    COUNT.store(count, Ordering::SeqCst);
}

/// A value per CPU, made by `init` when it is first used there.
pub struct PerCpu<T: 'static> {
    slots: [AtomicPtr<T>; MAX_CPUS],
    init: fn() -> T,
}

// SAFETY: `get` reaches only the slot of its own CPU (module header); `of` requires `T: Sync`. A
// value may be made by one CPU and used by another, hence `T: Send`.
unsafe impl<T: Send> Sync for PerCpu<T> {}

impl<T: Send> PerCpu<T> {
    /// An empty container.
    pub const fn new(init: fn() -> T) -> Self {
        Self { slots: [const { AtomicPtr::new(null_mut()) }; MAX_CPUS], init }
    }

    /// This CPU's value.
    #[inline]
    pub fn get(&self) -> &T {
        // SAFETY: the number of a CPU that runs is below `MAX_CPUS`; see `boot::smp` and `layout`.
        self.value(unsafe { self.slots.get_unchecked(cpu_id().0 as usize) })
    }

    /// The value of any CPU.
    #[inline]
    pub fn of(&self, cpu: CpuId) -> &T
    where
        T: Sync,
    {
        self.value(&self.slots[cpu.0 as usize % MAX_CPUS])
    }

    #[inline]
    fn value(&self, slot: &AtomicPtr<T>) -> &T {
        let mut value = slot.load(Ordering::Acquire);
        if value.is_null() {
            value = self.make(slot);
        }
        // SAFETY: a pointer in a slot came from `Box::into_raw` and is never freed or replaced.
        unsafe { &*value }
    }

    #[cold]
    fn make(&self, slot: &AtomicPtr<T>) -> *mut T {
        let mine = Box::into_raw(Box::new((self.init)()));
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let Err(theirs) = slot.compare_exchange(null_mut(), mine, success, failure) else {
            return mine;
        };
        // SAFETY: not published, so this is its only pointer.
        drop(unsafe { Box::from_raw(mine) });
        theirs
    }
}
