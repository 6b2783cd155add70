//! Which CPU this is, and data that each CPU has for itself.
//!
//! Soundness of [`PerCpu`]: code of the hypervisor never migrates between CPUs, and runs with
//! interrupts off except in `cpu::idle_wait`. So `get` hands out shared references to a slot that
//! only one thread of execution uses; an interrupt in `idle_wait` is a call on that same thread.
//! NMI handlers are assembly and touch no such data.

use crate::layout::STACK_SIZE;
use crate::regs::{CpuInfo, CPUINFO_SIZE};
use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Number of a CPU, counted from 0 for the boot processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CpuId(pub u32);

impl CpuId {
    /// The bit that stands for this CPU in masks.
    #[must_use]
    pub const fn mask(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// Most CPUs there can be.
pub const MAX_CPUS: usize = 64;

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

/// The CPU this runs on.
#[inline(always)]
#[must_use]
pub fn cpu_id() -> CpuId {
    CpuId(info().cpu_id.load(Ordering::Relaxed))
}

/// Bit per CPU that runs.
#[inline]
#[must_use]
pub fn online_mask() -> u64 {
    ONLINE.load(Ordering::Relaxed)
}

/// How many CPUs run; their numbers are below this.
#[inline]
#[must_use]
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
    #[must_use]
    pub const fn new(init: fn() -> T) -> Self {
        Self { slots: [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS], init }
    }

    /// This CPU's value.
    #[inline]
    pub fn get(&self) -> &T {
        self.slot(cpu_id())
    }

    /// The value of any CPU.
    #[inline]
    pub fn of(&self, cpu: CpuId) -> &T
    where
        T: Sync,
    {
        self.slot(cpu)
    }

    #[inline]
    fn slot(&self, cpu: CpuId) -> &T {
        let slot = &self.slots[cpu.0 as usize % MAX_CPUS];
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
        match slot.compare_exchange(
            core::ptr::null_mut(),
            mine,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => mine,
            Err(theirs) => {
                // SAFETY: `mine` was not published, so this is its only pointer.
                drop(unsafe { Box::from_raw(mine) });
                theirs
            }
        }
    }
}
