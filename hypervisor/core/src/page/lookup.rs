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
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        self.entry.mfn()
    }
}

/// Rights collected on the way down.
#[derive(Clone, Copy)]
struct Rights {
    all: u64,
    any: u64,
}

impl Rights {
    const FULL: Self = Self { all: u64::MAX, any: 0 };

    const fn and(self, entry: Entry) -> Self {
        Self { all: self.all & entry.bits(), any: self.any | entry.bits() }
    }
}

impl<H: PageHost> PageTables<'_, H> {
    /// The leaf table and the place in it that maps `va`, if it is a validated leaf table of the
    /// owner (through a linear entry it may be a table of another level).
    #[inline]
    #[must_use]
    pub fn leaf_slot(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, usize)> {
        let (table, _) = self.descend(root, va)?;
        self.is_validated(table, PageType::L1).then(|| (table, pte::index(va.get(), 1)))
    }

    /// Where `va` leads; `None` when nothing is mapped there or the address is not a guest's.
    #[must_use]
    pub fn translate(&self, root: Mfn, va: GuestVa) -> Option<Translation> {
        let (table, rights) = self.descend(root, va)?;
        let index = pte::index(va.get(), 1);
        let entry = Entry::new(self.host.read_entry(table, index));
        let rights = rights.and(entry);
        entry.is_present().then_some(Translation {
            table,
            index,
            entry,
            is_writable: rights.all & Entry::WRITABLE != 0,
            is_executable: rights.any & Entry::NX == 0,
        })
    }

    /// The table the level-2 entry of `va` names.
    #[inline]
    fn descend(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, Rights)> {
        if !va.is_guest_accessible() {
            return None;
        }
        let mut table = root;
        let mut rights = Rights::FULL;
        for level in [4, 3, 2] {
            let entry = Entry::new(self.host.read_entry(table, pte::index(va.get(), level)));
            if !entry.is_present() {
                return None;
            }
            table = entry.mfn();
            rights = rights.and(entry);
        }
        Some((table, rights))
    }
}
