//! The mutually exclusive uses of a frame, and the four levels of page tables.
//!
//! Used by every other file of this module. Holds names and their order, no state.

/// What a frame may currently be used for; see the module documentation for the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PageType {
    /// Never typed since the frame was given to its owner.
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
    /// The type with this number; only the low three bits are looked at.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        match bits & 7 {
            0 => Self::None,
            1 => Self::L1,
            2 => Self::L2,
            3 => Self::L3,
            4 => Self::L4,
            5 => Self::SegDesc,
            6 => Self::Writable,
            _ => Self::Shared,
        }
    }

    /// The level, when the type is a page table.
    #[inline]
    #[must_use]
    pub const fn level(self) -> Option<Level> {
        match self {
            Self::L1 => Some(Level::L1),
            Self::L2 => Some(Level::L2),
            Self::L3 => Some(Level::L3),
            Self::L4 => Some(Level::L4),
            _ => None,
        }
    }
}

/// A level of the page-table tree, leaf first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
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

    /// The level with this number, 1 to 4.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::L1),
            2 => Some(Self::L2),
            3 => Some(Self::L3),
            4 => Some(Self::L4),
            _ => None,
        }
    }

    /// The type a frame has while it is a table of this level.
    #[inline]
    #[must_use]
    pub const fn page_type(self) -> PageType {
        match self {
            Self::L1 => PageType::L1,
            Self::L2 => PageType::L2,
            Self::L3 => PageType::L3,
            Self::L4 => PageType::L4,
        }
    }

    /// The level entries of this level name; `None` for a leaf table.
    #[inline]
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::L1 => None,
            Self::L2 => Some(Self::L1),
            Self::L3 => Some(Self::L2),
            Self::L4 => Some(Self::L3),
        }
    }
}

/// Entries of a page table of any level.
pub const ENTRIES: usize = 512;
