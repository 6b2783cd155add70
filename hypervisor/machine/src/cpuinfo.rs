//! What the entry and exit paths of this CPU are told by the image: mode, work, upcall bytes.
//!
//! Called by the image when it switches vCPUs or modes and when it wants something done before the
//! guest continues. Work bits are the image's, except [`WORK_SCHEDULE`], which is set at boot.

use crate::percpu::{self, CpuId};
use crate::{irq, layout};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering};
use hypercall_abi::{Mfn, PAGE_SIZE};

/// The work bit that is set when a CPU first reaches its exit loop.
pub const WORK_SCHEDULE: u32 = 1;

/// A `vcpu_info`.
#[repr(C)]
#[derive(Debug)]
pub struct VcpuWords {
    /// Whether an event is pending.
    pub pending: AtomicU8,
    /// Whether the guest does not want to be told.
    pub mask: AtomicU8,
    _padding: [AtomicU8; 6],
    /// Which words of pending bits have news.
    pub selector: AtomicU64,
    /// Address of the last page fault.
    pub cr2: AtomicU64,
    _unused: AtomicU64,
    /// The time information.
    pub time: [AtomicU32; 8],
}

/// What the exit path looks at while no guest runs.
static NO_VCPU: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
const _: () = assert!(size_of::<VcpuWords>() == size_of_val(&NO_VCPU));

/// Where a `vcpu_info` lies: looked at for every event, so the frame is checked only once.
#[repr(transparent)]
pub struct InfoPlace(AtomicU64);

impl Default for InfoPlace {
    /// That of no vCPU.
    fn default() -> Self {
        Self(AtomicU64::new(core::ptr::from_ref(&NO_VCPU).expose_provenance() as u64))
    }
}

impl InfoPlace {
    /// Moves it. The frame must stay a guest's until another place is set.
    ///
    /// # Panics
    /// When the words do not lie aligned in one frame of a guest.
    pub fn set(&self, mfn: Mfn, offset: usize) {
        let fits = offset <= PAGE_SIZE - size_of::<VcpuWords>() && offset.is_multiple_of(8);
        assert!(fits && crate::frames::is_open(mfn), "no place for a vcpu_info");
        self.0.store(layout::direct(mfn.maddr()) + offset as u64, Ordering::SeqCst);
    }

    /// The words.
    #[inline]
    pub fn words(&self) -> &'static VcpuWords {
        let address = self.0.load(Ordering::Acquire) as usize;
        // SAFETY: `NO_VCPU`, or an address that `set` stored: mapped for ever, aligned, and in a
        // frame that was open then, which only atomics, copies in assembly and guests access. The
        // image names another place before it lets go of the frame.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }

    /// The frame.
    pub fn frame(&self) -> Mfn {
        Mfn::from_maddr(self.0.load(Ordering::Acquire) - layout::DIRECT_BASE)
    }
}

/// Whether `syscall` on this CPU is a hypercall from now on.
#[inline]
pub fn set_kernel_mode(kernel: bool) {
    percpu::info().kernel_mode.store(u8::from(kernel), Ordering::Relaxed);
}

/// Whether `syscall` on this CPU is a hypercall.
#[inline]
pub fn kernel_mode() -> bool {
    percpu::info().kernel_mode.load(Ordering::Relaxed) != 0
}

/// Asks for work on this CPU before the guest continues.
pub fn raise_work(bits: u32) {
    percpu::info().work.fetch_or(bits, Ordering::SeqCst);
}

/// Takes all work asked for on this CPU.
pub fn take_work() -> u32 {
    percpu::info().work.swap(0, Ordering::SeqCst)
}

/// Withdraws requests for work on this CPU.
pub fn clear_work(bits: u32) {
    percpu::info().work.fetch_and(!bits, Ordering::SeqCst);
}

/// Whether any of these kinds of work is asked for on this CPU.
pub fn work_pending(bits: u32) -> bool {
    percpu::info().work.load(Ordering::SeqCst) & bits != 0
}

/// Asks for work on any CPU; a remote one is interrupted if the bits are new to it.
pub fn raise_work_on(cpu: CpuId, bits: u32) {
    let Some(info) = percpu::info_of(cpu) else { return };
    let before = info.work.fetch_or(bits, Ordering::SeqCst);
    if cpu != percpu::cpu_id() && before & bits != bits {
        irq::kick(cpu);
    }
}

/// Tells where the vCPU that runs here has its words now.
pub fn set_vcpu_words(place: &InfoPlace) {
    percpu::info().vcpu_words.0.store(place.0.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// The words of the vCPU that runs here.
#[inline]
pub fn vcpu_words() -> &'static VcpuWords {
    percpu::info().vcpu_words.words()
}

/// Prepares this CPU's block.
pub(crate) fn prepare(cpu: CpuId) {
    let info = percpu::info();
    info.cpu_id.store(cpu.0, Ordering::Relaxed);
    set_vcpu_words(&InfoPlace::default());
    info.work.store(WORK_SCHEDULE, Ordering::Relaxed);
}
