//! The bytes of a file on the heap.
//!
//! Pages that were never written are not there and read as zeros. A page has only as much memory as was
//! written of it, in powers of two, and all of it is taken from a budget.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Bytes a page has at least.
const LEAST: usize = 256;
/// What a page takes besides its bytes: its part of the tree.
const OVERHEAD: u64 = 64;

/// Bytes that may be taken, and those that are.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) limit: u64,
    pub(super) used: u64,
}

impl Budget {
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let fits = self.used.checked_add(bytes).is_some_and(|used| used <= self.limit);
        if fits {
            self.used += bytes;
        }
        fits
    }

    pub(super) const fn give(&mut self, bytes: u64) {
        self.used -= bytes;
    }
}

/// The bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    size: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// What a page's memory is charged with.
fn charge(page: &Vec<u8>) -> u64 {
    page.capacity() as u64 + OVERHEAD
}

/// Makes a page at least `len` bytes long.
fn lengthen(page: &mut Vec<u8>, len: usize, budget: &mut Budget) -> Option<()> {
    if len > page.capacity() {
        let capacity = len.next_power_of_two().max(LEAST);
        let more = (capacity - page.capacity()) as u64;
        if !budget.take(more) {
            return None;
        }
        if page.try_reserve_exact(capacity - page.len()).is_err() {
            budget.give(more);
            return None;
        }
    }
    Some(())
}

impl Contents {
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Reads up to the end.
    pub(super) fn read(&self, at: u64, to: &mut [u8]) -> usize {
        let len = (to.len() as u64).min(self.size.saturating_sub(at)) as usize;
        let mut done = 0;
        while done < len {
            let here = at + done as u64;
            let start = (here % PAGE) as usize;
            let piece = &mut to[done..len.min(done + PAGE as usize - start)];
            let page = self.pages.get(&(here / PAGE)).and_then(|page| page.get(start..));
            let page = page.unwrap_or_default();
            let there = page.len().min(piece.len());
            let (bytes, zeros) = piece.split_at_mut(there);
            bytes.copy_from_slice(&page[..there]);
            zeros.fill(0);
            done += there + zeros.len();
        }
        len
    }

    /// Writes as much as the budget and the heap have room for.
    pub(super) fn write(&mut self, at: u64, from: &[u8], budget: &mut Budget) -> usize {
        let mut done = 0;
        while done < from.len() {
            let here = at + done as u64;
            let start = (here % PAGE) as usize;
            let piece = &from[done..from.len().min(done + PAGE as usize - start)];
            if self.write_page(here / PAGE, start, piece, budget).is_none() {
                break;
            }
            done += piece.len();
            self.size = self.size.max(at + done as u64);
        }
        done
    }

    fn write_page(
        &mut self,
        number: u64,
        start: usize,
        from: &[u8],
        budget: &mut Budget,
    ) -> Option<()> {
        let end = start + from.len();
        let Some(page) = self.pages.get_mut(&number) else {
            let mut page = Vec::new();
            if !budget.take(OVERHEAD) {
                return None;
            }
            if lengthen(&mut page, end, budget).is_none() {
                budget.give(OVERHEAD);
                return None;
            }
            page.resize(start, 0);
            page.extend_from_slice(from);
            self.pages.insert(number, page);
            return Some(());
        };
        lengthen(page, end, budget)?;
        if page.len() <= start {
            page.resize(start, 0);
            page.extend_from_slice(from);
            return Some(());
        }
        if page.len() < end {
            page.resize(end, 0);
        }
        page[start..end].copy_from_slice(from);
        Some(())
    }

    /// Sets the size; what is added is zeros and takes no memory.
    pub(super) fn resize(&mut self, size: u64, budget: &mut Budget) {
        if size < self.size {
            let gone = self.pages.split_off(&size.div_ceil(PAGE));
            budget.give(gone.values().map(charge).sum());
            if let Some(last) = self.pages.get_mut(&(size / PAGE)) {
                last.truncate((size % PAGE) as usize);
            }
        }
        self.size = size;
    }

    /// Gives all memory back.
    pub(super) fn clear(&mut self, budget: &mut Budget) {
        self.resize(0, budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_vector_of_bytes(
            limit in prop_oneof![Just(1_u64 << 30), 0_u64..40_000],
            ops in proptest::collection::vec(
                (0_u8..3, 0_u64..30_000, 0_usize..9000, any::<u8>()), 0..40),
        ) {
            let mut budget = Budget { limit, used: 0 };
            let (mut contents, mut model) = (Contents::default(), Vec::new());
            for (op, at, len, fill) in ops {
                match op {
                    0 => {
                        let done = contents.write(at, &std::vec![fill; len], &mut budget);
                        prop_assert!(done == len || limit < 1 << 30);
                        let end = at as usize + done;
                        if done > 0 && model.len() < end {
                            model.resize(end, 0);
                        }
                        if done > 0 {
                            model[at as usize..end].fill(fill);
                        }
                    }
                    1 => {
                        contents.resize(at, &mut budget);
                        model.resize(at as usize, 0);
                    }
                    _ => {
                        let mut found = std::vec![fill; len];
                        let count = contents.read(at, &mut found);
                        let rest = model.get(at as usize..).unwrap_or_default();
                        let expected = &rest[..rest.len().min(len)];
                        prop_assert_eq!(&found[..count], expected);
                    }
                }
                prop_assert_eq!(contents.size(), model.len() as u64);
                let charged: u64 = contents.pages.values().map(charge).sum();
                prop_assert_eq!(budget.used, charged);
                prop_assert!(budget.used <= limit);
            }
            contents.clear(&mut budget);
            prop_assert_eq!(budget.used, 0);
        }
    }

    #[test]
    fn a_far_byte_takes_one_page() {
        let mut budget = Budget { limit: 10_000, used: 0 };
        let mut contents = Contents::default();
        assert_eq!(contents.write((1 << 39) + 5, b"x", &mut budget), 1);
        assert_eq!(contents.size(), (1 << 39) + 6);
        assert_eq!(budget.used, 256 + OVERHEAD);
        contents.resize(1 << 40, &mut budget);
        contents.resize(0, &mut budget);
        assert_eq!(budget.used, 0);
    }
}
