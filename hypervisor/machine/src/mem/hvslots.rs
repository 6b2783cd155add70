//! The sixteen entries that every root table has in common.

use super::pt::{bits, Table};
use crate::sync::Once;
use hypercall_abi::addr::{ROOT_PAGETABLE_FIRST_XEN_SLOT, ROOT_PAGETABLE_LAST_XEN_SLOT};
use hypercall_abi::Mfn;

static ROOT: Once<Table> = Once::new();

/// Records the hypervisor's own root; its slots never change afterwards.
pub(crate) fn set_root(root: Table) {
    ROOT.call_once(|| root);
}

/// The hypervisor's own root.
pub(crate) fn root() -> Table {
    match ROOT.get() {
        Some(root) => *root,
        None => panic!("page tables used before they were built"),
    }
}

/// Frame of the hypervisor's own root, which maps no guest.
#[must_use]
pub fn idle_root() -> Mfn {
    Mfn::from_maddr(root().maddr())
}

/// What slot `slot` (256 to 271) of a root table has to hold; 256 is the machine-to-physical table,
/// readable for guests. 0 for slots that are not the hypervisor's.
#[must_use]
pub fn entry(slot: usize) -> u64 {
    if !(ROOT_PAGETABLE_FIRST_XEN_SLOT..=ROOT_PAGETABLE_LAST_XEN_SLOT).contains(&slot) {
        return 0;
    }
    let entry = root().get(slot);
    if slot == ROOT_PAGETABLE_FIRST_XEN_SLOT {
        entry
    } else {
        entry & !bits::USER
    }
}
