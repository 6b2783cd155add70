//! Several calls in one entry: `multicall`, and the context switch that kernels make of it.

use core::arch::asm;

use hypercall_abi::mmu::{mmuext, MmuextOp};
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::{nr, segment, DomId};
use pvkernel_xen::mmu;
use test_guests::call::{address, hypercall};
use test_guests::pages::{ext, Page};

use crate::meter::{Meter, Row};

/// The longest list.
const LONGEST: usize = 32;
/// Entries of the root table that belong to the hypervisor.
const HYPERVISOR_SLOTS: core::ops::Range<usize> = 256..272;
/// A writable data segment of ring 3, with room for a base.
const SEGMENT: u64 = 0x00cf_f300_0000_ffff;
/// Descriptors that a switch changes, as those of thread-local storage.
const FIRST_DESCRIPTOR: usize = 4;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    null_entries(m, "multicall_1", 1);
    null_entries(m, "multicall_8_per_entry", 8);
    null_entries(m, "multicall_32_per_entry", LONGEST);
    let row = Row::new("ctxswitch_composite_multicall7", "switch");
    if m.wants(&[row]) {
        context_switch(m, row);
    }
}

fn call(op: u64, args: [u64; 4]) -> MulticallEntry {
    let [a, b, c, d] = args;
    MulticallEntry { op, result: -1, args: [a, b, c, d, 0, 0] }
}

/// A list of calls that do nothing; every entry has its own result.
fn null_entries(m: &mut Meter, name: &'static str, len: usize) {
    let mut list = [call(nr::XEN_VERSION, [0; 4]); LONGEST];
    let at = address(&mut list);
    m.cost(
        Row::new(name, "entry").per(len as u64),
        0,
        |done| *done += u64::from(hypercall(nr::MULTICALL, &[at, len as u64]) == 0),
        |done, made| *done == made && list[..len].iter().all(|entry| entry.result >> 16 == 4),
    );
}

/// A pinned root table; unpinned when dropped.
struct Root(Page);

impl Root {
    /// One that shows what the present one shows.
    fn copy_of_kernel() -> Root {
        let page = Page::new();
        for slot in (0..512).filter(|slot| !HYPERVISOR_SLOTS.contains(slot)) {
            page.write(slot, mmu::read_entry(mmu::root(), slot));
        }
        Root::pin(page)
    }

    /// One that shows nothing, which is enough for a process that never runs.
    fn empty() -> Root {
        Root::pin(Page::new())
    }

    fn pin(page: Page) -> Root {
        page.seal();
        assert_eq!(ext(mmuext::PIN_L4_TABLE, page.mfn.get()), 0, "the table is a root");
        Root(page)
    }

    fn mfn(&self) -> u64 {
        self.0.mfn.get()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        assert_eq!(ext(mmuext::UNPIN_TABLE, self.mfn()), 0, "the table is pinned");
    }
}

/// The calls that make one of two processes the running one.
fn switch_list(process: u64, gdt: &Page, ops: &mut [MmuextOp; 2]) -> [MulticallEntry; 7] {
    let base = |which: u32| call(nr::SET_SEGMENT_BASE, [u64::from(which), process << 12, 0, 0]);
    let descriptor = |slot: usize| {
        let value = SEGMENT | process << 16;
        call(nr::UPDATE_DESCRIPTOR, [gdt.maddr(FIRST_DESCRIPTOR + slot), value, 0, 0])
    };
    let ops = [address(ops), 2, 0, u64::from(DomId::SELF.get())];
    [
        call(nr::STACK_SWITCH, [0xe02b, process << 12, 0, 0]),
        base(segment::SEGBASE_FS),
        base(segment::SEGBASE_GS_USER),
        descriptor(0),
        descriptor(1),
        descriptor(2),
        call(nr::MMUEXT_OP, ops),
    ]
}

fn root_ops(kernel: u64, user: u64) -> [MmuextOp; 2] {
    let op = |cmd, arg1| MmuextOp { cmd, arg1, ..Default::default() };
    [op(mmuext::NEW_BASEPTR, kernel), op(mmuext::NEW_USER_BASEPTR, user)]
}

fn context_switch(m: &mut Meter, row: Row) {
    let kernel = Root::copy_of_kernel();
    let users = [Root::empty(), Root::empty()];
    let gdt = Page::new();
    gdt.seal();
    let mut frames = [gdt.mfn.get()];
    assert_eq!(hypercall(nr::SET_GDT, &[address(&mut frames), 15]), 0, "the page has descriptors");
    let mut to_other = root_ops(kernel.mfn(), users[0].mfn());
    let mut to_first = root_ops(mmu::root().get(), users[1].mfn());
    let lists = [switch_list(1, &gdt, &mut to_other), switch_list(2, &gdt, &mut to_first)];
    let last = [lists[0][6].args, lists[1][6].args];
    m.cost(
        row,
        (lists, 0, 0),
        |(lists, turn, done)| {
            let list = &mut lists[*turn];
            // An entry that was interrupted describes what was left of it, also when that is done.
            list[6].args = last[*turn];
            *done += u64::from(hypercall(nr::MULTICALL, &[address(list), 7]) == 0);
            *turn ^= 1;
        },
        |(lists, turn, done), made| {
            let right = lists.iter().flatten().all(|entry| entry.result == 0);
            let base = gdt.read(FIRST_DESCRIPTOR + 2) >> 16 & 0xff;
            right && *done == made && *turn == 0 && base == 2 && root() == mmu::root().maddr()
        },
    );
    hypercall(nr::SET_GDT, &[0, 0]);
    for which in [segment::SEGBASE_FS, segment::SEGBASE_GS_USER] {
        hypercall(nr::SET_SEGMENT_BASE, &[u64::from(which), 0]);
    }
    assert_eq!(ext(mmuext::NEW_USER_BASEPTR, 0), 0, "the user root can be removed");
}

/// The root table that is loaded, as the hypervisor tells it.
fn root() -> u64 {
    let maddr: u64;
    // SAFETY: emulated; reads a number.
    unsafe { asm!("mov {}, cr3", out(reg) maddr, options(nomem, nostack)) };
    maddr
}
