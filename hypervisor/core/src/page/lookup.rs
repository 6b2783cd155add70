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

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The frame.
    pub mfn: Mfn,
    /// Every level allows writes.
    pub is_writable: bool,
}

impl<H: PageHost> PageTables<'_, H> {
    /// The place that maps `va`, in what need not be a validated leaf table of the owner: through a
    /// linear entry it may be a table of another level. Who uses the place checks the table.
    #[inline]
    pub fn leaf_place(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, usize)> {
        let (table, _) = self.descend(root, va)?;
        Some((table, pte::index(va.get(), 1)))
    }

    /// Where `va` leads; `None` when nothing is mapped there or the address is not a guest's.
    pub fn translate(&self, root: Mfn, va: GuestVa) -> Option<Translation> {
        let (table, is_writable) = self.descend(root, va)?;
        let entry = self.read(table, pte::index(va.get(), 1));
        let is_writable = is_writable && entry.is_writable();
        entry.is_present().then_some(Translation { mfn: entry.mfn(), is_writable })
    }

    /// The table the level-2 entry of `va` names, and whether all levels down to there allow writes.
    #[inline(always)]
    fn descend(&self, root: Mfn, va: GuestVa) -> Option<(Mfn, bool)> {
        if !va.is_guest_accessible() {
            return None;
        }
        let (mut table, mut is_writable) = (root, true);
        for level in [4, 3, 2] {
            let entry = Entry::new(self.host.load_upper(table, pte::index(va.get(), level)));
            if !entry.is_present() {
                return None;
            }
            (table, is_writable) = (entry.mfn(), is_writable && entry.is_writable());
        }
        Some((table, is_writable))
    }
}
