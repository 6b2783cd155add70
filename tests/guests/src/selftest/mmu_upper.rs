//! Levels 2 to 4: flags, slots of the hypervisor, linear tables, other roots.

use crate::harness::Report;
use crate::pages::{ext, update, update_for, Page, Table};
use hypercall_abi::mmu::{mmuext, pte};
use hypercall_abi::{DomId, Errno};
use pvkernel_xen::mmu::{self, KERNEL_RO, TABLE};

/// Runs the topic.
pub fn run(t: &mut Report) {
    flags(t);
    stored(t);
    wrong_level(t);
    hypervisor_slots(t);
    linear(t);
    another_root(t);
}

fn flags(t: &mut Report) {
    for level in 2..=4 {
        let (table, lower) = (Table::new(level), Table::new(level - 1));
        for (name, flag) in
            [("pwt", pte::PWT), ("pcd", pte::PCD), ("bit-7", pte::PSE), ("global", pte::GLOBAL)]
        {
            let name = alloc::format!("l{level}-{name}");
            t.errno(&name, Errno::EINVAL, table.set(0, lower.page.entry(TABLE | flag)));
        }
        for (name, flag) in [("nx", pte::NX), ("avail", pte::AVAIL_MASK), ("bit-52", 1 << 52)] {
            let name = alloc::format!("l{level}-{name}");
            t.ret(&name, 0, table.set(0, lower.page.entry(TABLE | flag)));
        }
        t.ret("clear", 0, table.set(0, 0));
    }
}

/// The user bit is always set, at the top the accessed bit too.
fn stored(t: &mut Report) {
    for level in 2..=4 {
        let (table, lower) = (Table::new(level), Table::new(level - 1));
        t.ret("bare-entry", 0, table.set(0, lower.page.entry(pte::PRESENT | pte::RW)));
        let accessed = if level == 4 { pte::ACCESSED } else { 0 };
        let expected = lower.page.entry(pte::PRESENT | pte::RW | pte::USER | accessed);
        t.eq(&alloc::format!("l{level}-stored"), expected, table.get(0));
        t.ret("read-only-entry", 0, table.set(0, lower.page.entry(pte::PRESENT)));
        t.ret("not-present", 0, table.set(0, 0x7000));
        t.eq(&alloc::format!("l{level}-not-present-raw"), 0x7000, table.get(0));
    }
}

fn wrong_level(t: &mut Report) {
    let data = Page::new();
    for level in 2..=4 {
        let (table, other) = (Table::new(level), Table::new(level % 4 + 1));
        let named = |what: &str| alloc::format!("l{level}-{what}");
        t.errno(&named("data-page"), Errno::EINVAL, table.set(0, data.entry(TABLE)));
        if level < 4 {
            t.errno(&named("higher-table"), Errno::EINVAL, table.set(0, other.page.entry(TABLE)));
        }
        t.errno(&named("frame-0"), Errno::EINVAL, table.set(0, TABLE));
        t.errno(&named("no-frame"), Errno::EINVAL, table.set(0, 1 << 50 | TABLE));
        let at = table.page.maddr(0);
        let ret = update_for(at, 0, DomId::XEN);
        t.check(&named("foreign-owner-refused"), ret < 0);
    }
}

fn hypervisor_slots(t: &mut Report) {
    let (root, lower) = (Table::new(4), Table::new(3));
    for slot in [256, 257, 260, 271] {
        let name = alloc::format!("slot-{slot}");
        t.errno(&name, Errno::EINVAL, root.set(slot, lower.page.entry(TABLE)));
        t.errno(&alloc::format!("{name}-clear"), Errno::EINVAL, root.set(slot, 0));
    }
    for slot in [0, 255, 272, 511] {
        let name = alloc::format!("slot-{slot}");
        t.ret(&name, 0, root.set(slot, lower.page.entry(TABLE)));
        t.ret(&alloc::format!("{name}-clear"), 0, root.set(slot, 0));
    }
    // The hypervisor's slots of the root in use are visible and not empty.
    let present = |slot: usize| mmu::read_entry(mmu::root(), slot) & pte::PRESENT != 0;
    t.check("own-root-has-hypervisor", (256..272).any(present));
    let slot = mmu::entry_maddr(mmu::root(), 256);
    t.errno("own-root-slot-256", Errno::EINVAL, update(slot, 0));
}

/// A table may refer to itself, read-only.
fn linear(t: &mut Report) {
    for level in 2..=4 {
        let table = Table::new(level);
        let named = |what: &str| alloc::format!("l{level}-{what}");
        let writable = table.set(7, table.page.entry(TABLE));
        t.errno(&named("self-writable"), Errno::EINVAL, writable);
        let read_only = KERNEL_RO | pte::USER;
        t.ret(&named("self"), 0, table.set(7, table.page.entry(read_only)));
        t.eq(&named("self-stored"), table.page.entry(read_only), table.get(7));
        t.ret(&named("self-clear"), 0, table.set(7, 0));
    }
}

/// Runs on a copy of the root for a moment.
fn another_root(t: &mut Report) {
    let copy = Page::new();
    let root = mmu::root();
    (0..512).for_each(|slot| copy.write(slot, mmu::read_entry(root, slot)));
    copy.seal();
    t.ret("root-pin-copy", 0, ext(mmuext::PIN_L4_TABLE, copy.mfn.get()));
    t.ret("root-switch", 0, ext(mmuext::NEW_BASEPTR, copy.mfn.get()));
    t.errno(
        "root-in-use-cannot-change",
        Errno::EBUSY,
        copy.unseal().map_or_else(Errno::to_ret, |()| 0),
    );
    t.ret("root-switch-again", 0, ext(mmuext::NEW_BASEPTR, copy.mfn.get()));
    t.ret("root-unpin-in-use", 0, ext(mmuext::UNPIN_TABLE, copy.mfn.get()));
    t.ret("root-switch-back", 0, ext(mmuext::NEW_BASEPTR, root.get()));
    t.eq("root-copy-is-free", Ok(()), copy.unseal());
    t.errno("root-data-page", Errno::EINVAL, ext(mmuext::NEW_BASEPTR, copy.mfn.get()));
    t.errno("root-frame-0", Errno::EINVAL, ext(mmuext::NEW_BASEPTR, 0));
    t.errno("root-no-frame", Errno::EINVAL, ext(mmuext::NEW_BASEPTR, 1 << 40));
    t.errno("user-root-data-page", Errno::EINVAL, ext(mmuext::NEW_USER_BASEPTR, copy.mfn.get()));
    t.ret("user-root-none", 0, ext(mmuext::NEW_USER_BASEPTR, 0));
}
