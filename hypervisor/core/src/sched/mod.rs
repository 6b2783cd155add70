//! Which vCPU runs where and for how long.
//!
//! The image keeps one policy behind a lock and tells it what happens: a vCPU wakes, blocks,
//! yields, is paused; a CPU must choose. The answers are values: what to run next, when to ask
//! again, which CPU to interrupt. [`RoundRobin`] is the policy.
//!
//! The protocol of a CPU, under the lock:
//! 1. if the running vCPU stops by itself: [`RoundRobin::deschedule`];
//! 2. [`RoundRobin::pick`], which also preempts; also called when the slice ends or another CPU
//!    kicks;
//! 3. switch if the decision differs from what ran, and when the state of the old vCPU is saved:
//!    [`RoundRobin::switched_out`]. Until then no other CPU runs it. A CPU that saves state before
//!    it gives up the lock may call this right after `pick`.
//!
//! Blocking loses no wake-up if the image looks for a reason to stay awake *under the lock* before
//! it calls `deschedule(Blocked)`: whoever creates a reason does so first and then calls
//! [`RoundRobin::wake`] under the lock.
//!
//! Every kick is a CPU that must call `pick` soon. It may be the calling one.
//!
//! Not here: locks, clocks, interrupts, register state, and why a vCPU is blocked or paused.

mod board;
mod entity;
mod round_robin;

use hypercall_abi::{DomId, VcpuId};

pub use round_robin::{RoundRobin, BOOST_SLICE_NS, SLICE_NS};

/// Most CPUs the scheduler can use: one bit each in an affinity mask.
pub const MAX_CPUS: u32 = 64;

/// Number of a physical CPU, counted from 0 for the boot processor; below [`MAX_CPUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl CpuId {
    /// The bit that stands for this CPU in masks.
    pub const fn mask(self) -> u64 {
        1 << (self.0 % MAX_CPUS)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A vCPU of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuKey {
    /// The domain.
    pub dom: DomId,
    /// The vCPU in it.
    pub vcpu: VcpuId,
}

/// Number under which the scheduler knows a vCPU: small, dense, reused after removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchedId(usize);

/// Why a vCPU stops running by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It waits for an event.
    Blocked,
    /// It lets others go first.
    Yielded,
}

/// What a CPU has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to run; `None` is to idle until a kick.
    pub next: Option<VcpuKey>,
    /// When to ask again at the latest; `None` if nobody waits for this CPU.
    pub slice_ns: Option<u64>,
    /// Another CPU that must choose: it got the vCPU that was preempted here, or it idles and can
    /// take one that waits.
    pub kick: Option<CpuId>,
}
