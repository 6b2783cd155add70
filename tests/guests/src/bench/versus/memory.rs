//! Changing page-table entries, and switching from one address space to another.

use core::arch::asm;

use alloc::boxed::Box;
use alloc::vec::Vec;
use hypercall_abi::mmu::{mmuext, uvmf, MmuUpdate, MmuextOp, MMU_NORMAL_PT_UPDATE};
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::{nr, vm_assist as va, DomId};
use pvkernel_xen::hypercall::misc;
use pvkernel_xen::mmu::{self, KERNEL_RO, KERNEL_RW, TABLE};
use pvkernel_xen::{frames, layout};
use test_guests::call::{address, hypercall};
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
    if m.wants(&SWITCHES) {
        switches(m);
    }
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

const SWITCHES: [Row; 4] = [
    Row::new("versus_cr3_trap", "switch"),
    Row::new("versus_cr3_call", "switch"),
    Row::new("versus_cr3_process_calls", "switch"),
    Row::new("versus_cr3_process_multicall", "switch"),
];

/// Where each address space has a page of its own.
const OWN_VA: usize = 1 << 39;

/// An address space: the kernel's, and one page at `OWN_VA`. The order of the fields matters: a table
/// can be given back only after the one that refers to it.
struct Space {
    root: Page,
    _tables: [Table; 3],
    _data: Page,
}

impl Space {
    fn new(content: u64) -> Space {
        let (root, data) = (Page::new(), Page::new());
        let tables = [Table::new(3), Table::new(2), Table::new(1)];
        data.write(0, content);
        (0..512).for_each(|slot| root.write(slot, mmu::read_entry(mmu::root(), slot)));
        root.write(mmu::index(OWN_VA as u64, 4), tables[0].page.entry(TABLE));
        let links =
            [tables[1].page.entry(TABLE), tables[2].page.entry(TABLE), data.entry(KERNEL_RO)];
        for (table, link) in tables.iter().zip(links) {
            assert_eq!(table.set(0, link), 0, "a table can be linked");
        }
        root.seal();
        assert_eq!(ext(mmuext::PIN_L4_TABLE, root.mfn.get()), 0, "a root can be pinned");
        Space { root, _tables: tables, _data: data }
    }

    fn base(&self) -> MmuextOp {
        MmuextOp::with_mfn(mmuext::NEW_BASEPTR, self.root.mfn)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let ret = ext(mmuext::UNPIN_TABLE, self.root.mfn.get());
        assert_eq!(ret, 0, "the address space is not in use");
    }
}

/// What the page of the current address space contains.
fn own_word() -> u64 {
    // SAFETY: each `Space` maps a page there, and the rows read it in such a space only.
    unsafe { core::ptr::with_exposed_provenance::<u64>(OWN_VA).read_volatile() }
}

/// Which space comes next, and the sum of what was read in each.
#[derive(Default)]
struct Tour {
    turn: usize,
    sum: u64,
}

impl Tour {
    fn next(&mut self) -> usize {
        self.turn ^= 1;
        self.turn
    }
}

/// Each switch is proved by what is read behind it.
fn switches(m: &mut Meter) {
    let words = [1, 1000];
    let spaces = words.map(Space::new);
    let [trap, call, calls, multi] = SWITCHES;
    let proof = |tour: &mut Tour, made: u64| {
        ext(mmuext::NEW_BASEPTR, mmu::root().get()) == 0 && tour.sum == made / 2 * 1001
    };
    let to = spaces.each_ref().map(|space| space.root.mfn.maddr());
    let load = |tour: &mut Tour| {
        let root = to[tour.next()];
        // SAFETY: the other space has the same kernel; the hypervisor carries out the instruction.
        unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack)) };
        tour.sum += own_word();
    };
    m.cost(trap, Tour::default(), load, proof);
    let mut ops = spaces.each_ref().map(Space::base);
    let ops = ops.each_mut().map(|op| address(op));
    let switch = |tour: &mut Tour| {
        hypercall(nr::MMUEXT_OP, &[ops[tour.next()], 1, 0, SELF]);
        tour.sum += own_word();
    };
    m.cost(call, Tour::default(), switch, proof);
    processes(m, ops, [calls, multi], proof);
}

/// What a kernel does to switch from one process to another: stack, segment bases, TS, tables.
fn processes(
    m: &mut Meter,
    ops: [u64; 2],
    [calls, multi]: [Row; 2],
    proof: impl Fn(&mut Tour, u64) -> bool,
) {
    let stack = frames::alloc().map_or(0, |pfn| layout::direct_va(pfn) + layout::PAGE);
    let list = |op: u64| {
        Box::new([
            entry(nr::STACK_SWITCH, &[0xe02b, stack]),
            entry(nr::SET_SEGMENT_BASE, &[0, 0]),
            entry(nr::SET_SEGMENT_BASE, &[1, 0]),
            entry(nr::FPU_TASKSWITCH, &[1]),
            entry(nr::MMUEXT_OP, &[op, 1, 0, SELF]),
        ])
    };
    let mut lists = ops.map(list);
    let one_by_one = |tour: &mut Tour| {
        for entry in lists[tour.next()].iter() {
            hypercall(entry.op, &entry.args[..4]);
        }
        tour.sum += own_word();
    };
    m.cost(calls, Tour::default(), one_by_one, &proof);
    let at_once = |tour: &mut Tour| {
        multicall(&mut lists[tour.next()][..]);
        tour.sum += own_word();
    };
    m.cost(multi, Tour::default(), at_once, &proof);
    hypercall(nr::FPU_TASKSWITCH, &[0]);
    // The stack stays the one for entries from user mode, so its frame is not given back.
}
