//! Writes to page tables: the guest's own read-only L1 tables, written with ordinary instructions.
//!
//! The instruction is decoded from a copy, its effect on the entry computed, and the new entry
//! validated and stored as an update would be. If anything does not fit, the guest gets the fault.

use hv_core::emul::{apply, decode_store, DecodedStore, Store};
use hv_core::page::{Entry, PageError, PageTables, PageType, Stop, Translation};
use hv_machine::GuestRegs;
use hypercall_abi::addr::GuestVa;

use super::privop::{write_gpr, View};
use super::fetch;
use crate::counters::{self, bump};
use crate::current::Here;
use crate::guestmem;
use crate::host::Host;
use crate::hypercall::mmu::BUDGET;

/// Attempts at storing an entry that others keep changing.
const ATTEMPTS: u32 = 8;

/// Emulates a write to a page table at `va`; false when it is not one.
pub fn emulate(here: &Here, regs: &mut GuestRegs, va: GuestVa) -> bool {
    let Some(found) = find(here, va) else { return false };
    let decoded = decode_store(&fetch(regs), &View::new(regs), va);
    let store = match decoded {
        Ok(DecodedStore::Ready(store)) => store,
        Ok(DecodedStore::NeedsSource(pending)) => {
            let mut raw = [0u8; 8];
            let width = usize::from(pending.width());
            let Some(part) = raw.get_mut(..width) else { return false };
            if guestmem::read_bytes(pending.source.get(), part).is_err() {
                return false;
            }
            pending.with_source(u64::from_le_bytes(raw))
        }
        Err(_) => return false,
    };
    let done = write(here, regs, &found, &store);
    if done {
        bump(&counters::here().emulated);
    }
    done
}

/// The page table behind the address, if it is mapped read-only and is an L1 table of the domain.
fn find(here: &Here, va: GuestVa) -> Option<Translation> {
    let dom = here.dom();
    let root = here.vcpu().state.lock().root?;
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let _mmu = dom.mmu.lock();
    let found = tables.translate(root, va).filter(|found| !found.is_writable)?;
    let info = hv_core::page::page_type_info(&Host, found.mfn())?;
    (info.owner == dom.id && info.page_type == PageType::L1).then_some(found)
}

fn write(here: &Here, regs: &mut GuestRegs, found: &Translation, store: &Store) -> bool {
    let dom = here.dom();
    let (table, index) = (found.mfn(), store.address.page_offset() / 8);
    let tables = PageTables::new(&Host, dom.id, dom.id);
    for _ in 0..ATTEMPTS {
        let mut mmu = dom.mmu.lock();
        let Ok(old) = tables.read_leaf(table, index).map(Entry::bits) else { return false };
        let outcome = apply(store, old, &View::new(regs));
        if outcome.is_written {
            let mut budget = BUDGET;
            let result = tables
                .update_leaf_from_emulation(&mut mmu, table, index, old, outcome.entry, &mut budget);
            match result {
                Ok(()) => {}
                Err(Stop::Preempted | Stop::Refused(PageError::EntryChanged)) => continue,
                Err(Stop::Refused(_)) => return false,
            }
        }
        drop(mmu);
        outcome.regs.iter().for_each(|(number, value)| write_gpr(regs, number, value));
        regs.rflags = outcome.rflags;
        regs.rip = outcome.rip;
        return true;
    }
    false
}
