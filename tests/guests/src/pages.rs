//! Frames to play with: data pages and page tables that are not in use.

use hypercall_abi::addr::MACH2PHYS_VIRT_START;
use hypercall_abi::mmu::{mmuext, pte, MmuUpdate, MmuextOp};
use hypercall_abi::{nr, DomId, Errno, Mfn, Pfn};
use pvkernel_xen::hypercall::evtchn;
use pvkernel_xen::{frames, layout, mmu, p2m};

use crate::call::{address, hypercall};

/// A frame of this domain, mapped writable in the direct map; given back when dropped.
pub struct Page {
    /// The frame.
    pub pfn: Pfn,
    /// Its machine frame.
    pub mfn: Mfn,
    /// Its address.
    pub va: u64,
}

impl Page {
    /// A page of zeros.
    #[allow(clippy::new_without_default)] // It takes memory; that should be seen where it happens.
    pub fn new() -> Self {
        let pfn = frames::alloc().expect("memory for a test page");
        mmu::zero_frame(pfn);
        // SAFETY: the frame was just allocated, nobody uses its address in the builder's mapping.
        unsafe { mmu::forget_initial(pfn) };
        let mfn = p2m::mfn(pfn).expect("allocated frames have a machine frame");
        Self { pfn, mfn, va: layout::direct_va(pfn) }
    }

    /// Reads a word.
    pub fn read(&self, index: usize) -> u64 {
        let at = core::ptr::with_exposed_provenance::<u64>(self.va as usize + 8 * index);
        // SAFETY: the page is mapped; the hypervisor may change it, hence volatile.
        unsafe { at.read_volatile() }
    }

    /// Writes a word by a plain store; the page must be writable.
    pub fn write(&self, index: usize, value: u64) {
        let at = core::ptr::with_exposed_provenance_mut::<u64>(self.va as usize + 8 * index);
        // SAFETY: the page is mapped writable and belongs to the test.
        unsafe { at.write_volatile(value) };
    }

    /// Machine address of a word, for `mmu_update`.
    pub fn maddr(&self, index: usize) -> u64 {
        mmu::entry_maddr(self.mfn, index)
    }

    /// Makes the page read-only.
    pub fn seal(&self) {
        // SAFETY: tests write to their pages through `write` only while those are writable.
        unsafe { mmu::seal(self.pfn) };
    }

    /// Makes the page writable.
    pub fn unseal(&self) -> Result<(), Errno> {
        mmu::unseal(self.pfn)
    }

    /// An entry that maps this page.
    pub fn entry(&self, flags: u64) -> u64 {
        self.mfn.maddr() | flags
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.unseal().expect("a test left its page in use");
        frames::free(self.pfn, 1);
    }
}

/// A page that is pinned as a page table of a level; unpinned when dropped.
pub struct Table {
    /// The page.
    pub page: Page,
}

impl Table {
    /// Pins an empty table of `level` 1 to 4.
    pub fn new(level: u32) -> Self {
        let page = Page::new();
        page.seal();
        let table = Self { page };
        let ret = ext(mmuext::PIN_L1_TABLE + level - 1, table.page.mfn.get());
        assert_eq!(ret, 0, "an empty table can be pinned");
        table
    }

    /// Updates an entry by hypercall.
    pub fn set(&self, index: usize, value: u64) -> i64 {
        update(self.page.maddr(index), value)
    }

    /// Reads an entry.
    pub fn get(&self, index: usize) -> u64 {
        self.page.read(index)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let ret = ext(mmuext::UNPIN_TABLE, self.page.mfn.get());
        assert_eq!(ret, 0, "a test unpinned its table");
    }
}

/// One `mmu_update`, command in the low bits of the address.
pub fn update(ptr: u64, val: u64) -> i64 {
    update_for(ptr, val, DomId::SELF)
}

/// One `mmu_update` with frames of another domain.
pub fn update_for(ptr: u64, val: u64, dom: DomId) -> i64 {
    let mut request = MmuUpdate { ptr, val };
    hypercall(nr::MMU_UPDATE, &[address(&mut request), 1, 0, u64::from(dom.get())])
}

/// One `mmuext_op` with a first argument.
pub fn ext(cmd: u32, arg1: u64) -> i64 {
    ext_full(cmd, arg1, 0, DomId::SELF)
}

/// One `mmuext_op`.
pub fn ext_full(cmd: u32, arg1: u64, arg2: u64, dom: DomId) -> i64 {
    let mut op = MmuextOp { cmd, arg1, arg2, ..Default::default() };
    hypercall(nr::MMUEXT_OP, &[address(&mut op), 1, 0, u64::from(dom.get())])
}

/// What the machine-to-physical array says about a frame.
pub fn m2p(mfn: Mfn) -> u64 {
    let at = (MACH2PHYS_VIRT_START + 8 * mfn.get()) as usize;
    // SAFETY: the array is mapped for the machine frames of this domain.
    unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() }
}

/// This domain's real number.
pub fn own_domid() -> DomId {
    let port = evtchn::alloc_unbound(DomId::SELF, DomId::SELF).unwrap_or_default();
    let own = evtchn::status(DomId::SELF, port).map(|status| status.remote_dom());
    let _ = evtchn::close(port);
    own.unwrap_or(DomId::SELF)
}

/// Flags of a kernel page as the hypervisor stores them.
pub const STORED_KERNEL: u64 = pte::USER | pte::GUEST_KERNEL;
