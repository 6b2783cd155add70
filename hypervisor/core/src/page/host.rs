//! What page operations need of the machine and of the domains.
//!
//! Implemented by the image over real memory and by the test kit over vectors. Every function of
//! this module that is generic over it is compiled for one host, so no call here is indirect.
//!
//! A host does not decide anything about page types, and may be called for frames of any domain: a
//! page-table operation of one domain can drop the last reference of a frame of another.

use hypercall_abi::{DomId, Mfn};

use super::error::PageError;
use super::frame::FrameInfo;

/// The machine and the domains, as far as page operations see them.
pub trait PageHost {
    /// A page of entries that has been found.
    type Page: Copy;

    /// The frame table, indexed by machine frame number.
    fn frames(&self) -> &[FrameInfo];

    /// Finds a page of entries. Who needs several of its entries finds it once.
    fn page(&self, table: Mfn) -> Self::Page;

    /// Loads one entry of a page atomically.
    fn load(&self, page: Self::Page, index: usize) -> u64;

    /// Loads one entry of a table that is on the way to another, atomically.
    fn load_upper(&self, table: Mfn, index: usize) -> u64;

    /// Loads the four entries from number `4 * step` on, each atomically: the bits any of them has.
    fn load_any_of_four(&self, page: Self::Page, step: usize) -> u64 {
        (4 * step..4 * step + 4).fold(0, |bits, index| bits | self.load(page, index))
    }

    /// Stores one entry of a page atomically.
    fn store(&self, page: Self::Page, index: usize, value: u64);

    /// Replaces one entry of a page if it still is `old`.
    ///
    /// # Errors
    /// The value found instead.
    fn exchange(&self, page: Self::Page, index: usize, old: u64, new: u64) -> Result<(), u64>;

    /// The clock of TLB flushes.
    fn stamp_now(&self) -> u32;

    /// Makes sure that no CPU that runs or ran `owner` uses a translation it cached at or before
    /// `stamp`. Called after a new type is visible and before content or mappings of that type are
    /// relied on. May be called by an operation of another domain.
    fn flush_before_retype(&self, owner: DomId, stamp: u32);

    /// Writes the caches of a frame back that was mapped around them.
    fn write_back_frame(&self, mfn: Mfn);

    /// Content of one of the hypervisor's root slots (256 to 271) for the root table `table`.
    fn hv_slot(&self, slot: usize, table: Mfn) -> u64;

    /// `dom` may map that device frame. Must refuse numbers beyond the machine's address width:
    /// the reserved bits they would set in an entry are fatal.
    fn may_map_mmio(&self, dom: DomId, mfn: Mfn) -> bool;

    /// `dom` may choose cache attributes.
    fn has_device_rights(&self, dom: DomId) -> bool;

    /// `privileged` may map frames of `owner` without naming it as the owner of the page.
    fn may_map_foreign(&self, privileged: DomId, owner: DomId) -> bool;

    /// The last reference of a frame is gone and the frame is dead: unlink it from its owner's
    /// list, uncharge the owner, and free it. Runs under the page-table lock of the domain whose
    /// operation dropped it, which need not be `owner`.
    fn frame_released(&self, mfn: Mfn, owner: DomId);

    /// The CPUs honour the no-execute bit.
    fn nx_supported(&self) -> bool;

    /// The accounting of a frame of memory.
    ///
    /// # Errors
    /// `BadFrame` when there is no memory of that number.
    fn frame(&self, mfn: Mfn) -> Result<&FrameInfo, PageError> {
        let frame = FrameInfo::of(self.frames(), mfn).filter(|frame| !frame.is_hole());
        frame.ok_or(PageError::BadFrame)
    }
}
