//! Who uses which file, by number.

use alloc::collections::BTreeMap;

struct Held {
    count: u32,
    /// It has no name any more.
    is_nameless: bool,
}

/// Files in use.
#[derive(Default)]
pub(crate) struct Holds(BTreeMap<u64, Held>);

impl Holds {
    pub(crate) fn add(&mut self, inode: u64) {
        self.0.entry(inode).or_insert(Held { count: 0, is_nameless: false }).count += 1;
    }

    /// One user less; true if the file can be freed.
    pub(crate) fn remove(&mut self, inode: u64) -> bool {
        let Some(held) = self.0.get_mut(&inode) else { return false };
        held.count -= 1;
        let (is_unused, is_nameless) = (held.count == 0, held.is_nameless);
        if is_unused {
            self.0.remove(&inode);
        }
        is_unused && is_nameless
    }

    /// The last name is gone; true if the file can be freed at once.
    pub(crate) fn lose_name(&mut self, inode: u64) -> bool {
        match self.0.get_mut(&inode) {
            Some(held) => {
                held.is_nameless = true;
                false
            }
            None => true,
        }
    }

    pub(crate) fn is_nameless(&self, inode: u64) -> bool {
        self.0.get(&inode).is_some_and(|held| held.is_nameless)
    }
}
