//! Where everything of the hypervisor lies in the virtual address space.
//!
//! Read by the boot code that builds the page tables and by every module that turns a frame or a
//! CPU number into an address. Root slots 256 to 271 are the hypervisor's; all root tables, ours
//! and the guests', hold the same sixteen entries, so these addresses are the same everywhere.
//!
//! ```text
//! slot 256  machine-to-physical table, read-only for guests
//! slot 261  image, per-CPU windows, device registers and firmware tables, the table of slot 256
//!           once more, for writing, and the frame table
//! slot 262  direct map of all RAM, up to slot 271
//! ```

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Bytes mapped by one entry of a second-level table.
pub const LARGE_PAGE: u64 = 2 << 20;
/// Bytes mapped by one entry of a third-level table.
pub const HUGE_PAGE: u64 = 1 << 30;

/// Machine-to-physical table.
pub const M2P_BASE: u64 = 0xffff_8000_0000_0000;
/// The image: address of physical 0 in its window of 512 MiB. The windows behind it are in the same
/// GiB, so that the CPU needs one second-level table for all of them.
pub const IMAGE_BASE: u64 = 0xffff_82d0_4000_0000;
/// Windows of the CPUs; within reach of a relative jump to the image.
pub const PERCPU_BASE: u64 = IMAGE_BASE + HUGE_PAGE / 2;
/// Size of one CPU's window: what one leaf table maps.
pub const PERCPU_STRIDE: u64 = LARGE_PAGE;
/// Device registers and firmware tables.
pub const MMIO_BASE: u64 = PERCPU_BASE + HUGE_PAGE / 4;
/// Machine-to-physical table again, for writing.
pub const M2P_WRITE_BASE: u64 = IMAGE_BASE + 3 * HUGE_PAGE;
/// Frame table, behind the largest possible table before it.
pub const FRAME_TABLE_BASE: u64 = M2P_WRITE_BASE + 16 * HUGE_PAGE;
/// Direct map of all RAM.
pub const DIRECT_BASE: u64 = 0xffff_8300_0000_0000;
/// First byte that is not direct map.
pub const DIRECT_END: u64 = 0xffff_8800_0000_0000;

/// Memory below this is left to the firmware and to starting CPUs.
pub const LOW_MEMORY: u64 = 64 << 10;

/// Root slot of an address.
pub const fn root_slot(va: u64) -> usize {
    (va >> 39) as usize & 511
}

/// Pages of a CPU's window.
pub mod window {
    /// First of the pages the guest's GDT is seen through.
    pub const GDT: usize = 0;
    /// Pages of a GDT a guest may fill.
    pub const GDT_GUEST_PAGES: usize = 14;
    /// Page of the GDT with the hypervisor's own descriptors.
    pub const GDT_RESERVED: usize = GDT + GDT_GUEST_PAGES;
    /// Page of zeros, behind the GDT: what is shown for pages of it the guest has not set.
    pub const GDT_ZERO: usize = GDT_RESERVED + 1;
    /// First of the pages the guest's LDT is seen through.
    pub const LDT: usize = 16;
    /// Pages of an LDT.
    pub const LDT_PAGES: usize = 16;
    /// Executable page with the `syscall` entry stubs.
    pub const STUBS: usize = 32;
    /// Task state segment.
    pub const TSS: usize = 33;
    /// First page of the stack region.
    pub const STACK: usize = 40;
    /// Pages of the stack region.
    pub const STACK_PAGES: usize = 8;
    /// Page of the stack region that is never mapped, so that an overflow faults.
    pub const STACK_GUARD: usize = STACK + 2;
}

/// Size of a CPU's stack region, which is aligned to its size.
pub const STACK_SIZE: u64 = window::STACK_PAGES as u64 * PAGE;

/// Address of a page in the window of CPU `cpu`.
pub const fn percpu_page(cpu: u32, page: usize) -> u64 {
    PERCPU_BASE + cpu as u64 * PERCPU_STRIDE + page as u64 * PAGE
}

/// Address of a machine address in the direct map.
pub const fn direct(maddr: u64) -> u64 {
    DIRECT_BASE + maddr
}

const _: () = assert!(root_slot(M2P_BASE) == 256);
const _: () = assert!(root_slot(IMAGE_BASE) == 261 && root_slot(MMIO_BASE) == 261);
const _: () = assert!(M2P_WRITE_BASE + (DIRECT_END - DIRECT_BASE) / 512 <= FRAME_TABLE_BASE);
const _: () = assert!(root_slot(FRAME_TABLE_BASE + (DIRECT_END - DIRECT_BASE) / 128) == 261);
const _: () = assert!(root_slot(DIRECT_BASE) == 262);
const _: () = assert!((window::STACK as u64 * PAGE).is_multiple_of(STACK_SIZE));
const _: () = assert!(MMIO_BASE - IMAGE_BASE <= 1 << 31);
