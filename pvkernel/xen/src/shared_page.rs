//! Where the page is mapped that the hypervisor shares with this domain.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use hypercall_abi::mmu::uvmf;

use crate::boot::BootInfo;
use crate::hypercall::mmu::update_va_mapping;
use crate::layout::PAGE;
use crate::mmu;

/// A page whose mapping is replaced by that of the shared page.
#[repr(C, align(4096))]
struct SharedInfoPage(UnsafeCell<[u8; PAGE as usize]>);

// SAFETY: never accessed through this type; only its address is used.
unsafe impl Sync for SharedInfoPage {}

static SHARED_INFO_PAGE: SharedInfoPage = SharedInfoPage(UnsafeCell::new([0; PAGE as usize]));

/// Maps the shared page, for ever.
pub(crate) fn map(boot: &BootInfo) -> NonNull<u8> {
    let page = SHARED_INFO_PAGE.0.get().cast::<u8>();
    let entry = boot.start_info.shared_info_maddr | mmu::KERNEL_RW;
    // SAFETY: the page is reserved for this; nothing else lies in it.
    unsafe { update_va_mapping(page as u64, entry, uvmf::INVLPG | uvmf::LOCAL) }
        .expect("the shared page can be mapped");
    NonNull::new(page).expect("statics have addresses")
}
