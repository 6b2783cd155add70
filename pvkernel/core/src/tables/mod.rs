//! Page tables of programs, on any machine.
//!
//! `platform::User` speaks of spaces and changes. Here they become trees of tables: which tables there
//! are, what is mapped in each, what is kept when a process ends. What differs from machine to machine is
//! how an entry is written, what makes a tree usable and how one is loaded: that is the trait [`Tables`],
//! which a backend implements in its `user/space.rs` and hands to a [`Spaces`].
//!
//! A tree begins as ordinary memory that is filled by plain stores. When it is first used it goes *live*;
//! from then on its entries change by `set`, in batches. A live tree whose process ended is emptied and
//! kept for the next one (`store`): making and taking apart a tree costs more than all its entries.
//!
//! What always holds between two calls: an emptied tree maps nothing; `present` of a block has a bit for
//! each entry that maps something; nothing that was changed is still to be carried out, and no old
//! translation of the active space is in use.

mod spaces;
mod store;
#[cfg(test)]
mod tests;
mod tree;

use crate::platform::UserAccess;

pub use spaces::Spaces;
pub use store::{POOL, SPARES, SPARE_TABLES};

/// Addresses that are forgotten one by one; of more, all are.
const SINGLE: usize = 4;

/// Index into a table of `level` (1 to 4) for an address.
#[must_use]
pub const fn index(va: u64, level: u32) -> usize {
    ((va >> (12 + 9 * (level - 1))) & 511) as usize
}

/// What a machine does with page tables. Where a method does nothing by itself, a table is memory like any
/// other.
pub trait Tables {
    /// A frame that is a table, or will be.
    type Table: Copy + PartialEq;

    /// An empty table, or nothing without memory.
    fn alloc(&mut self) -> Option<Self::Table>;

    /// Empties a table that is in no tree.
    fn clear(&mut self, table: Self::Table);

    /// Gives the frame of a table back that is in no tree.
    fn free(&mut self, table: Self::Table);

    /// The entry that leads to a table.
    fn table_entry(&self, table: Self::Table, writable: bool) -> u64;

    /// The entry for a page of a program.
    fn page_entry(&self, frame: usize, access: UserAccess) -> u64;

    /// Writes an entry of a table that is not sealed.
    fn write(&mut self, table: Self::Table, index: usize, entry: u64);

    /// Writes an entry of a table that is sealed, at the latest by `carry_out`; in the order of the calls.
    fn set(&mut self, table: Self::Table, index: usize, entry: u64);

    /// Writes an entry of a table that is sealed now, while nothing else is to be carried out.
    #[inline]
    fn set_now(&mut self, table: Self::Table, index: usize, entry: u64) {
        self.set(table, index, entry);
        self.carry_out();
    }

    /// Whether entries that map pages are written even where tables are sealed.
    #[inline]
    fn is_writing(&self) -> bool {
        false
    }

    /// Gives up writing to a table, before it becomes part of a live tree; in order with `set`.
    #[inline]
    fn seal(&mut self, _table: Self::Table) {}

    /// Takes a table back that is part of no tree any more. `carry_out` and `forget(None)` have to follow.
    #[inline]
    fn unseal(&mut self, _table: Self::Table) {}

    /// Carries out what was asked for.
    #[inline]
    fn carry_out(&mut self) {}

    /// Makes a tree usable, all of whose tables are sealed.
    fn pin(&mut self, root: Self::Table);

    /// Makes a tree ordinary tables again.
    #[inline]
    fn unpin(&mut self, _root: Self::Table) {}

    /// Makes a tree the one that programs run in; `None` for none.
    fn load(&mut self, root: Option<Self::Table>);

    /// Forgets what is cached of these addresses of the loaded tree; of all for `None`.
    fn forget(&mut self, addresses: Option<&[u64]>);

    /// Whether trees are to be live from the beginning.
    fn is_early(&self) -> bool;

    /// Whether trees are kept for other processes.
    fn is_keeping(&self) -> bool;
}

/// Addresses whose translations are old.
struct Stale {
    addresses: [u64; SINGLE],
    count: usize,
}

impl Stale {
    const fn new() -> Self {
        Self { addresses: [0; SINGLE], count: 0 }
    }

    #[inline]
    fn add(&mut self, address: u64) {
        if let Some(place) = self.addresses.get_mut(self.count) {
            *place = address;
        }
        self.count += 1;
    }

    #[inline]
    fn forget(&self, machine: &mut impl Tables) {
        if self.count > 0 {
            machine.forget(self.addresses.get(..self.count));
        }
    }
}
