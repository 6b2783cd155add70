//! Pinning: making frames page tables, and undoing it.

use crate::harness::Report;
use crate::pages::{ext, ext_full, own_domid, update, Page, Table, STORED_KERNEL};
use hypercall_abi::mmu::{mmuext, pte};
use hypercall_abi::{DomId, Errno};
use pvkernel_xen::mmu::{self, KERNEL_RO, KERNEL_RW, TABLE};

/// Runs the topic.
pub fn run(t: &mut Report) {
    empty_tables(t);
    aliases(t);
    contents(t);
    nested(t);
    many_references(t);
    foreign(t);
}

fn pin(level: u32, page: &Page) -> i64 {
    ext(mmuext::PIN_L1_TABLE + level - 1, page.mfn.get())
}

fn unpin(page: &Page) -> i64 {
    ext(mmuext::UNPIN_TABLE, page.mfn.get())
}

fn empty_tables(t: &mut Report) {
    let page = Page::new();
    page.seal();
    for level in 1..=4 {
        let named = |what: &str| alloc::format!("l{level}-{what}");
        t.ret(&named("pin"), 0, pin(level, &page));
        t.errno(&named("pin-twice"), Errno::EINVAL, pin(level, &page));
        t.errno(&named("pin-as-other-level"), Errno::EINVAL, pin(level % 4 + 1, &page));
        t.eq(&named("cannot-become-writable"), Err(Errno::EBUSY), page.unseal());
        t.ret(&named("unpin"), 0, unpin(&page));
        t.errno(&named("unpin-twice"), Errno::EINVAL, unpin(&page));
        t.eq(&named("can-become-writable"), Ok(()), page.unseal());
        if level == 4 {
            // The hypervisor filled its slots; what was there stays when the table is given up.
            (256..272).for_each(|slot| page.write(slot, 0));
        }
        page.seal();
    }
}

/// A frame with a writable mapping is no table.
fn aliases(t: &mut Report) {
    let page = Page::new();
    for level in 1..=4 {
        let name = alloc::format!("l{level}-pin-while-writable");
        t.errno(&name, Errno::EINVAL, pin(level, &page));
    }
    t.errno("unpin-plain-page", Errno::EINVAL, unpin(&page));
}

/// Entries are checked when the table is pinned, and adjusted.
fn contents(t: &mut Report) {
    let (page, data) = (Page::new(), Page::new());
    page.write(0, data.entry(KERNEL_RW));
    page.write(1, 0x1000);
    page.seal();
    t.ret("l1-with-entries", 0, pin(1, &page));
    t.eq("l1-entries-adjusted", data.entry(KERNEL_RW | STORED_KERNEL), page.read(0));
    t.eq("l1-not-present-kept", 0x1000, page.read(1));
    t.ret("l1-unpin", 0, unpin(&page));
    t.eq("can-become-writable", Ok(()), page.unseal());
    // A table may not map itself or another table writable.
    page.write(1, page.entry(KERNEL_RW));
    page.seal();
    let ret = pin(1, &page);
    t.check("l1-maps-itself-writable", ret < 0);
    t.errno("l1-maps-itself-error", Errno::EBUSY, ret);
    t.eq("failed-pin-leaves-no-type", Ok(()), page.unseal());
    page.write(1, mmu::root().maddr() | KERNEL_RW);
    page.seal();
    t.errno("l1-maps-root-writable", Errno::EBUSY, pin(1, &page));
    let _ = page.unseal();
    page.write(1, pte::FRAME_MASK | KERNEL_RO);
    page.seal();
    t.errno("l1-maps-no-frame", Errno::EINVAL, pin(1, &page));
    let _ = page.unseal();
    page.write(1, data.entry(TABLE));
    page.seal();
    t.errno("l2-refers-to-writable-page", Errno::EINVAL, pin(2, &page));
    let _ = page.unseal();
    page.write(1, 0);
    page.write(0, data.entry(TABLE | pte::PSE));
    page.seal();
    t.errno("l2-superpage", Errno::EINVAL, pin(2, &page));
    t.errno("l3-superpage", Errno::EINVAL, pin(3, &page));
    t.errno("l4-bit-7", Errno::EINVAL, pin(4, &page));
}

/// Pinning a root pins everything below; lower tables stay tables as long as it does.
fn nested(t: &mut Report) {
    let pages: [Page; 4] = core::array::from_fn(|_| Page::new());
    let data = Page::new();
    pages[0].write(3, data.entry(KERNEL_RO));
    for level in 1..4 {
        pages[level].write(3, pages[level - 1].entry(TABLE));
    }
    pages.iter().for_each(Page::seal);
    t.ret("tree-pin", 0, pin(4, &pages[3]));
    for (at, page) in pages.iter().enumerate() {
        let name = alloc::format!("tree-l{}-is-a-table", at + 1);
        t.eq(&name, Err(Errno::EBUSY), page.unseal());
    }
    t.ret("tree-l1-can-be-pinned-too", 0, pin(1, &pages[0]));
    t.errno("tree-l1-not-as-l2", Errno::EINVAL, pin(2, &pages[0]));
    t.ret("tree-update-l1", 0, update(pages[0].maddr(4), data.entry(KERNEL_RO)));
    t.ret("tree-unhook-l3", 0, update(pages[3].maddr(3), 0));
    t.eq("unhooked-l3-is-free", Ok(()), pages[2].unseal());
    t.eq("unhooked-l2-is-free", Ok(()), pages[1].unseal());
    t.eq("pinned-l1-is-not", Err(Errno::EBUSY), pages[0].unseal());
    t.ret("tree-l1-unpin", 0, unpin(&pages[0]));
    t.ret("tree-unpin", 0, unpin(&pages[3]));
    t.eq("all-free", Ok(()), pages[3].unseal());
}

/// One table in every slot of the next level, and a table that refers to itself.
fn many_references(t: &mut Report) {
    let pages: [Page; 4] = core::array::from_fn(|_| Page::new());
    for level in 1..4 {
        (0..512).for_each(|slot| pages[level].write(slot, pages[level - 1].entry(TABLE)));
    }
    pages.iter().for_each(Page::seal);
    t.ret("many-pin", 0, pin(4, &pages[3]));
    t.check("many-hypervisor-slots-replaced", pages[3].read(260) != pages[2].entry(TABLE));
    t.ret("many-clear-one", 0, update(pages[2].maddr(17), 0));
    t.eq("many-still-a-table", Err(Errno::EBUSY), pages[1].unseal());
    t.ret("many-unpin", 0, unpin(&pages[3]));
    t.eq("many-all-free", [Ok(()); 4], core::array::from_fn(|at| pages[at].unseal()));
    for level in 2..=4 {
        let page = Page::new();
        page.write(9, page.entry(KERNEL_RO | pte::USER));
        page.seal();
        t.ret(&alloc::format!("l{level}-self-reference-pin"), 0, pin(level, &page));
        t.ret(&alloc::format!("l{level}-self-reference-unpin"), 0, unpin(&page));
        t.eq(&alloc::format!("l{level}-self-reference-free"), Ok(()), page.unseal());
    }
}

fn foreign(t: &mut Report) {
    for cmd in [mmuext::PIN_L1_TABLE, mmuext::PIN_L4_TABLE, mmuext::UNPIN_TABLE] {
        let name = alloc::format!("command-{cmd}");
        t.errno(&alloc::format!("{name}-frame-0"), Errno::EINVAL, ext(cmd, 0));
        t.errno(&alloc::format!("{name}-no-frame"), Errno::EINVAL, ext(cmd, 1 << 40));
        t.errno(&alloc::format!("{name}-all-ones"), Errno::EINVAL, ext(cmd, u64::MAX));
    }
    let page = Page::new();
    page.seal();
    let mfn = page.mfn.get();
    let unknown = ext_full(mmuext::PIN_L1_TABLE, mfn, 0, DomId::new(0x7000));
    t.errno("unknown-domain", Errno::ESRCH, unknown);
    let own = ext_full(mmuext::PIN_L1_TABLE, mfn, 0, own_domid());
    t.errno("own-number", Errno::ESRCH, own);
    drop(Table::new(1));
}
