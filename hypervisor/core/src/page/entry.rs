//! A page-table entry as a value: which bits a guest may set and what is stored in their place.
//!
//! Pure arithmetic on one word, used by leaf and upper updates, by validation and by lookups. It
//! does not know who owns a frame.

use hypercall_abi::mmu::pte;
use hypercall_abi::Mfn;

use super::types::Level;

/// One 8-byte page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    /// The entry refers to a frame.
    pub const PRESENT: u64 = pte::PRESENT;
    /// Writes are allowed.
    pub const WRITABLE: u64 = pte::RW;
    /// Ring 3 may use it: always set, because guests run in ring 3.
    pub const USER: u64 = pte::USER;
    /// Set by the CPU when it used the entry.
    pub const ACCESSED: u64 = pte::ACCESSED;
    /// Set by the CPU when it wrote through the entry.
    pub const DIRTY: u64 = pte::DIRTY;
    /// The translation survives a change of root.
    pub const GLOBAL: u64 = pte::GLOBAL;
    /// The machine frame number.
    pub const FRAME: u64 = pte::FRAME_MASK;
    /// In a leaf: the guest meant a page of its kernel (it had left [`Self::USER`] clear).
    pub const GUEST_KERNEL: u64 = pte::GUEST_KERNEL;
    /// Instructions cannot be fetched.
    pub const NX: u64 = pte::NX;

    /// The three bits that choose the cache attribute of a leaf.
    pub const CACHE: u64 = pte::PWT | pte::PCD | pte::PAT;
    /// The two bits the CPU sets by itself.
    pub const ACCESSED_DIRTY: u64 = Self::ACCESSED | Self::DIRTY;

    /// Bits of a leaf that may change without a new look at the frame. Not the writable bit and
    /// not the cache bits: those are a new mapping (XSA-182).
    const LEAF_FREE: u64 = Self::UPPER_FREE | Self::GLOBAL;
    /// The same above the leaf level, where the global bit is refused anyhow.
    const UPPER_FREE: u64 =
        Self::NX | pte::AVAIL_HIGH_MASK | pte::AVAIL_MASK | Self::ACCESSED_DIRTY | Self::USER;
    /// Bits no entry above the leaf level may have.
    const UPPER_FORBIDDEN: u64 = Self::CACHE | Self::GLOBAL;

    /// The entry with these bits.
    #[inline]
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// An entry for a frame; frame bits of `flags` are ignored.
    #[must_use]
    pub const fn of(mfn: Mfn, flags: u64) -> Self {
        Self((mfn.maddr() & Self::FRAME) | (flags & !Self::FRAME))
    }

    /// The word.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Everything but the frame number.
    #[inline]
    #[must_use]
    pub const fn flags(self) -> u64 {
        self.0 & !Self::FRAME
    }

    /// Some of the bits are set.
    #[inline]
    #[must_use]
    pub const fn has_any(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// The entry refers to a frame.
    #[inline]
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.has_any(Self::PRESENT)
    }

    /// The entry allows writes.
    #[inline]
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.has_any(Self::WRITABLE)
    }

    /// The frame the entry refers to.
    #[inline]
    #[must_use]
    pub const fn mfn(self) -> Mfn {
        Mfn::from_maddr(self.0 & Self::FRAME)
    }

    /// The frame field is all ones: what guests write for "no frame behind this page".
    #[must_use]
    pub const fn is_frame_all_ones(self) -> bool {
        self.0 & Self::FRAME == Self::FRAME
    }

    /// The value stored for a present leaf entry. Applying it twice changes nothing more.
    #[inline]
    #[must_use]
    pub const fn adjusted_leaf(self) -> Self {
        let mut bits = self.0;
        if bits & Self::USER == 0 {
            bits |= Self::USER | Self::GUEST_KERNEL;
        }
        if bits & Self::GUEST_KERNEL == 0 {
            bits |= Self::GLOBAL | Self::USER;
        }
        Self(bits)
    }

    /// The value stored for a present entry above the leaf level.
    #[inline]
    #[must_use]
    pub const fn adjusted_upper(self, level: Level) -> Self {
        match level {
            Level::L4 => Self(self.0 | Self::USER | Self::ACCESSED),
            _ => Self(self.0 | Self::USER),
        }
    }

    /// A present entry above the leaf level has a bit guests may not set there.
    #[inline]
    #[must_use]
    pub const fn has_forbidden_upper(self, nx_supported: bool) -> bool {
        let nx = if nx_supported { 0 } else { Self::NX };
        self.has_any(Self::UPPER_FORBIDDEN | nx)
    }

    /// Replacing leaf `self` by `new` concerns no reference.
    #[inline]
    #[must_use]
    pub const fn is_leaf_refresh(self, new: Self) -> bool {
        (self.0 ^ new.0) & !Self::LEAF_FREE == 0 && new.is_present()
    }

    /// Replacing upper entry `self` by `new` concerns no reference.
    #[inline]
    #[must_use]
    pub const fn is_upper_refresh(self, new: Self) -> bool {
        (self.0 ^ new.0) & !Self::UPPER_FREE == 0 && new.is_present()
    }

    /// The value stored for a leaf that maps device memory: never cached, and not writable where
    /// the device forbids it. Attribute numbers are those of the guests' attribute table
    /// (WB, WT, UC-, UC, WC, WP, UC, UC).
    #[must_use]
    pub const fn adjusted_mmio(self, is_read_only: bool) -> Self {
        let mut bits = self.0;
        bits |= match bits & Self::CACHE {
            0 => pte::PWT | pte::PCD,
            WRITE_THROUGH | WRITE_PROTECTED => pte::PCD,
            _ => 0,
        };
        if is_read_only {
            bits &= !Self::WRITABLE;
        }
        Self(bits)
    }
}

const WRITE_THROUGH: u64 = pte::PWT;
const WRITE_PROTECTED: u64 = pte::PAT | pte::PWT;

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
        let kernel = Entry::new(Entry::PRESENT).adjusted_leaf();
        assert_eq!(kernel.bits(), Entry::PRESENT | Entry::USER | Entry::GUEST_KERNEL);
        let user = Entry::new(Entry::PRESENT | Entry::USER).adjusted_leaf();
        assert_eq!(user.bits(), Entry::PRESENT | Entry::USER | Entry::GLOBAL);
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
            let entry = Entry::new(Entry::PRESENT | asked).adjusted_mmio(false);
            assert_eq!(entry.bits() & Entry::CACHE, stored, "asked {asked:#x}");
        }
    }

    #[test]
    fn changed_permission_is_never_a_refresh() {
        let old = Entry::new(Entry::PRESENT | Entry::USER | 0x1000);
        for bit in [Entry::WRITABLE, pte::PWT, pte::PCD, pte::PAT, 0x1000, Entry::PRESENT] {
            let new = Entry::new(old.bits() ^ bit);
            assert!(!old.is_leaf_refresh(new), "bit {bit:#x}");
            assert!(!old.is_upper_refresh(new), "bit {bit:#x}");
        }
    }

    proptest! {
        #[test]
        fn adjusting_twice_is_adjusting_once(bits: u64, read_only: bool) {
            let entry = Entry::new(bits | Entry::PRESENT);
            let leaf = entry.adjusted_leaf();
            prop_assert_eq!(leaf.adjusted_leaf(), leaf);
            let mmio = entry.adjusted_mmio(read_only);
            prop_assert_eq!(mmio.adjusted_mmio(read_only), mmio);
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
            prop_assert!(!entry.adjusted_mmio(true).is_writable());
        }
    }
}
