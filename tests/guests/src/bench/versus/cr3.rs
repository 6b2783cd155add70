//! Switching from one address space to another, alone and as part of a process switch.

use core::arch::asm;

use alloc::boxed::Box;
use hypercall_abi::mmu::{mmuext, MmuextOp};
use hypercall_abi::{nr, DomId};
use pvkernel_xen::mmu::{self, KERNEL_RO, TABLE};
use pvkernel_xen::{frames, layout};
use test_guests::call::{address, hypercall};
use test_guests::pages::{ext, Page, Table};

use super::{entry, multicall};
use crate::meter::{Meter, Row};

const SELF: u64 = DomId::SELF.get() as u64;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    if m.wants(&SWITCHES) {
        switches(m);
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
    let ops = ops.each_mut().map(address);
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
