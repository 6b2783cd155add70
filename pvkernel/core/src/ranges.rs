//! Ranges of pages in a window of addresses.
//!
//! First fit: the lowest range that is large enough. Page tables made for a range serve again for
//! the next one, so keeping ranges low keeps the number of tables small. Plain numbers; what is
//! mapped in a range is its owner's business.

use alloc::collections::BTreeMap;

/// Which ranges of `0..pages` are taken.
#[derive(Debug)]
pub struct Ranges {
    pages: usize,
    /// First page to number of pages; ranges do not overlap.
    taken: BTreeMap<usize, usize>,
}

impl Ranges {
    /// A window of `pages` pages, all free.
    #[must_use]
    pub const fn new(pages: usize) -> Self {
        Self { pages, taken: BTreeMap::new() }
    }

    /// Takes `len` consecutive pages and returns the first.
    pub fn take(&mut self, len: usize) -> Option<usize> {
        let mut first = 0;
        for (start, taken) in &self.taken {
            if start - first >= len {
                break;
            }
            first = start + taken;
        }
        if len == 0 || self.pages - first < len {
            return None;
        }
        self.taken.insert(first, len);
        Some(first)
    }

    /// Gives the range back that begins at `first`; says whether there was one.
    pub fn release(&mut self, first: usize) -> bool {
        self.taken.remove(&first).is_some()
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
            }
        }
    }
}
