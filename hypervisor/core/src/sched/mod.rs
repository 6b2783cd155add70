//! Which vCPU runs where and for how long.
//!
//! The image keeps one policy behind a lock and tells it what happens: a vCPU wakes, blocks,
//! yields, is paused; a CPU must choose. The answers are values: what to run next, when to ask
//! again, which CPU to interrupt. [`Policy`] is the interface, [`RoundRobin`] the policy.
//!
//! The protocol of a CPU, under the lock:
//! 1. if the running vCPU stops by itself: [`Policy::deschedule`];
//! 2. [`Policy::pick`], which also preempts; also called when the slice ends or another CPU kicks;
//! 3. switch if the decision differs from what ran, and when the state of the old vCPU is saved:
//!    [`Policy::switched_out`]. Until then no other CPU runs it. A CPU that saves state before it
//!    gives up the lock may call this right after `pick`.
//!
//! Blocking loses no wake-up if the image looks for a reason to stay awake *under the lock* before
//! it calls `deschedule(Blocked)`: whoever creates a reason does so first and then calls
//! [`Policy::wake`] under the lock.
//!
//! Every kick is a CPU that must call `pick` soon. It may be the calling one.
//!
//! Not here: locks, clocks, interrupts, register state, and why a vCPU is blocked or paused.

mod board;
mod entity;
mod round_robin;

use hypercall_abi::{DomId, Errno, VcpuId};

pub use round_robin::{RoundRobin, BOOST_SLICE_NS, SLICE_NS};

/// Most CPUs the scheduler can use: one bit each in an affinity mask.
pub const MAX_CPUS: u32 = 64;

/// Number of a physical CPU, below [`MAX_CPUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(u32);

impl CpuId {
    /// Wraps a number.
    ///
    /// # Panics
    /// If there can be no such CPU.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        assert!(number < MAX_CPUS);
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The bit of this CPU in an affinity mask.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.0
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

/// Why the scheduler refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedError {
    /// No vCPU has this number.
    Unknown,
    /// The vCPU still runs, or may run.
    InUse,
    /// No CPU of the mask exists.
    NoCpu,
    /// The hypervisor is out of memory.
    NoMemory,
}

impl From<SchedError> for Errno {
    fn from(error: SchedError) -> Self {
        match error {
            SchedError::Unknown => Errno::ESRCH,
            SchedError::InUse => Errno::EBUSY,
            SchedError::NoCpu => Errno::EINVAL,
            SchedError::NoMemory => Errno::ENOMEM,
        }
    }
}

/// A way to share CPUs. Times are absolute nanoseconds and never go back. Only [`Self::add`]
/// allocates. Numbers that name nothing are ignored by the operations that cannot fail.
pub trait Policy {
    /// Takes a CPU into use. It should [`Self::pick`] next.
    fn set_online(&mut self, cpu: CpuId);

    /// Adds a vCPU that may run on the CPUs of `affinity`; it is paused and not blocked.
    ///
    /// # Errors
    /// `NoCpu` if no CPU in use is in the mask, `NoMemory`.
    fn add(&mut self, key: VcpuKey, affinity: u64) -> Result<SchedId, SchedError>;

    /// Removes a vCPU that is paused and does not run; its number is free when its state is off
    /// every CPU.
    ///
    /// # Errors
    /// `Unknown`, `InUse`.
    fn remove(&mut self, id: SchedId) -> Result<(), SchedError>;

    /// Changes where a vCPU may run; returns a CPU to kick.
    ///
    /// # Errors
    /// `Unknown`, or `NoCpu` if no CPU in use is in the mask.
    fn set_affinity(
        &mut self,
        now_ns: u64,
        id: SchedId,
        affinity: u64,
    ) -> Result<Option<CpuId>, SchedError>;

    /// Where a vCPU may run.
    fn affinity(&self, id: SchedId) -> Option<u64>;

    /// The vCPU has a reason to run. Returns the CPU to kick: the one that runs it, so that it
    /// notices the reason, or the one that shall.
    fn wake(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId>;

    /// Keeps the vCPU from running until [`Self::resume`]. Returns the CPU that runs it and must
    /// be kicked; the vCPU is off when that CPU has called [`Self::switched_out`].
    fn pause(&mut self, id: SchedId) -> Option<CpuId>;

    /// Ends a pause; returns the CPU to kick.
    fn resume(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId>;

    /// The vCPU running on `cpu` stops. Returns a CPU to kick; `cpu` itself must `pick` next.
    fn deschedule(&mut self, now_ns: u64, cpu: CpuId, why: StopReason) -> Option<CpuId>;

    /// Chooses what `cpu` runs from now on, which may be what it runs already.
    fn pick(&mut self, now_ns: u64, cpu: CpuId) -> Decision;

    /// The state of what ran on `cpu` before the last `pick` is saved. Returns a CPU to kick that
    /// waited for it.
    fn switched_out(&mut self, cpu: CpuId) -> Option<CpuId>;

    /// Whether nothing waits for `cpu`, so that a yield would change nothing.
    fn is_alone(&self, cpu: CpuId) -> bool;
}
