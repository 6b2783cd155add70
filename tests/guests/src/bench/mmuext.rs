//! `mmuext_op`: flushes, whole pages, and roots.

use core::arch::asm;

use hypercall_abi::mmu::{mmuext, MmuextOp};
use hypercall_abi::{nr, DomId, Mfn};
use pvkernel_xen::mmu::{self, KERNEL_RW};
use test_guests::call::{address, hypercall};
use test_guests::pages::{ext, ext_full, update, Page};

use crate::meter::{Meter, Row};

/// Runs the topic.
pub fn run(m: &mut Meter) {
    flush(m, "mmuext_invlpg_local", mmuext::INVLPG_LOCAL);
    flush(m, "mmuext_tlb_flush_local", mmuext::TLB_FLUSH_LOCAL);
    flush(m, "mmuext_invlpg_all", mmuext::INVLPG_ALL);
    flush(m, "mmuext_tlb_flush_all", mmuext::TLB_FLUSH_ALL);
    pages(m);
    roots(m);
}

/// The proof of a flush is a page that is exchanged behind the TLB's back: after it, the new one is
/// seen.
fn flush(m: &mut Meter, name: &'static str, cmd: u32) {
    let (slot, other) = (Page::new(), Page::new());
    [&slot, &other].into_iter().for_each(|page| page.write(0, page.mfn.maddr()));
    let entry = mmu::level1_entry_maddr(slot.va).expect("the direct map has tables");
    let exchanged = |page: &Page| {
        let exchanged = update(entry, page.entry(KERNEL_RW)) == 0;
        exchanged && ext(cmd, slot.va) == 0 && slot.read(0) == page.mfn.maddr()
    };
    m.cost(
        Row::new(name, "hypercall"),
        0,
        |failed| *failed += u64::from(ext(cmd, slot.va) != 0),
        |failed, _| *failed == 0 && exchanged(&other) && exchanged(&slot),
    );
}

fn pages(m: &mut Meter) {
    let (from, to) = (Page::new(), Page::new());
    (0..512).for_each(|at| from.write(at, at as u64 * 0x0101_0101));
    let clear = || ext(mmuext::CLEAR_PAGE, to.mfn.get());
    let copy = || ext_full(mmuext::COPY_PAGE, to.mfn.get(), from.mfn.get(), DomId::SELF);
    m.cost(
        Row::new("mmuext_clear_page", "hypercall"),
        0,
        |failed| *failed += u64::from(clear() != 0),
        |failed, _| {
            (0..512).for_each(|at| to.write(at, u64::MAX));
            *failed == 0 && clear() == 0 && (0..512).all(|at| to.read(at) == 0)
        },
    );
    m.cost(
        Row::new("mmuext_copy_page", "hypercall"),
        0,
        |failed| *failed += u64::from(copy() != 0),
        |failed, _| {
            (0..512).for_each(|at| to.write(at, u64::MAX));
            *failed == 0 && copy() == 0 && (0..512).all(|at| to.read(at) == from.read(at))
        },
    );
}

/// Two roots that take turns.
struct Roots<const N: usize> {
    lists: [[MmuextOp; N]; 2],
    next: usize,
    failed: u64,
}

impl<const N: usize> Roots<N> {
    /// Operations `cmds` on each of the roots.
    fn new(cmds: [u32; N], roots: [Mfn; 2]) -> Self {
        let list = |root| cmds.map(|cmd| MmuextOp::with_mfn(cmd, root));
        Roots { lists: roots.map(list), next: 0, failed: 0 }
    }

    fn go(&mut self) {
        let list = &mut self.lists[self.next];
        self.next ^= 1;
        let args = [address(list), N as u64, 0, u64::from(DomId::SELF.get())];
        self.failed += u64::from(hypercall(nr::MMUEXT_OP, &args) != 0);
    }
}

fn roots(m: &mut Meter) {
    let (root, copy) = (mmu::root(), root_copy());
    let both = [copy.mfn, root];
    let kernel = [mmuext::NEW_BASEPTR];
    switch(m, "new_baseptr_switch", kernel, both, |root| cr3() == root.maddr());
    switch(m, "new_baseptr_same", kernel, [root; 2], |root| cr3() == root.maddr());
    // A root in use cannot become plain memory, even when its pin is gone.
    let is_user_root = |root: Mfn| {
        let held = |table: &Page| {
            ext(mmuext::UNPIN_TABLE, table.mfn.get()) == 0
                && table.unseal().is_err()
                && ext(mmuext::PIN_L4_TABLE, table.mfn.get()) == 0
        };
        root != copy.mfn || held(&copy)
    };
    let user = [mmuext::NEW_USER_BASEPTR];
    switch(m, "new_user_baseptr_switch", user, both, is_user_root);
    let two = [mmuext::NEW_BASEPTR, mmuext::NEW_USER_BASEPTR];
    switch(m, "new_baseptr_and_user_baseptr_switch", two, both, |root| {
        cr3() == root.maddr() && is_user_root(root)
    });
    assert_eq!(ext(mmuext::NEW_USER_BASEPTR, 0), 0, "a kernel needs no user root");
    assert_eq!(ext(mmuext::UNPIN_TABLE, copy.mfn.get()), 0, "the copy is not in use");
}

/// A row of switches between two roots.
fn switch<const N: usize>(
    m: &mut Meter,
    name: &'static str,
    cmds: [u32; N],
    roots: [Mfn; 2],
    is_root: impl Fn(Mfn) -> bool,
) {
    m.cost(Row::new(name, "hypercall"), Roots::new(cmds, roots), Roots::go, |state, _| {
        let both = (0..2).all(|turn| {
            state.go();
            is_root(roots[turn])
        });
        both && state.failed == 0
    });
}

/// A pinned table with the same entries as the root.
fn root_copy() -> Page {
    let copy = Page::new();
    (0..512).for_each(|slot| copy.write(slot, mmu::read_entry(mmu::root(), slot)));
    copy.seal();
    assert_eq!(ext(mmuext::PIN_L4_TABLE, copy.mfn.get()), 0, "a root can have a copy");
    copy
}

/// The root as the guest sees it.
fn cr3() -> u64 {
    let value;
    // SAFETY: reads a register, by way of the hypervisor's emulation.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack)) };
    value
}
