//! Numbers to hand out: the free entries of a grant table.
//!
//! A backend keeps its entries in memory that is shared with the hypervisor; which of them are free
//! is known here only, so nothing that others write can make two owners of one entry. Taking and
//! giving back cost a few instructions and no memory; only `grow` allocates.
//!
//! Invariant: a number is free, or in use, or reserved; `free` counts the first kind.

use alloc::vec::Vec;

use crate::platform::OutOfMemory;

/// Ends the list of free numbers.
const END: u32 = u32::MAX;
/// In the place of a link: the number is not free.
const USED: u32 = u32::MAX - 1;

/// Numbers from 0 up, the first few of which are never handed out.
#[derive(Debug)]
pub struct RefPool {
    /// For a free number the next free one.
    next: Vec<u32>,
    head: u32,
    free: usize,
    reserved: usize,
}

impl RefPool {
    /// An empty pool whose numbers below `reserved` will not be handed out.
    #[must_use]
    pub const fn new(reserved: usize) -> Self {
        Self { next: Vec::new(), head: END, free: 0, reserved }
    }

    /// Numbers managed, with the reserved ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.next.len()
    }

    /// Whether there are no numbers yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Numbers that can be taken.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.free
    }

    /// Numbers that were taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.next.len().saturating_sub(self.reserved) - self.free
    }

    /// Makes all numbers below `len` known; the new ones are free, the lowest is taken first.
    ///
    /// # Errors
    /// Without memory for the list; nothing has changed then.
    pub fn grow(&mut self, len: usize) -> Result<(), OutOfMemory> {
        let have = self.next.len();
        let len = len.min(USED as usize);
        self.next.try_reserve_exact(len.saturating_sub(have)).map_err(|_| OutOfMemory)?;
        self.next.resize(len.max(have), USED);
        for number in (have.max(self.reserved)..len).rev() {
            self.push(number);
        }
        Ok(())
    }

    fn push(&mut self, number: usize) {
        self.next[number] = self.head;
        self.head = number as u32;
        self.free += 1;
    }

    /// Takes a free number.
    pub fn take(&mut self) -> Option<u32> {
        let number = self.head;
        let link = self.next.get_mut(number as usize)?;
        self.head = core::mem::replace(link, USED);
        self.free -= 1;
        Some(number)
    }

    /// Gives a number back; false when it was not in use.
    pub fn release(&mut self, number: u32) -> bool {
        let number = number as usize;
        if number < self.reserved || self.next.get(number) != Some(&USED) {
            return false;
        }
        self.push(number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::RefPool;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Grow(usize),
        Take,
        Release(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0usize..60).prop_map(Op::Grow),
            Just(Op::Take),
            Just(Op::Take),
            (0u32..64).prop_map(Op::Release),
        ]
    }

    proptest! {
        #[test]
        fn every_number_has_one_owner(
            reserved in 0usize..9,
            ops in proptest::collection::vec(op(), 0..200),
        ) {
            let mut pool = RefPool::new(reserved);
            let mut len = 0;
            let mut used: BTreeSet<u32> = BTreeSet::new();
            for op in ops {
                match op {
                    Op::Grow(to) => {
                        pool.grow(to).unwrap();
                        len = len.max(to);
                    }
                    Op::Take => match pool.take() {
                        Some(number) => {
                            prop_assert!((reserved..len).contains(&(number as usize)));
                            prop_assert!(used.insert(number), "handed out twice");
                        }
                        None => prop_assert_eq!(used.len(), len.saturating_sub(reserved)),
                    },
                    Op::Release(number) => {
                        prop_assert_eq!(pool.release(number), used.remove(&number));
                    }
                }
                prop_assert_eq!(pool.used(), used.len());
                prop_assert_eq!(pool.free(), len.saturating_sub(reserved) - used.len());
                prop_assert_eq!(pool.len(), len);
            }
        }
    }
}
