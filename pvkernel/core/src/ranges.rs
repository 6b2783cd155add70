//! Ranges of pages in a window of addresses.
//!
//! First fit: the lowest range that is large enough. Page tables made for a range serve again for
//! the next one, so keeping ranges low keeps the number of tables small. Plain numbers; what is
//! mapped in a range is its owner's business.
//!
//! Dom0 holds some ranges for each domain, and another one must not cost more for that: holes are kept
//! beside what is taken, and a request passes by those holes only that are too small for it.

use alloc::collections::BTreeMap;

/// Which ranges of `0..pages` are taken.
#[derive(Debug)]
pub struct Ranges {
    pages: usize,
    /// First page to number of pages; ranges do not overlap.
    taken: BTreeMap<usize, usize>,
    /// Free pages between taken ones: the page behind the hole to its first. A hole ends where a range
    /// begins, so no two touch each other.
    holes: BTreeMap<usize, usize>,
    /// From here on all is free; 0, or the page behind a range.
    end: usize,
}

impl Ranges {
    /// A window of `pages` pages, all free.
    #[must_use]
    pub const fn new(pages: usize) -> Self {
        Self { pages, taken: BTreeMap::new(), holes: BTreeMap::new(), end: 0 }
    }

    /// Takes `len` consecutive pages and returns the first.
    pub fn take(&mut self, len: usize) -> Option<usize> {
        if len == 0 {
            return None;
        }
        let first = match self.fill_hole(len) {
            Some(first) => first,
            None if self.pages - self.end >= len => {
                self.end += len;
                self.end - len
            }
            None => return None,
        };
        self.taken.insert(first, len);
        Some(first)
    }

    /// Takes pages from the start of the lowest hole that is large enough.
    fn fill_hole(&mut self, len: usize) -> Option<usize> {
        let (&end, start) = self.holes.iter_mut().find(|(end, start)| **end - **start >= len)?;
        let first = *start;
        *start += len;
        if *start == end {
            self.holes.remove(&end);
        }
        Some(first)
    }

    /// Gives the range back that begins at `first`; says whether there was one.
    pub fn release(&mut self, first: usize) -> bool {
        let Some(len) = self.taken.remove(&first) else { return false };
        let behind = first + len;
        // What is free in front of it belongs to the new hole.
        let start = self.holes.remove(&first).unwrap_or(first);
        if behind == self.end {
            self.end = start;
        } else if self.taken.contains_key(&behind) {
            self.holes.insert(behind, start);
        } else if let Some((_, next)) = self.holes.range_mut(behind..).next() {
            *next = start;
        }
        true
    }

    /// Pages taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn takes_the_lowest_free_range(
            pages in 1usize..40,
            ops in proptest::collection::vec((any::<bool>(), 0usize..40), 0..60),
        ) {
            let mut ranges = Ranges::new(pages);
            // Which range each page belongs to.
            let mut model = vec![None; pages];
            for (take, number) in ops {
                if take {
                    let len = number % 9;
                    let free = |start: &usize| {
                        len > 0 && start + len <= pages && model[*start..start + len].iter().all(Option::is_none)
                    };
                    let expected = (0..pages).find(free);
                    prop_assert_eq!(ranges.take(len), expected);
                    if let Some(start) = expected {
                        model[start..start + len].fill(Some(start));
                    }
                } else {
                    let owned = model.get(number) == Some(&Some(number));
                    prop_assert_eq!(ranges.release(number), owned);
                    model.iter_mut().filter(|page| owned && **page == Some(number)).for_each(|page| *page = None);
                }
                prop_assert_eq!(ranges.taken(), model.iter().flatten().count());
                let end = model.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
                prop_assert_eq!(ranges.end, end);
                // No more holes than there are, each as large as it is.
                let holes = (0..end).filter(|page| model[*page].is_none());
                let listed = ranges.holes.iter().flat_map(|(end, start)| *start..*end);
                prop_assert!(holes.eq(listed));
                prop_assert!(ranges.holes.keys().all(|end| model[*end].is_some()));
            }
        }
    }
}
