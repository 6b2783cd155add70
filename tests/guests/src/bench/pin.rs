//! Validation of page tables and its opposite: pins, and entries that hook a table in.

use alloc::vec::Vec;
use hypercall_abi::mmu::mmuext;
use hypercall_abi::mmu::pte::ENTRIES;
use pvkernel_xen::mmu::{self, KERNEL_RW, TABLE};
use test_guests::pages::{ext, Page, Table};

use crate::meter::{Meter, Row};

/// Operations on a single table, and on a tree, in one loop.
const TABLES: u64 = 20;
const TREES: u64 = 4;
/// Frames that the leaf tables map, over and over.
const FRAMES: usize = 32;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let frames: Vec<Page> = (0..FRAMES).map(|_| Page::new()).collect();
    let full = || (0..ENTRIES).map(|at| frames[at % FRAMES].entry(KERNEL_RW)).collect();
    pin(m, ["pin_l1_full512", "unpin_l1_full512"], 1, &[sealed(full())]);
    pin(m, ["pin_l1_empty", "unpin_l1_empty"], 1, &[sealed(Vec::new())]);
    hook(m, "mmu_update_l2_hook_unhook_empty_l1_pair", &sealed(Vec::new()));
    hook(m, "mmu_update_l2_hook_unhook_full_l1_pair", &sealed(full()));
    let pinned = sealed(full());
    assert_eq!(ext(mmuext::PIN_L1_TABLE, pinned.mfn.get()), 0, "a leaf table can be pinned");
    hook(m, "mmu_update_l2_hook_unhook_pinned_l1_pair", &pinned);
    assert_eq!(ext(mmuext::UNPIN_TABLE, pinned.mfn.get()), 0, "it is pinned");
    let leaves = |count| (0..count).map(|_| sealed(full())).collect();
    pin(m, ["pin_l4_tree_1x512", "unpin_l4_tree_1x512"], 4, &tree(leaves(1)));
    pin(m, ["pin_l4_tree_8x512", "unpin_l4_tree_8x512"], 4, &tree(leaves(8)));
    let level3 = mmu::read_entry(mmu::root(), mmu::index(frames[0].va, 4));
    pin(m, ["pin_l4_shared_l3", "unpin_l4_shared_l3"], 4, &[sealed([level3].into())]);
}

/// A read-only page with these entries at its start, fit to become a table.
fn sealed(entries: Vec<u64>) -> Page {
    let page = Page::new();
    entries.into_iter().enumerate().for_each(|(at, entry)| page.write(at, entry));
    page.seal();
    page
}

/// A tree over leaf tables, the root first.
fn tree(mut tables: Vec<Page>) -> Vec<Page> {
    let level2 = sealed(tables.iter().map(|leaf| leaf.entry(TABLE)).collect());
    let level3 = sealed([level2.entry(TABLE)].into());
    let level4 = sealed([level3.entry(TABLE)].into());
    tables.splice(0..0, [level4, level3, level2]);
    tables
}

/// Rows for the pin of the first of some tables, which brings the others with it, and its opposite.
fn pin(m: &mut Meter, names: [&'static str; 2], level: u32, tables: &[Page]) {
    let root = tables[0].mfn.get();
    let pin = || ext(mmuext::PIN_L1_TABLE + level - 1, root);
    let unpin = || ext(mmuext::UNPIN_TABLE, root);
    let rounds = if tables.len() > 1 { TREES } else { TABLES };
    m.parts(
        names.map(|name| Row::new(name, "hypercall").rounds(rounds).period(1)),
        0,
        |failed, parts| {
            *failed += u64::from(parts.time(0, pin) != 0);
            *failed += u64::from(parts.time(1, unpin) != 0);
        },
        |failed, _| {
            let none_writable = |page: &Page| page.unseal().is_err();
            let pinned = pin() == 0 && tables.iter().all(none_writable);
            let unpinned = unpin() == 0 && tables.iter().all(|page| page.unseal().is_ok());
            tables.iter().for_each(Page::seal);
            *failed == 0 && pinned && unpinned
        },
    );
}

/// A row for an entry of a level-2 table that names a leaf table and then nothing.
fn hook(m: &mut Meter, name: &'static str, leaf: &Page) {
    let directory = Table::new(2);
    m.cost(
        Row::new(name, "pair").rounds(TABLES).period(1),
        0,
        |failed| {
            *failed += u64::from(directory.set(0, leaf.entry(TABLE)) != 0);
            *failed += u64::from(directory.set(0, 0) != 0);
        },
        |failed, _| {
            let hooked = directory.set(0, leaf.entry(TABLE)) == 0 && leaf.unseal().is_err();
            let shown = directory.get(0) == leaf.entry(TABLE);
            let unhooked = directory.set(0, 0) == 0 && directory.get(0) == 0;
            *failed == 0 && hooked && shown && unhooked
        },
    );
}
