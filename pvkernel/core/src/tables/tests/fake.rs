//! A machine that refuses what a real one would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;

use crate::platform::UserAccess;
use crate::tables::Tables;

const PRESENT: u64 = 1;
pub(super) const WRITE: u64 = 2;
const EXECUTE: u64 = 4;

/// What was asked for and not carried out yet.
pub(super) enum Asked {
    Set(usize, usize, u64),
    Seal(usize),
    Unseal(usize),
}

#[derive(Default)]
pub(super) struct Inner {
    /// Entries by table. A table that is not there is no table.
    pub(super) tables: BTreeMap<usize, Vec<u64>>,
    sealed: BTreeSet<usize>,
    pinned: BTreeSet<usize>,
    pub(super) asked: Vec<Asked>,
    pub(super) loaded: Option<usize>,
    /// Translations that the processor remembers: page and entry.
    pub(super) cached: BTreeMap<u64, u64>,
    next: usize,
    pub(super) limit: usize,
    is_early: bool,
    is_keeping: bool,
}

impl Inner {
    /// Tables below this one, with itself.
    fn reach(&self, table: usize, level: u32, found: &mut BTreeSet<usize>) {
        found.insert(table);
        if level > 1 {
            for entry in self.tables[&table].iter().filter(|entry| **entry & PRESENT != 0) {
                self.reach((entry >> 12) as usize, level - 1, found);
            }
        }
    }

    fn in_use(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        self.pinned.iter().for_each(|root| self.reach(*root, 4, &mut found));
        found
    }

    /// All that a tree maps: page and entry, whose right to write is that of all levels.
    pub(super) fn walk(&self, root: usize) -> BTreeMap<u64, u64> {
        let mut found = BTreeMap::new();
        self.walk_below(root, 4, 0, PRESENT | WRITE, &mut found);
        found
    }

    fn walk_below(
        &self,
        table: usize,
        level: u32,
        page: u64,
        rights: u64,
        found: &mut BTreeMap<u64, u64>,
    ) {
        for (at, entry) in self.tables[&table].iter().enumerate() {
            let (page, rights) = (page << 9 | at as u64, rights & entry);
            match (entry & PRESENT, level) {
                (0, _) => assert_eq!(*entry, 0, "an entry is present or empty"),
                (_, 1) => assert_eq!(found.insert(page, entry & !WRITE | rights), None),
                _ => self.walk_below((entry >> 12) as usize, level - 1, page, rights, found),
            }
        }
    }
}

/// A machine on which a sealed table cannot be written, and only sealed ones can be used.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<Inner>>);

impl Fake {
    pub(super) fn new(is_early: bool, is_keeping: bool) -> Self {
        let inner = Inner { is_early, is_keeping, next: 1, limit: 1000, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panicked")
    }
}

impl Tables for Fake {
    type Table = usize;

    fn alloc(&mut self) -> Option<usize> {
        let mut inner = self.inner();
        if inner.tables.len() >= inner.limit {
            return None;
        }
        let table = inner.next;
        inner.next += 1;
        inner.tables.insert(table, std::vec![0; 512]);
        Some(table)
    }

    fn clear(&mut self, table: usize) {
        let mut inner = self.inner();
        assert!(!inner.sealed.contains(&table), "a sealed table is cleared");
        inner.tables.get_mut(&table).expect("a table").fill(0);
    }

    fn free(&mut self, table: usize) {
        let mut inner = self.inner();
        assert!(!inner.sealed.contains(&table) && !inner.in_use().contains(&table));
        inner.tables.remove(&table).expect("a table is freed once");
    }

    fn table_entry(&self, table: usize, writable: bool) -> u64 {
        (table as u64) << 12 | PRESENT | if writable { WRITE } else { 0 }
    }

    fn page_entry(&self, frame: usize, access: UserAccess) -> u64 {
        let write = if access.write { WRITE } else { 0 };
        let execute = if access.execute { EXECUTE } else { 0 };
        (frame as u64) << 12 | PRESENT | write | execute
    }

    fn write(&mut self, table: usize, index: usize, entry: u64) {
        let mut inner = self.inner();
        assert!(!inner.sealed.contains(&table), "a sealed table is written");
        inner.tables.get_mut(&table).expect("a table")[index] = entry;
    }

    fn set(&mut self, table: usize, index: usize, entry: u64) {
        self.inner().asked.push(Asked::Set(table, index, entry));
    }

    fn seal(&mut self, table: usize) {
        self.inner().asked.push(Asked::Seal(table));
    }

    fn unseal(&mut self, table: usize) {
        self.inner().asked.push(Asked::Unseal(table));
    }

    fn carry_out(&mut self) {
        let mut inner = self.inner();
        for asked in core::mem::take(&mut inner.asked) {
            match asked {
                Asked::Set(table, index, entry) => {
                    assert!(inner.sealed.contains(&table), "an ordinary table is set");
                    inner.tables.get_mut(&table).expect("a table")[index] = entry;
                    let in_use = inner.in_use();
                    assert!(in_use.is_subset(&inner.sealed), "an ordinary table is hooked in");
                }
                Asked::Seal(table) => assert!(inner.sealed.insert(table)),
                Asked::Unseal(table) => {
                    assert!(!inner.in_use().contains(&table), "a table in use is unsealed");
                    assert!(inner.sealed.remove(&table));
                }
            }
        }
    }

    fn pin(&mut self, root: usize) {
        let mut inner = self.inner();
        assert!(inner.pinned.insert(root));
        assert!(inner.in_use().is_subset(&inner.sealed), "a tree is used that is not sealed");
    }

    fn unpin(&mut self, root: usize) {
        let mut inner = self.inner();
        assert_ne!(inner.loaded, Some(root), "the loaded tree is taken apart");
        assert!(inner.pinned.remove(&root));
    }

    fn load(&mut self, root: Option<usize>) {
        let mut inner = self.inner();
        assert!(root.is_none_or(|root| inner.pinned.contains(&root)));
        inner.loaded = root;
        inner.cached.clear();
    }

    fn forget(&mut self, addresses: Option<&[u64]>) {
        let mut inner = self.inner();
        assert!(inner.asked.is_empty(), "translations are forgotten before the tables change");
        match addresses {
            Some(addresses) => addresses.iter().for_each(|address| {
                inner.cached.remove(&(address / 4096));
            }),
            None => inner.cached.clear(),
        }
    }

    fn is_early(&self) -> bool {
        self.inner().is_early
    }

    fn is_keeping(&self) -> bool {
        self.inner().is_keeping
    }
}
