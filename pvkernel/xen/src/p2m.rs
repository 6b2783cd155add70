//! From pseudo-physical to machine frames and back.
//!
//! The builder left an array of machine frame numbers in our memory (the p2m); the hypervisor shows
//! the reverse array to everybody (the m2p). The p2m is ours to keep up to date when frames are
//! exchanged or given away.

use core::ptr::NonNull;

use hypercall_abi::addr::MACH2PHYS_VIRT_START;
use hypercall_abi::{Mfn, Pfn};
use pvkernel_core::sync::Lock;

struct P2m {
    entries: NonNull<u64>,
    count: usize,
}

// SAFETY: the array is plain memory of the kernel that is only reached through the lock below.
unsafe impl Send for P2m {}

static P2M: Lock<Option<P2m>> = Lock::new(None);

/// Takes over the builder's array.
///
/// # Safety
/// `entries` points to `count` entries that stay mapped and that nobody else uses.
pub(crate) unsafe fn init(entries: NonNull<u64>, count: usize) {
    *P2M.lock() = Some(P2m { entries, count });
}

/// Number of pseudo-physical frames.
#[must_use]
pub fn count() -> usize {
    P2M.lock().as_ref().map_or(0, |p2m| p2m.count)
}

/// The machine frame behind a frame of this domain; `None` outside of its memory and for frames
/// that were given away.
#[must_use]
pub fn mfn(pfn: Pfn) -> Option<Mfn> {
    let guard = P2M.lock();
    let p2m = guard.as_ref()?;
    let index = usize::try_from(pfn.get()).ok().filter(|index| *index < p2m.count)?;
    // SAFETY: the index is within the array by the check above.
    let entry = unsafe { p2m.entries.add(index) };
    // SAFETY: the entry is mapped and reached only under the lock.
    let mfn = unsafe { entry.read() };
    (mfn != u64::MAX).then_some(Mfn::new(mfn))
}

/// Records the machine frame behind a frame of this domain; `None` when it has been given away.
///
/// # Safety
/// The hypervisor agrees: the machine frame is this domain's and stands for no other frame.
pub unsafe fn set(pfn: Pfn, mfn: Option<Mfn>) {
    let guard = P2M.lock();
    let Some(p2m) = guard.as_ref() else { return };
    let Some(index) = usize::try_from(pfn.get()).ok().filter(|i| *i < p2m.count) else { return };
    // SAFETY: the index is within the array by the check above.
    let entry = unsafe { p2m.entries.add(index) };
    // SAFETY: the entry is mapped and reached only under the lock.
    unsafe { entry.write(mfn.map_or(u64::MAX, Mfn::get)) };
}

/// The pseudo-physical frame of a machine frame, if it is one of ours.
#[must_use]
pub fn pfn(machine: Mfn) -> Option<Pfn> {
    let address = MACH2PHYS_VIRT_START + machine.get().checked_mul(8)?;
    // The caller may ask about any frame; only those that the p2m confirms are believed, but the
    // array must exist there. Frames come from our own tables, so they exist.
    let entry = core::ptr::with_exposed_provenance::<u64>(usize::try_from(address).ok()?);
    // SAFETY: the m2p is mapped for every machine frame that exists, and machine frames in our
    // tables exist because the hypervisor accepted them there.
    let pfn = Pfn::new(unsafe { entry.read_volatile() });
    (mfn(pfn) == Some(machine)).then_some(pfn)
}
