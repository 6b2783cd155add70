//! The plan of a direct map whose tables are made before anything can be allocated.
//!
//! A tree of three levels maps frames `0..frames` in order. Its tables lie in consecutive frames: the top,
//! then those of level 2, then those of level 1. Where a table may not be mapped as memory that can be
//! written, its own frame must be known when it is mapped: so the plan comes first, and each entry is a
//! question to it.

use core::ops::Range;

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Empty,
    /// The table in this frame.
    Table(usize),
    /// This frame, as memory.
    Memory(usize),
    /// This frame, which is a table, to be read only.
    ReadOnly(usize),
}

/// The frames that the direct map's tables occupy, and what lies before them.
#[derive(Debug)]
pub struct Plan {
    frames: usize,
    boot_tables: Range<usize>,
    first: usize,
    level1: usize,
    level2: usize,
}

impl Plan {
    /// A plan for `frames` frames with tables from frame `first` on; `boot_tables` are tables already.
    #[must_use]
    pub const fn new(frames: usize, boot_tables: Range<usize>, first: usize) -> Self {
        let level1 = frames.div_ceil(ENTRIES);
        Self { frames, boot_tables, first, level1, level2: level1.div_ceil(ENTRIES) }
    }

    /// The frames of the tables, the top first.
    #[must_use]
    pub const fn tables(&self) -> Range<usize> {
        self.first..self.first + 1 + self.level2 + self.level1
    }

    /// Whether one top is enough, and the tables leave some memory.
    #[must_use]
    pub const fn fits(&self) -> bool {
        self.level2 < ENTRIES && self.tables().end < self.frames
    }

    /// The first of the tables that map frames.
    #[must_use]
    pub const fn level1(&self) -> usize {
        self.first + 1 + self.level2
    }

    /// Entry `index` of the table in a frame of `tables`.
    #[must_use]
    pub fn entry(&self, table: usize, index: usize) -> Entry {
        if table >= self.level1() {
            return self.leaf((table - self.level1()) * ENTRIES + index);
        }
        let (child, limit) = match table - self.first {
            0 => (self.first + 1 + index, self.level1()),
            table => (self.level1() + (table - 1) * ENTRIES + index, self.tables().end),
        };
        if child < limit {
            Entry::Table(child)
        } else {
            Entry::Empty
        }
    }

    fn leaf(&self, frame: usize) -> Entry {
        match frame {
            _ if frame >= self.frames => Entry::Empty,
            _ if self.boot_tables.contains(&frame) => Entry::ReadOnly(frame),
            _ if self.tables().contains(&frame) => Entry::ReadOnly(frame),
            _ => Entry::Memory(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// What a processor would find, in order.
    fn walk(plan: &Plan, table: usize, level: u32, found: &mut Vec<Entry>) {
        for index in 0..ENTRIES {
            match (plan.entry(table, index), level) {
                (Entry::Table(lower), 2 | 3) => walk(plan, lower, level - 1, found),
                (leaf @ (Entry::Memory(_) | Entry::ReadOnly(_)), 1) => found.push(leaf),
                (Entry::Empty, _) => {}
                (wrong, _) => panic!("{wrong:?} in a table of level {level}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn each_frame_is_mapped_once_and_no_table_can_be_written(
            frames in prop_oneof![2_000..6_000_usize, 262_000..264_000_usize],
            boot in 0..500_usize, first in 500..1_000_usize,
        ) {
            let plan = Plan::new(frames, boot..boot + 9, first);
            prop_assert!(plan.fits());
            let mut found = Vec::new();
            walk(&plan, first, 3, &mut found);
            prop_assert_eq!(found.len(), frames);
            for (frame, entry) in found.into_iter().enumerate() {
                let is_table = plan.tables().contains(&frame) || (boot..boot + 9).contains(&frame);
                let expected = if is_table { Entry::ReadOnly(frame) } else { Entry::Memory(frame) };
                prop_assert_eq!(entry, expected);
            }
        }
    }

    #[test]
    fn a_plan_that_leaves_no_memory_or_needs_two_tops_does_not_fit() {
        assert!(!Plan::new(600, 0..0, 597).fits());
        assert!(Plan::new(600, 0..0, 595).fits());
        assert!(!Plan::new(ENTRIES * ENTRIES * ENTRIES, 0..0, 10).fits());
    }
}
