//! The contents of the initial page tables.
//!
//! Called when the frames of the domain are known: the plan works with pseudo-physical frames, the
//! entries hold machine frames, so the caller says which machine frame backs a pseudo-physical one.
//!
//! Invariants: every page of the mapped ranges is mapped once; the pages of the tables themselves
//! are mapped read-only, because a table that is mapped writable cannot be pinned; entries that
//! are not mentioned must be zero.

use crate::layout::{BuildKind, Plan};
use crate::tables::Table;
use alloc::boxed::Box;
use hypercall_abi::addr::{Mfn, Pfn};
use hypercall_abi::mmu::pte;

/// Flags of an entry that refers to another table.
const UPPER: u64 = pte::PRESENT | pte::RW | pte::USER | pte::ACCESSED | pte::DIRTY;
/// Flags of a page mapped by the toolstack; the hypervisor makes it a guest-kernel page.
const DOM_U_PAGE: u64 = pte::PRESENT | pte::RW | pte::ACCESSED;
/// Flags of a page mapped by the hypervisor for dom0.
const DOM0_PAGE: u64 = UPPER | pte::GUEST_KERNEL;

/// One page table with all its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableImage {
    /// Level, 1 to 4.
    pub level: usize,
    /// Frame of the table.
    pub pfn: Pfn,
    /// The entries.
    pub entries: Box<[u64; pte::ENTRIES]>,
}

impl Plan {
    /// Hands every present entry of every page table to `emit` as (frame of the table, index,
    /// entry), table by table in the order of their frames.
    pub fn page_tables(
        &self,
        mut mfn_of: impl FnMut(Pfn) -> Mfn,
        mut emit: impl FnMut(Pfn, usize, u64),
    ) {
        for table in self.all_tables() {
            self.entries_of(table, &mut mfn_of, |index, entry| emit(table.pfn, index, entry));
        }
    }

    /// Hands every page table to `emit` as a whole page, for callers that write page by page. The
    /// image is reused: it is valid during the call only.
    pub fn table_images(
        &self,
        mut mfn_of: impl FnMut(Pfn) -> Mfn,
        mut emit: impl FnMut(&TableImage),
    ) {
        let entries = Box::new([0; pte::ENTRIES]);
        let mut image = TableImage { level: 0, pfn: Pfn::new(0), entries };
        for table in self.all_tables() {
            image.entries.fill(0);
            (image.level, image.pfn) = (table.level, table.pfn);
            let entries = &mut image.entries;
            self.entries_of(table, &mut mfn_of, |index, entry| {
                if let Some(slot) = entries.get_mut(index) {
                    *slot = entry;
                }
            });
            emit(&image);
        }
    }

    /// All tables: those of the kernel mapping, then those of a separate P2M.
    pub fn all_tables(&self) -> impl Iterator<Item = Table> + '_ {
        self.kernel_tables.tables().chain(self.p2m_table_set.tables())
    }

    /// The present entries of one table; both mapped ranges can have entries in it.
    fn entries_of(
        &self,
        table: Table,
        mfn_of: &mut impl FnMut(Pfn) -> Mfn,
        mut emit: impl FnMut(usize, u64),
    ) {
        let first = table.first_child();
        let last = first + (pte::ENTRIES as u64 - 1);
        let (kernel_low, kernel_high) = self.kernel_tables.children(table.level);
        let (p2m_low, p2m_high) = self.p2m_table_set.children(table.level);
        // A child that both ranges need is the kernel's: it must not be mentioned twice.
        let kernel = first.max(kernel_low)..=last.min(kernel_high);
        let p2m = (first.max(p2m_low)..=last.min(p2m_high)).filter(|c| !kernel.contains(c));
        for child in kernel.clone().chain(p2m) {
            if let Some((pfn, flags)) = self.child(table.level, child) {
                emit((child - first) as usize, pte::make(mfn_of(pfn), flags));
            }
        }
    }

    fn child(&self, level: usize, child: u64) -> Option<(Pfn, u64)> {
        let sets = [&self.kernel_tables, &self.p2m_table_set];
        if level > 1 {
            let pfn = sets.iter().find_map(|set| set.pfn_of(level - 1, child))?;
            return Some((pfn, UPPER));
        }
        let pfn = sets.iter().find_map(|set| set.target_of(child))?;
        let flags = match self.kind {
            BuildKind::Dom0 => DOM0_PAGE,
            BuildKind::DomU => DOM_U_PAGE,
        };
        let is_read_only = self.is_table(pfn);
        Some((pfn, if is_read_only { flags & !pte::RW } else { flags }))
    }
}
