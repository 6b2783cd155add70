//! The check of page tables when a root is pinned: the rule that makes direct paging safe.

use super::world::World;
use alloc::collections::BTreeSet;
use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Errno, Mfn};

impl World {
    /// Accepts a root table if every entry leads to the domain's own frames, no table is mapped
    /// writable, neither by the tables themselves nor by the caller.
    pub fn pin(&mut self, domain: DomId, root: Mfn) -> Result<(), Errno> {
        let owned: BTreeSet<u64> = self.domain(domain)?.frames.values().map(|m| m.get()).collect();
        let mut tables = BTreeSet::new();
        self.collect_tables(root, 4, &owned, &mut tables)?;
        if tables.iter().any(|table| self.mapped.contains_key(table)) {
            return Err(Errno::EBUSY);
        }
        for table in &tables {
            self.check_writable(Mfn::new(*table), &tables)?;
        }
        self.domain(domain)?.is_pinned = true;
        Ok(())
    }

    fn collect_tables(
        &self,
        table: Mfn,
        level: u32,
        owned: &BTreeSet<u64>,
        tables: &mut BTreeSet<u64>,
    ) -> Result<(), Errno> {
        if !owned.contains(&table.get()) {
            return Err(Errno::EINVAL);
        }
        tables.insert(table.get());
        for index in 0..pte::ENTRIES {
            let entry = self.load_u64(table, index * 8);
            if entry & pte::PRESENT == 0 {
                continue;
            }
            let target = frame_of(entry);
            if level > 1 {
                self.collect_tables(target, level - 1, owned, tables)?;
            } else if !owned.contains(&target.get()) {
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// Lowest-level entries may not map a table writable. An entry of a higher level always leads
    /// to a table and is writable in the sense of the processor only.
    fn check_writable(&self, table: Mfn, tables: &BTreeSet<u64>) -> Result<(), Errno> {
        for index in 0..pte::ENTRIES {
            let entry = self.load_u64(table, index * 8);
            let is_writable = entry & pte::PRESENT != 0 && entry & pte::RW != 0;
            // User access marks the entries of the higher levels in what the builder writes.
            let is_lowest = entry & pte::USER == 0;
            if is_writable && is_lowest && tables.contains(&frame_of(entry).get()) {
                return Err(Errno::EBUSY);
            }
        }
        Ok(())
    }
}

fn frame_of(entry: u64) -> Mfn {
    Mfn::new((entry & 0x000f_ffff_ffff_f000) >> 12)
}
