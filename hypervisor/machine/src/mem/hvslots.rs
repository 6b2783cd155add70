//! The sixteen entries that every root table has in common.

use super::pt::{bits, Table};
use crate::sync::Once;
use hypercall_abi::addr::{ROOT_PAGETABLE_FIRST_XEN_SLOT, ROOT_PAGETABLE_LAST_XEN_SLOT};

static ROOT: Once<Table> = Once::new();

/// Records the hypervisor's own root; its slots never change afterwards.
pub(crate) fn set_root(root: Table) {
    ROOT.call_once(|| root);
}

/// The hypervisor's own root, which maps no guest.
pub(crate) fn root() -> Table {
    *ROOT.get().expect("page tables are used after they were built")
}

/// What slot `slot` (256 to 271) of a root table has to hold; 256 is the machine-to-physical table,
/// readable for guests. 0 for slots that are not the hypervisor's.
pub fn entry(slot: usize) -> u64 {
    match slot {
        ROOT_PAGETABLE_FIRST_XEN_SLOT => root().get(slot),
        257..=ROOT_PAGETABLE_LAST_XEN_SLOT => root().get(slot) & !bits::USER,
        _ => 0,
    }
}
