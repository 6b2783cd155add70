//! The mutually exclusive uses of a frame, and the four levels of page tables.
//!
//! Used by every other file of this module. Holds names and their order, no state.

use hypercall_abi::mmu::pte;

/// Entries of a page table of any level.
pub const ENTRIES: usize = pte::ENTRIES;

/// What a frame may currently be used for; see the module documentation for the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageType {
    /// Never typed since the frame was given to its owner. As a reference: a general one only.
    None = 0,
    /// Leaf page table.
    L1 = 1,
    /// Page directory.
    L2 = 2,
    /// Page-directory-pointer table.
    L3 = 3,
    /// Root table.
    L4 = 4,
    /// Page of segment descriptors (GDT or LDT).
    SegDesc = 5,
    /// Ordinary memory that may be mapped writable.
    Writable = 6,
    /// Content of the hypervisor that guests may map read-only and nothing else.
    Shared = 7,
}

impl PageType {
    /// All types, by number.
    const ALL: [Self; 8] = [
        Self::None,
        Self::L1,
        Self::L2,
        Self::L3,
        Self::L4,
        Self::SegDesc,
        Self::Writable,
        Self::Shared,
    ];

    /// The type with this number; only the low three bits are looked at.
    pub const fn from_bits(bits: u64) -> Self {
        Self::ALL[(bits & 7) as usize]
    }

    /// The level, when the type is a page table.
    pub fn level(self) -> Option<Level> {
        Level::numbered(self as usize)
    }
}

/// A level of the page-table tree, leaf first, with the number of its [`PageType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Entries map frames.
    L1 = 1,
    /// Entries name L1 tables.
    L2 = 2,
    /// Entries name L2 tables.
    L3 = 3,
    /// The root: entries name L3 tables.
    L4 = 4,
}

impl Level {
    /// All levels, leaf first.
    pub const ALL: [Self; 4] = [Self::L1, Self::L2, Self::L3, Self::L4];

    fn numbered(number: usize) -> Option<Self> {
        Self::ALL.get(number.checked_sub(1)?).copied()
    }

    /// The type a frame has while it is a table of this level.
    pub const fn page_type(self) -> PageType {
        PageType::from_bits(self as u64)
    }

    /// The level entries of this level name; `None` for a leaf table.
    pub fn below(self) -> Option<Self> {
        Self::numbered(self as usize - 1)
    }
}
