//! Frames and addresses: machine frames, pseudo-physical frames, guest virtual addresses.
//!
//! Used wherever memory is named. The three kinds are different types because mixing them up is
//! the classic mistake of paravirtualized code. Arithmetic exists only in checked form.

use crate::macros::newtype;

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// Bits of an address within its page.
pub const PAGE_OFFSET_MASK: u64 = PAGE_SIZE as u64 - 1;

/// First address of the hypervisor's hole in every guest address space.
pub const HYPERVISOR_VIRT_START: u64 = 0xffff_8000_0000_0000;
/// First address behind the hypervisor's hole.
pub const HYPERVISOR_VIRT_END: u64 = 0xffff_8800_0000_0000;
/// First address of the machine-to-physical array.
pub const MACH2PHYS_VIRT_START: u64 = 0xffff_8000_0000_0000;
/// First address behind the space reserved for the machine-to-physical array.
pub const MACH2PHYS_VIRT_END: u64 = 0xffff_8040_0000_0000;
/// Number of entries that fit the space of the machine-to-physical array.
pub const MACH2PHYS_NR_ENTRIES: u64 = (MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) >> 3;
/// First address behind the lower half that guests may use.
pub const GUEST_LOW_END: u64 = 1 << 47;
/// First slot of a root table that belongs to the hypervisor.
pub const ROOT_PAGETABLE_FIRST_XEN_SLOT: usize = 256;
/// Last slot of a root table that belongs to the hypervisor.
pub const ROOT_PAGETABLE_LAST_XEN_SLOT: usize = 271;

newtype! {
    /// Number of a machine frame.
    Mfn(u64)
}

impl Mfn {
    /// The number that names no frame.
    pub const INVALID: Self = Self(u64::MAX);

    /// The frame a machine address lies in.
    #[must_use]
    pub const fn from_maddr(maddr: u64) -> Self {
        Self(maddr >> PAGE_SHIFT)
    }

    /// Machine address of the first byte; bits that do not fit are lost, so a number that came
    /// from a guest must have been compared with the size of memory before.
    #[must_use]
    pub const fn maddr(self) -> u64 {
        self.0 << PAGE_SHIFT
    }

    /// The frame `count` frames further on.
    #[must_use]
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }
}

newtype! {
    /// Number of a pseudo-physical frame: a domain's own, contiguous numbering.
    Pfn(u64)
}

impl Pfn {
    /// The number that names no frame.
    pub const INVALID: Self = Self(u64::MAX);

    /// The frame `count` frames further on.
    #[must_use]
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Pseudo-physical address of the first byte; bits that do not fit are lost.
    #[must_use]
    pub const fn paddr(self) -> u64 {
        self.0 << PAGE_SHIFT
    }

    /// The frame a pseudo-physical address lies in.
    #[must_use]
    pub const fn from_paddr(paddr: u64) -> Self {
        Self(paddr >> PAGE_SHIFT)
    }
}

newtype! {
    /// A virtual address in a guest, usually of a structure handed to a hypercall.
    GuestVa(u64)
}

impl GuestVa {
    /// The address that means "none" in optional arguments.
    pub const NULL: Self = Self(0);

    /// Whether this is the address that means "none".
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Whether bits 63 to 47 are all equal.
    #[must_use]
    pub const fn is_canonical(self) -> bool {
        is_canonical(self.0)
    }

    /// Whether a guest may use this address: in the lower half or above the hypervisor's hole.
    #[must_use]
    pub const fn is_guest_accessible(self) -> bool {
        self.0 < GUEST_LOW_END || self.0 >= HYPERVISOR_VIRT_END
    }

    /// The address `bytes` further on.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// The address of element `index` of an array whose elements have `size` bytes.
    #[must_use]
    pub const fn element(self, index: u64, size: u64) -> Option<Self> {
        match index.checked_mul(size) {
            Some(bytes) => self.offset(bytes),
            None => None,
        }
    }

    /// Offset of the address within its page.
    #[must_use]
    pub const fn page_offset(self) -> usize {
        (self.0 & PAGE_OFFSET_MASK) as usize
    }

    /// Whether the address is a multiple of `align`, a power of two.
    #[must_use]
    pub const fn is_aligned(self, align: u64) -> bool {
        self.0 & (align - 1) == 0
    }
}

/// Whether bits 63 to 47 of an address are all equal.
#[must_use]
pub const fn is_canonical(va: u64) -> bool {
    let high = va >> 47;
    high == 0 || high == 0x1_ffff
}

/// Whether all of `len` bytes from `va` are addresses a guest may use. An empty range needs an
/// accessible start; a range may end at the very top of the address space but not wrap.
#[must_use]
pub const fn guest_range(va: GuestVa, len: u64) -> bool {
    let (va, rest) = (va.get(), len.saturating_sub(1));
    if va >= HYPERVISOR_VIRT_END {
        rest <= u64::MAX - va
    } else {
        va < GUEST_LOW_END && rest < GUEST_LOW_END - va
    }
}
