//! Finding the present entries of a table quickly: most tables are mostly empty.
//!
//! Used by the walks of validation, which leave empty stretches to these functions. They look at
//! four entries at a time where they can, and change nothing.

use hypercall_abi::mmu::pte;

use super::host::PageHost;
use super::tables::PageTables;

/// Entries looked at in one step.
const STEP: usize = 4;

impl<H: PageHost> PageTables<'_, H> {
    /// The first present entry from `from` on, below `end`; `end` when there is none.
    #[inline(never)]
    pub(super) fn next_present(&self, page: H::Page, from: usize, end: usize) -> usize {
        let steps = from.next_multiple_of(STEP).min(end);
        let found = (from..steps).find(|index| self.is_present(page, *index));
        found.unwrap_or_else(|| {
            let range = steps / STEP..end / STEP;
            let step = range.clone().find(|step| self.any_present(page, *step));
            let start = STEP * step.unwrap_or(range.end);
            let mut rest = start.max(steps)..end;
            rest.find(|index| self.is_present(page, *index)).unwrap_or(end)
        })
    }

    /// One more than the last present entry before `from`, not before `end`; `end` when there is
    /// none.
    #[inline(never)]
    pub(super) fn last_present(&self, page: H::Page, from: usize, end: usize) -> usize {
        let steps = (from / STEP * STEP).max(end);
        let found = (steps..from).rev().find(|index| self.is_present(page, *index));
        let found = found.or_else(|| {
            let range = end.div_ceil(STEP)..steps / STEP;
            let step = range.clone().rev().find(|step| self.any_present(page, *step));
            let start = STEP * step.map_or(range.start, |step| step + 1);
            (end..start.min(steps)).rev().find(|index| self.is_present(page, *index))
        });
        found.map_or(end, |index| index + 1)
    }

    fn is_present(&self, page: H::Page, index: usize) -> bool {
        self.host.load(page, index) & pte::PRESENT != 0
    }

    fn any_present(&self, page: H::Page, step: usize) -> bool {
        self.host.load_any_of_four(page, step) & pte::PRESENT != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::FrameWorld;
    use super::super::ENTRIES;
    use super::*;
    use hypercall_abi::{DomId, Mfn};
    use proptest::prelude::*;

    const TABLE: Mfn = Mfn::new(0);

    proptest! {
        #[test]
        fn the_nearest_present_entry_is_found(
            present in proptest::collection::vec(0..ENTRIES, 0..4),
            ends in (0..=ENTRIES, 0..=ENTRIES),
        ) {
            let world = FrameWorld::new(1);
            // All other bits say nothing.
            (0..ENTRIES).for_each(|index| world.poke(TABLE, index, !pte::PRESENT));
            present.iter().for_each(|index| world.poke(TABLE, *index, pte::PRESENT));
            let tables = PageTables::new(&world, DomId::DOM0, DomId::DOM0);
            let (low, high) = (ends.0.min(ends.1), ends.0.max(ends.1));
            let inside = present.iter().copied().filter(|index| (low..high).contains(index));
            let (first, last) = (inside.clone().min(), inside.max());
            prop_assert_eq!(tables.next_present(TABLE, low, high), first.unwrap_or(high));
            prop_assert_eq!(tables.last_present(TABLE, high, low), last.map_or(low, |at| at + 1));
        }
    }
}
