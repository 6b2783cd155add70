//! Reading a domain's page tables in software.
//!
//! Used for `update_va_mapping`, grants, the writable-table emulation, LDT faults, and guest memory
//! that the CPU's own walk cannot be used for. The caller holds the owner's page-table lock, and
//! `root` is a validated root table that a vCPU of the owner holds; so every table on the way is
//! validated too, and entries cannot change during the walk except in their accessed and dirty bits.
//!
//! Changes nothing: not even the accessed bits a CPU would set.

use hypercall_abi::mmu::pte;
use hypercall_abi::{GuestVa, Mfn};

use super::entry::Entry;
use super::host::PageHost;
use super::tables::PageTables;
use super::types::PageType;

/// Where an address leads, and with which rights of all levels together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The leaf table.
    pub table: Mfn,
    /// Number of the entry in it.
    pub index: usize,
    /// The leaf entry.
    pub entry: Entry,
    /// Every level allows writes.
    pub is_writable: bool,
    /// No level forbids instruction fetches.
    pub is_executable: bool,
}

impl Translation {
    /// The frame the address leads to.
    pub const fn mfn(&self) -> Mfn {
        self.entry.mfn()
    }
}

impl<H: PageHost> PageTables<'_, H> {
    /// The leaf table and the place in it that maps `va`, if it is a validated leaf table of the
    /// owner (through a linear entry it may be a table of another level).
    #[inline(always)]
    pub fn leaf_slot(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, usize)> {
        let place = self.leaf_place(root, va)?;
        self.is_validated(place.0, PageType::L1).then_some(place)
    }

    /// The same for those who check the table when they use the place ([`Self::swap_leaf`]).
    #[inline]
    pub fn leaf_place(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, usize)> {
        let (table, _) = self.descend(root, va)?;
        Some((table, pte::index(va.get(), 1)))
    }

    /// Where `va` leads; `None` when nothing is mapped there or the address is not a guest's.
    pub fn translate(&self, root: Mfn, va: GuestVa) -> Option<Translation> {
        let (table, rights) = self.descend(root, va)?;
        let index = pte::index(va.get(), 1);
        let entry = self.read(table, index);
        let rights = rights & rights_of(entry);
        entry.is_present().then_some(Translation {
            table,
            index,
            entry,
            is_writable: rights & pte::RW != 0,
            is_executable: rights & pte::NX != 0,
        })
    }

    /// The table the level-2 entry of `va` names, and the rights down to there.
    #[inline(always)]
    fn descend(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, u64)> {
        if !va.is_guest_accessible() {
            return None;
        }
        let (mut table, mut rights) = (root, u64::MAX);
        for level in [4, 3, 2] {
            let entry = self.read(table, pte::index(va.get(), level));
            if !entry.is_present() {
                return None;
            }
            (table, rights) = (entry.mfn(), rights & rights_of(entry));
        }
        Some((table, rights))
    }
}

/// An entry with the no-execute bit turned over, so that all rights are bits that must be set at
/// every level.
const fn rights_of(entry: Entry) -> u64 {
    entry.bits() ^ pte::NX
}
