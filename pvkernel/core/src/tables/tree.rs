//! The tables of one program.

use alloc::vec::Vec;

use super::store::Store;
use super::{index, Stale, Tables};
use crate::platform::{Change, OutOfMemory, BLOCK};

/// Behind the last address of a program.
const END: u64 = 1 << 47;

/// A table that leads to others.
struct Upper<T> {
    level: u32,
    /// The addresses it serves: those with these upper bits.
    key: u64,
    table: T,
}

/// A table that maps pages.
struct Block<T> {
    key: u64,
    table: T,
    /// The table of level 2 that leads here.
    parent: T,
    writable: bool,
    present: [u64; 8],
}

/// A root and what is below it.
pub(super) struct Tree<T> {
    pub(super) root: T,
    upper: Vec<Upper<T>>,
    blocks: Vec<Block<T>>,
    pub(super) is_live: bool,
}

impl<T: Copy> Block<T> {
    /// Makes the first changes, which concern this block, and returns the others.
    #[inline]
    fn change<'a, M: Tables<Table = T>>(
        &mut self,
        machine: &mut M,
        changes: &'a [Change],
        writes: bool,
        stale: &mut Stale,
    ) -> &'a [Change] {
        let mut rest = changes;
        while let Some((change, behind)) = rest.split_first() {
            if change.address / BLOCK != self.key {
                break;
            }
            let (index, entry) = entry_of(machine, change);
            match writes {
                true => machine.write(self.table, index, entry),
                false => machine.set(self.table, index, entry),
            }
            if self.note(index, entry) {
                stale.add(change.address);
            }
            rest = behind;
        }
        rest
    }

    /// Notes whether an entry maps something; tells whether it did.
    #[inline]
    fn note(&mut self, index: usize, entry: u64) -> bool {
        let Some(word) = self.present.get_mut(index / 64) else { return false };
        let bit = 1 << (index % 64);
        let was_present = *word & bit != 0;
        match entry {
            0 => *word &= !bit,
            _ => *word |= bit,
        }
        was_present
    }
}

/// The entry a change is about, and what it becomes.
#[inline(always)]
fn entry_of(machine: &impl Tables, change: &Change) -> (usize, u64) {
    let page = change.page.map(|(frame, access)| machine.page_entry(frame, access));
    (index(change.address, 1), page.unwrap_or(0))
}

impl<T: Copy + PartialEq> Tree<T> {
    /// An empty tree.
    pub(super) fn new<M: Tables<Table = T>>(store: &mut Store<M>) -> Result<Self, OutOfMemory> {
        let root = store.take()?;
        Ok(Self { root, upper: Vec::new(), blocks: Vec::new(), is_live: false })
    }

    /// How many tables there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        1 + self.upper.len() + self.blocks.len()
    }

    /// All tables.
    pub(super) fn all(&self) -> impl Iterator<Item = T> + '_ {
        let upper = self.upper.iter().map(|upper| upper.table);
        let blocks = self.blocks.iter().map(|block| block.table);
        core::iter::once(self.root).chain(upper).chain(blocks)
    }

    #[inline]
    fn block(&mut self, key: u64) -> Option<&mut Block<T>> {
        self.blocks.iter_mut().find(|block| block.key == key)
    }

    /// Makes one change at once, if there is a table for it; tells whether something was there.
    #[inline]
    pub(super) fn change_one<M: Tables<Table = T>>(
        &mut self,
        machine: &mut M,
        change: &Change,
    ) -> Option<bool> {
        let writes = !self.is_live || machine.is_writing();
        let block = self.block(change.address / BLOCK)?;
        let (index, entry) = entry_of(machine, change);
        match writes {
            true => machine.write(block.table, index, entry),
            false => machine.set_now(block.table, index, entry),
        }
        Some(block.note(index, entry))
    }

    /// Makes changes, block by block; the caller has them carried out, whatever comes back.
    pub(super) fn change<M: Tables<Table = T>>(
        &mut self,
        store: &mut Store<M>,
        changes: &[Change],
        stale: &mut Stale,
    ) -> Result<(), OutOfMemory> {
        let writes = !self.is_live || store.machine.is_writing();
        let mut rest = changes;
        while let Some(first) = rest.first() {
            rest = match self.block(first.address / BLOCK) {
                Some(block) => block.change(&mut store.machine, rest, writes, stale),
                None if first.page.is_none() => rest.get(1..).unwrap_or_default(),
                None => self.grow(store, first.address, rest)?,
            }
        }
        Ok(())
    }

    /// Makes the table of a block and makes the first changes, which concern it; returns the others. The
    /// table is complete before it is hooked in.
    fn grow<'a, M: Tables<Table = T>>(
        &mut self,
        store: &mut Store<M>,
        address: u64,
        changes: &'a [Change],
    ) -> Result<&'a [Change], OutOfMemory> {
        assert!(address < END, "a page in the kernel's half");
        self.blocks.try_reserve(1).map_err(|_| OutOfMemory)?;
        let parent = self.level2(store, address)?;
        let table = store.take()?;
        let key = address / BLOCK;
        let mut block = Block { key, table, parent, writable: true, present: [0; 8] };
        let rest = block.change(&mut store.machine, changes, true, &mut Stale::new());
        self.hook(&mut store.machine, parent, index(address, 2), table);
        self.blocks.push(block);
        Ok(rest)
    }

    /// The table of level 2 for an address, made if there is none.
    fn level2<M: Tables<Table = T>>(
        &mut self,
        store: &mut Store<M>,
        address: u64,
    ) -> Result<T, OutOfMemory> {
        self.upper.try_reserve(2).map_err(|_| OutOfMemory)?;
        let mut parent = self.root;
        for level in [3, 2] {
            let key = address >> (12 + 9 * level);
            let found = self.upper.iter().find(|upper| upper.level == level && upper.key == key);
            let table = match found {
                Some(upper) => upper.table,
                None => {
                    let table = store.take()?;
                    self.hook(&mut store.machine, parent, index(address, level + 1), table);
                    self.upper.push(Upper { level, key, table });
                    table
                }
            };
            parent = table;
        }
        Ok(parent)
    }

    /// Makes a table part of the tree.
    fn hook<M: Tables<Table = T>>(&self, machine: &mut M, parent: T, index: usize, table: T) {
        let entry = machine.table_entry(table, true);
        if !self.is_live {
            return machine.write(parent, index, entry);
        }
        machine.seal(table);
        machine.set(parent, index, entry);
    }

    /// Lets a block be written or not; tells whether anything changed.
    pub(super) fn set_writable<M: Tables<Table = T>>(
        &mut self,
        machine: &mut M,
        address: u64,
        writable: bool,
    ) -> bool {
        let is_live = self.is_live;
        let Some(block) = self.block(address / BLOCK) else { return false };
        if block.writable == writable {
            return false;
        }
        block.writable = writable;
        let (index, entry) = (index(address, 2), machine.table_entry(block.table, writable));
        match is_live {
            true => machine.set(block.parent, index, entry),
            false => machine.write(block.parent, index, entry),
        }
        true
    }

    /// Seals all tables and makes the tree usable.
    pub(super) fn go_live<M: Tables<Table = T>>(&mut self, machine: &mut M) {
        self.all().for_each(|table| machine.seal(table));
        machine.carry_out();
        machine.pin(self.root);
        self.is_live = true;
    }

    /// Empties a live tree without changing its tables.
    pub(super) fn empty<M: Tables<Table = T>>(&mut self, machine: &mut M) {
        for block in &mut self.blocks {
            for (word, bits) in block.present.iter_mut().enumerate() {
                let mut bits = core::mem::take(bits);
                while bits != 0 {
                    machine.set(block.table, word * 64 + bits.trailing_zeros() as usize, 0);
                    bits &= bits - 1;
                }
            }
            if !block.writable {
                let index = index(block.key * BLOCK, 2);
                machine.set(block.parent, index, machine.table_entry(block.table, true));
                block.writable = true;
            }
        }
        machine.carry_out();
    }
}
