//! How `virtio-drivers` reaches memory on this machine.

use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use super::contiguous;
use crate::layout::{self, Pfn, PAGE};
use crate::{frames, mmio, mmu};

/// Memory and registers for `virtio-drivers`.
#[derive(Debug)]
pub enum DmaHal {}

// SAFETY: memory from `dma_alloc` is freshly allocated, zeroed, mapped writable in the direct map and
// contiguous for devices; registers are mapped at addresses nobody else uses.
unsafe impl Hal for DmaHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // The crate takes address 0 as "no memory".
        const NONE: (PhysAddr, NonNull<u8>) = (0, NonNull::dangling());
        let Ok(first) = contiguous::alloc(pages.next_power_of_two()) else { return NONE };
        let spare = pages.next_power_of_two() - pages;
        if spare > 0 {
            frames::free(Pfn::new(first.get() + pages as u64), spare);
        }
        (0..pages as u64).for_each(|page| mmu::zero_frame(Pfn::new(first.get() + page)));
        (contiguous::device_address(first), address(first))
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        let first = layout::pfn_of(vaddr.as_ptr() as u64).expect("it lies in the direct map");
        frames::free(first, pages);
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        let mapped = mmio::map(paddr, size);
        mapped.unwrap_or_else(|error| panic!("registers at {paddr:#x}: {error:?}"))
    }

    /// Only `queue` uses queues, and only with contiguous memory, so the first byte says it all.
    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().as_ptr() as u64;
        let pfn = layout::pfn_of(address).expect("memory for devices lies in the direct map");
        contiguous::device_address(pfn) + address % PAGE
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// Where a frame is in the direct map.
pub(super) fn address(pfn: Pfn) -> NonNull<u8> {
    let address = core::ptr::with_exposed_provenance_mut(layout::direct_va(pfn) as usize);
    NonNull::new(address).expect("the direct map is not at 0")
}
