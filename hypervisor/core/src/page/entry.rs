//! A page-table entry as a value: which bits a guest may set and what is stored in their place.
//!
//! Pure arithmetic on one word, used by leaf and upper updates, by validation and by lookups. It
//! does not know who owns a frame.

use hypercall_abi::mmu::pte;
use hypercall_abi::Mfn;

use super::types::{Level, PageType};

/// One 8-byte page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    /// The three bits that choose the cache attribute of a leaf.
    pub const CACHE: u64 = pte::PWT | pte::PCD | pte::PAT;
    /// The two bits the CPU sets by itself.
    pub const ACCESSED_DIRTY: u64 = pte::ACCESSED | pte::DIRTY;
    /// What an entry maps, and whether for writing.
    pub(super) const MAPPING: u64 = pte::FRAME_MASK | pte::RW | pte::PRESENT;
    /// Bits no entry above the leaf level may have.
    pub(super) const UPPER_FORBIDDEN: u64 = Self::CACHE | pte::GLOBAL;
    /// Bits that may change without a new look at the frame. Not the writable bit and not the cache
    /// bits: those are a new mapping (XSA-182). Above the leaf level the global bit is refused.
    const FREE: u64 = pte::NX
        | pte::AVAIL_HIGH_MASK
        | pte::AVAIL_MASK
        | Self::ACCESSED_DIRTY
        | pte::USER
        | pte::GLOBAL;

    /// The entry with these bits.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The word.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Some of the bits are set.
    pub const fn has_any(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// The entry refers to a frame.
    pub const fn is_present(self) -> bool {
        self.has_any(pte::PRESENT)
    }

    /// The entry allows writes.
    pub const fn is_writable(self) -> bool {
        self.has_any(pte::RW)
    }

    /// The frame the entry refers to.
    pub const fn mfn(self) -> Mfn {
        pte::mfn(self.0)
    }

    /// The reference a leaf entry holds on its frame; `None` is a general one.
    pub(super) const fn leaf_type(self) -> PageType {
        if self.is_writable() {
            PageType::Writable
        } else {
            PageType::None
        }
    }

    /// The value stored for a present leaf entry: reachable from ring 3, where guests run, and with
    /// a mark if the guest meant a page of its kernel. Applying it twice changes nothing more.
    pub const fn adjusted_leaf(self) -> Self {
        if !self.has_any(pte::USER) {
            Self(self.0 | pte::USER | pte::GUEST_KERNEL)
        } else if !self.has_any(pte::GUEST_KERNEL) {
            Self(self.0 | pte::GLOBAL)
        } else {
            self
        }
    }

    /// The value stored for a present entry above the leaf level.
    pub const fn adjusted_upper(self, level: Level) -> Self {
        match level {
            Level::L4 => Self(self.0 | pte::USER | pte::ACCESSED),
            _ => Self(self.0 | pte::USER),
        }
    }

    /// Replacing `self` by `new` concerns no reference, provided that `new` is acceptable.
    pub const fn is_refresh(self, new: Self) -> bool {
        (self.0 ^ new.0) & !Self::FREE == 0 && new.is_present()
    }

    /// The value stored for a leaf that maps device memory: never cached. Attribute numbers are
    /// those of the guests' attribute table (WB, WT, UC-, UC, WC, WP, UC, UC).
    pub const fn adjusted_mmio(self) -> Self {
        const WRITE_BACK: u64 = 0;
        const WRITE_THROUGH: u64 = pte::PWT;
        const WRITE_PROTECTED: u64 = pte::PAT | pte::PWT;
        match self.0 & Self::CACHE {
            WRITE_BACK => Self(self.0 | pte::PWT | pte::PCD),
            WRITE_THROUGH | WRITE_PROTECTED => Self(self.0 | pte::PCD),
            _ => self,
        }
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Entry({:#018x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kernel_page_keeps_its_mark_and_user_page_becomes_global() {
        let kernel = Entry::new(pte::PRESENT).adjusted_leaf();
        assert_eq!(kernel.bits(), pte::PRESENT | pte::USER | pte::GUEST_KERNEL);
        let user = Entry::new(pte::PRESENT | pte::USER).adjusted_leaf();
        assert_eq!(user.bits(), pte::PRESENT | pte::USER | pte::GLOBAL);
    }

    #[test]
    fn device_memory_is_never_cached() {
        let cases = [
            (0, pte::PWT | pte::PCD),
            (pte::PWT, pte::PWT | pte::PCD),
            (pte::PCD, pte::PCD),
            (pte::PAT, pte::PAT),
            (pte::PAT | pte::PWT, pte::PAT | pte::PWT | pte::PCD),
        ];
        for (asked, stored) in cases {
            let entry = Entry::new(pte::PRESENT | asked).adjusted_mmio();
            assert_eq!(entry.bits() & Entry::CACHE, stored, "asked {asked:#x}");
        }
    }

    #[test]
    fn changed_permission_is_never_a_refresh() {
        let old = Entry::new(pte::PRESENT | pte::USER | 0x1000);
        for bit in [pte::RW, pte::PWT, pte::PCD, pte::PAT, 0x1000, pte::PRESENT] {
            let new = Entry::new(old.bits() ^ bit);
            assert!(!old.is_refresh(new), "bit {bit:#x}");
        }
    }

    proptest! {
        #[test]
        fn adjusting_twice_is_adjusting_once(bits: u64) {
            let entry = Entry::new(bits | pte::PRESENT);
            let leaf = entry.adjusted_leaf();
            prop_assert_eq!(leaf.adjusted_leaf(), leaf);
            let mmio = entry.adjusted_mmio();
            prop_assert_eq!(mmio.adjusted_mmio(), mmio);
            for level in [Level::L2, Level::L3, Level::L4] {
                let upper = entry.adjusted_upper(level);
                prop_assert_eq!(upper.adjusted_upper(level), upper);
            }
        }

        #[test]
        fn adjusting_never_changes_the_frame_or_grants_writes(bits: u64) {
            let entry = Entry::new(bits);
            prop_assert_eq!(entry.adjusted_leaf().mfn(), entry.mfn());
            prop_assert_eq!(entry.adjusted_leaf().is_writable(), entry.is_writable());
            prop_assert_eq!(entry.adjusted_mmio().mfn(), entry.mfn());
            prop_assert_eq!(entry.adjusted_mmio().is_writable(), entry.is_writable());
        }
    }
}
