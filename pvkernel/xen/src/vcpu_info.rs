//! The page that this domain shares with the hypervisor, and the vCPU's words in it.
//!
//! `event` uses the words for events, `time` those for the time.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use hypercall_abi::shared_info::{SharedInfo, VcpuInfo};
use hypercall_abi::vcpu::{self as abi, VcpuRegisterVcpuInfo};
use hypercall_abi::{Errno, Pfn, VcpuId};
use spin::Once;

use crate::event::masked;
use crate::hypercall::vcpu;
use crate::shared::SharedMemory;
use crate::{layout, p2m};

const CR2: usize = offset_of!(VcpuInfo, arch);

static SHARED_INFO: Once<SharedMemory> = Once::new();
/// The vCPU's words, once they have been moved out of the shared page.
static MOVED_VCPU_INFO: Once<SharedMemory> = Once::new();

/// Takes over the shared page.
///
/// # Safety
/// `page` is the shared page, mapped for ever, and reached through `shared_info` only.
pub(crate) unsafe fn init(page: NonNull<u8>) {
    // SAFETY: (1) and (3) are the caller's promise, (2) pages are aligned.
    let memory = unsafe { SharedMemory::new(page, size_of::<SharedInfo>()) };
    SHARED_INFO.call_once(|| memory);
}

/// The shared page.
///
/// # Panics
/// Before it is mapped, early at boot.
#[must_use]
pub fn shared_info() -> &'static SharedMemory {
    SHARED_INFO.get().expect("the shared page is mapped early at boot")
}

/// The words of this vCPU, if the page is mapped yet: for traps, which may come before.
pub(crate) fn vcpu_info_if_mapped() -> Option<&'static SharedMemory> {
    MOVED_VCPU_INFO.get().or_else(|| SHARED_INFO.get())
}

/// The event words and the time of this vCPU: the start of the shared page, or where they were
/// moved.
///
/// # Panics
/// Before the shared page is mapped, early at boot.
#[must_use]
pub fn vcpu_info() -> &'static SharedMemory {
    vcpu_info_if_mapped().expect("the shared page is mapped early at boot")
}

/// Moves the event words and the time of this vCPU to a frame of ours, for good.
///
/// # Errors
/// `EINVAL` when they have been moved before, `ENXIO` for an offset that does not fit.
///
/// # Safety
/// The frame belongs to the caller, is never used for anything else, and stays in the direct map.
pub unsafe fn move_vcpu_info(pfn: Pfn, offset: u32) -> Result<(), Errno> {
    let mfn = p2m::mfn(pfn).ok_or(Errno::EINVAL)?;
    let mut arg = VcpuRegisterVcpuInfo { mfn, offset, rsvd: 0 };
    let address = layout::direct_va(pfn) + u64::from(offset);
    let base = core::ptr::with_exposed_provenance_mut(address as usize);
    let base = NonNull::new(base).ok_or(Errno::EFAULT)?;
    masked(|| {
        // SAFETY: the hypervisor writes to the frame from now on, which is the caller's promise.
        let ret = unsafe { vcpu::vcpu_op(abi::REGISTER_VCPU_INFO, VcpuId::new(0), &mut arg) };
        Errno::check(ret)?;
        // SAFETY: (1) and (3) are the caller's promise, (2) the hypervisor checked the offset.
        let memory = unsafe { SharedMemory::new(base, size_of::<VcpuInfo>()) };
        MOVED_VCPU_INFO.call_once(|| memory);
        Ok(())
    })
}

/// The address of the last page fault, as the hypervisor reports it.
#[must_use]
pub fn fault_address() -> u64 {
    vcpu_info_if_mapped().map_or(0, |info| info.u64_at(CR2).load(Ordering::Relaxed))
}
