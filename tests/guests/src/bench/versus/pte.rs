//! Changing page-table entries: by store, by hypercall, by batch, and before they are any.

use alloc::vec::Vec;
use hypercall_abi::mmu::{mmuext, uvmf, MmuUpdate, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::{nr, vm_assist as va, DomId};
use pvkernel_xen::hypercall::misc;
use pvkernel_xen::mmu::{self, KERNEL_RO, KERNEL_RW};
use test_guests::call::hypercall;
use test_guests::pages::{ext, update, Page, Table, STORED_KERNEL};

use super::{all_done, batch, entry, multicall, rounds, wanted, MOST};
use crate::meter::{Meter, Row};

const SELF: u64 = DomId::SELF.get() as u64;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    one_entry(m);
    updates(m);
    multicalls(m);
    filled(m);
}

/// Two frames that an entry is switched between.
struct Choice {
    frames: [Page; 2],
    turn: usize,
    refused: u64,
}

impl Choice {
    fn new() -> Choice {
        Choice { frames: [Page::new(), Page::new()], turn: 0, refused: 0 }
    }

    /// The entry for the other frame, from now on the current one.
    fn next(&mut self) -> u64 {
        self.turn ^= 1;
        self.frames[self.turn].entry(KERNEL_RW)
    }

    fn stored(&self) -> u64 {
        self.frames[self.turn].entry(KERNEL_RW | STORED_KERNEL)
    }
}

/// A direct store to a table, `mmu_update` of one entry, and `update_va_mapping`.
fn one_entry(m: &mut Meter) {
    let trap = Row::new("versus_pte_trap", "entry");
    let single = Row::new("versus_pte_update", "entry");
    let mapping = Row::new("versus_pte_mapping", "entry");
    if !m.wants(&[trap, single, mapping]) {
        return;
    }
    let table = Table::new(1);
    let _ = misc::vm_assist(va::CMD_ENABLE, va::TYPE_WRITABLE_PAGETABLES);
    let store = |to: &mut Choice| table.page.write(0, to.next());
    m.cost(trap, Choice::new(), store, |to, _| table.get(0) == to.stored() && table.set(0, 0) == 0);
    let _ = misc::vm_assist(va::CMD_DISABLE, va::TYPE_WRITABLE_PAGETABLES);
    let maddr = table.page.maddr(0);
    let call = |to: &mut Choice| to.refused += u64::from(update(maddr, to.next()) != 0);
    let changed =
        |to: &mut Choice, _| to.refused == 0 && table.get(0) == to.stored() && table.set(0, 0) == 0;
    m.cost(single, Choice::new(), call, changed);
    let map = |to: &mut Choice| {
        let entry = to.next();
        to.refused += u64::from(map(to.frames[0].va, entry) != 0);
    };
    let mapped = |to: &mut Choice, _| {
        let now = mmu::lookup(to.frames[0].va);
        // The page is given back with its own frame behind its address.
        let restored = map_now(to.frames[0].va, to.frames[0].entry(KERNEL_RW)) == 0;
        to.refused == 0 && now == Some(to.stored()) && restored
    };
    m.cost(mapping, Choice::new(), map, mapped);
}

/// Replaces what is mapped at an address and flushes nothing: nobody has used the address.
fn map(va: u64, entry: u64) -> i64 {
    hypercall(nr::UPDATE_VA_MAPPING, &[va, entry, uvmf::NONE])
}

/// As [`map`], for an address that is used afterwards.
fn map_now(va: u64, entry: u64) -> i64 {
    hypercall(nr::UPDATE_VA_MAPPING, &[va, entry, uvmf::INVLPG | uvmf::LOCAL])
}

/// Lists of N requests in two versions which take turns.
struct Lists<T> {
    lists: [Vec<T>; 2],
    turn: usize,
    refused: u64,
}

impl<T> Lists<T> {
    fn new(make: impl Fn(usize, usize) -> T, size: usize) -> Lists<T> {
        let list = |version| (0..size).map(|at| make(version, at)).collect();
        Lists { lists: [list(0), list(1)], turn: 0, refused: 0 }
    }

    fn next(&mut self) -> &mut [T] {
        self.turn ^= 1;
        &mut self.lists[self.turn]
    }
}

/// `mmu_update` with N requests.
fn updates(m: &mut Meter) {
    let rows = batch!("versus_pte_updates", "entry");
    if !wanted(m, &rows) {
        return;
    }
    let (table, frames) = (Table::new(1), [Page::new(), Page::new()]);
    for (size, row) in rows {
        let request = |version: usize, at: usize| {
            let entry = frames[version].entry(KERNEL_RW);
            MmuUpdate::new(MMU_NORMAL_PT_UPDATE, table.page.maddr(at), entry)
        };
        let lists = Lists::new(request, size);
        let call = |lists: &mut Lists<MmuUpdate>| {
            let list = lists.next();
            let ret = hypercall(nr::MMU_UPDATE, &[list.as_mut_ptr() as u64, size as u64, 0, SELF]);
            lists.refused += u64::from(ret != 0);
        };
        let changed = |lists: &mut Lists<MmuUpdate>, _| {
            let stored = frames[lists.turn].entry(KERNEL_RW | STORED_KERNEL);
            let all = (0..size).all(|at| table.get(at) == stored);
            (0..size).for_each(|at| lists.refused += u64::from(table.set(at, 0) != 0));
            all && lists.refused == 0
        };
        m.cost(row.rounds(rounds(size)), lists, call, changed);
    }
}

/// A multicall of N `update_va_mapping`s, as a kernel maps pages whose tables it does not know.
fn multicalls(m: &mut Meter) {
    let rows = batch!("versus_pte_multicall", "entry");
    if !wanted(m, &rows) {
        return;
    }
    let other = Page::new();
    let pages: Vec<Page> = (0..MOST).map(|_| Page::new()).collect();
    for (size, row) in rows {
        let own = |at: usize| pages[at].entry(KERNEL_RW);
        let call = |version: usize, at: usize| {
            let value = if version == 0 { own(at) } else { other.entry(KERNEL_RW) };
            let call = entry(nr::UPDATE_VA_MAPPING, &[pages[at].va, value, uvmf::NONE]);
            MulticallEntry { result: -1, ..call }
        };
        let mapped = |lists: &mut Lists<MulticallEntry>, _| {
            let now = |at: usize| mmu::lookup(pages[at].va).unwrap_or_default();
            let wanted = |at: usize| lists.lists[lists.turn][at].args[1] | STORED_KERNEL;
            let good = (0..size).all(|at| now(at) == wanted(at));
            let restored = (0..size).all(|at| map_now(pages[at].va, own(at)) == 0);
            good && restored && lists.refused == 0 && all_done(&lists.lists[lists.turn])
        };
        let make = |lists: &mut Lists<MulticallEntry>| {
            let ret = multicall(lists.next());
            lists.refused += u64::from(ret != 0);
        };
        m.cost(row.rounds(rounds(size)), Lists::new(call, size), make, mapped);
    }
}

/// N plain stores to a page that becomes a table afterwards: sealed, and checked as a whole.
fn filled(m: &mut Meter) {
    for (size, row) in batch!("versus_pte_filled", "entry") {
        if !m.wants(&[row]) {
            continue;
        }
        let (page, data) = (Page::new(), Page::new());
        let (sealed, open) = (page.entry(KERNEL_RO), page.entry(KERNEL_RW));
        let fresh = data.entry(KERNEL_RW);
        m.parts(
            [row.rounds(40)],
            0u64,
            |done, parts| {
                *done += parts.time(0, || {
                    (0..size).for_each(|at| page.write(at, fresh));
                    let hidden = map_now(page.va, sealed);
                    u64::from(hidden == 0 && ext(mmuext::PIN_L1_TABLE, page.mfn.get()) == 0)
                });
                // Only a table that was validated has its entries completed, and can be unpinned.
                *done += u64::from(page.read(size - 1) == fresh | STORED_KERNEL);
                *done += u64::from(ext(mmuext::UNPIN_TABLE, page.mfn.get()) == 0);
                *done += u64::from(map_now(page.va, open) == 0);
            },
            |done, made| *done == 4 * made,
        );
    }
}
