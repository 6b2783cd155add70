//! The page tables of one virtual range: how many, where, and what they contain.
//!
//! Used by `layout` to count and place tables and by `pagetables` to write them. A range needs, at
//! each level, one table per stretch of addresses that a table of that level covers. Tables lie in
//! one run of frames, highest level first, ascending inside a level.
//!
//! Invariant: two sets built with each other's knowledge (`shared`) never both own the table of
//! one stretch, so the root is always owned by the first set only.

use hypercall_abi::addr::Pfn;

/// Number of levels of page tables.
pub const LEVELS: usize = 4;
const LEVEL_BITS: u32 = 9;
const PAGE_BITS: u32 = 12;
/// Bits of an address that page tables translate.
const VA_MASK: u64 = (1 << 48) - 1;

/// A mapped range of virtual pages. Numbers count pages from address 0 without sign extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    first: u64,
    last: u64,
}

impl Area {
    /// The range of `pages` pages at `start`; an empty range becomes a range of one page.
    #[must_use]
    pub fn new(start: u64, pages: u64) -> Self {
        let first = (start & VA_MASK) >> PAGE_BITS;
        Self { first, last: first.saturating_add(pages.saturating_sub(1)) }
    }

    /// Whether two ranges have a page in common.
    #[must_use]
    pub fn overlaps(&self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// First page number.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Last page number.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }
}

/// The tables of one level that a set owns: stretches `first..first + count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    first: u64,
    count: u64,
    first_pfn: u64,
}

impl Level {
    fn pfn_of(&self, stretch: u64) -> Option<Pfn> {
        let index = stretch.checked_sub(self.first)?;
        (index < self.count).then(|| Pfn::new(self.first_pfn + index))
    }
}

/// One table of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Level, 1 to 4.
    pub level: usize,
    /// Frame of the table.
    pub pfn: Pfn,
    /// Number of the stretch of addresses it covers.
    stretch: u64,
}

impl Table {
    /// Number of what the first entry of the table maps: a stretch of the next lower level, or a
    /// page.
    #[must_use]
    pub fn first_child(&self) -> u64 {
        self.stretch << LEVEL_BITS
    }
}

/// All tables that one mapped range owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSet {
    area: Area,
    target: Pfn,
    levels: [Level; LEVELS],
}

/// Bits to shift a page number by, to get the stretch of a table of `level` (1 to 4).
const fn stretch_shift(level: usize) -> u32 {
    LEVEL_BITS * level as u32
}

impl TableSet {
    /// The tables that map `area` to the frames from `target` on, placed from `place` on. Tables
    /// that `shared` owns already are used and not owned again.
    #[must_use]
    pub fn new(area: Area, target: Pfn, place: Pfn, shared: Option<&TableSet>) -> Self {
        let mut levels = [Level::default(); LEVELS];
        let mut next_pfn = place.get();
        for (index, level) in levels.iter_mut().enumerate().rev() {
            let shift = stretch_shift(index + 1);
            let (mut first, mut last) = (area.first >> shift, area.last >> shift);
            let mut count = last - first + 1;
            if let Some(shared) = shared {
                // The areas are disjoint, so they share at most the stretch where they meet.
                let is_shared = |stretch| shared.pfn_of(index + 1, stretch).is_some();
                if is_shared(first) {
                    first += 1;
                    count -= 1;
                }
                if count != 0 && is_shared(last) {
                    last -= 1;
                    count = last + 1 - first;
                }
            }
            *level = Level { first, count, first_pfn: next_pfn };
            next_pfn += count;
        }
        Self { area, target, levels }
    }

    /// A set without tables and without a range.
    #[must_use]
    pub fn empty() -> Self {
        let area = Area { first: 1, last: 0 };
        Self { area, target: Pfn::new(0), levels: [Level::default(); LEVELS] }
    }

    /// The mapped range.
    #[must_use]
    pub fn area(&self) -> Area {
        self.area
    }

    /// Number of tables.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.levels.iter().map(|level| level.count).sum()
    }

    /// Whether the set owns no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame of the table of `level` (1 to 4) that covers a stretch, if this set owns it.
    #[must_use]
    pub fn pfn_of(&self, level: usize, stretch: u64) -> Option<Pfn> {
        self.levels.get(level.checked_sub(1)?)?.pfn_of(stretch)
    }

    /// The frame a page number is mapped to, if it is in the range.
    #[must_use]
    pub fn target_of(&self, page: u64) -> Option<Pfn> {
        let is_inside = self.area.first <= page && page <= self.area.last;
        is_inside.then(|| Pfn::new(self.target.get() + (page - self.area.first)))
    }

    /// The children (stretches of the next lower level, or pages) the range has below a level.
    #[must_use]
    pub fn children(&self, level: usize) -> (u64, u64) {
        let shift = stretch_shift(level.saturating_sub(1));
        (self.area.first >> shift, self.area.last >> shift)
    }

    /// The tables in the order of their frames.
    pub fn tables(&self) -> impl Iterator<Item = Table> + '_ {
        self.levels.iter().enumerate().rev().flat_map(|(index, level)| {
            (0..level.count).map(move |i| Table {
                level: index + 1,
                pfn: Pfn::new(level.first_pfn + i),
                stretch: level.first + i,
            })
        })
    }
}
