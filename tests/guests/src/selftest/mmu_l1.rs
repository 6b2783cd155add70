//! Level-1 entries: what may be mapped, what is stored, `mmu_update` and `update_va_mapping`.

use crate::harness::{address, hypercall, Report, NOT_CANONICAL, UNMAPPED};
use crate::pages::{m2p, own_domid, update, update_for, Page, Table, STORED_KERNEL};
use hypercall_abi::mmu::{pte, uvmf, MmuUpdate};
use hypercall_abi::{nr, DomId, Errno};
use pvkernel_xen::mmu::{self, KERNEL_RO, KERNEL_RW};
use pvkernel_xen::{boot, window};

const NO_DOMAIN: DomId = DomId::new(0x7000);

/// Runs the topic.
pub fn run(t: &mut Report) {
    let table = Table::new(1);
    let data = Page::new();
    stored_values(t, &table, &data);
    flags(t, &table, &data);
    targets(t, &table);
    commands(t, &table, &data);
    domains(t, &table, &data);
    batches(t, &table, &data);
    t.ret("clear-last", 0, table.set(0, 0));
    va_mapping(t, &data);
}

fn stored_values(t: &mut Report, table: &Table, data: &Page) {
    t.ret("kernel-page", 0, table.set(0, data.entry(KERNEL_RW)));
    t.eq("kernel-page-stored", data.entry(KERNEL_RW | STORED_KERNEL), table.get(0));
    let user = KERNEL_RW | pte::USER;
    t.ret("user-page", 0, table.set(0, data.entry(user)));
    t.eq("user-page-stored", data.entry(user | pte::GLOBAL), table.get(0));
    let again = KERNEL_RW | STORED_KERNEL;
    t.ret("stored-value-again", 0, table.set(0, data.entry(again)));
    t.eq("stored-value-is-stable", data.entry(again), table.get(0));
    let soft = KERNEL_RO | pte::AVAIL_MASK | 1 << 53 | 1 << 61;
    t.ret("software-bits", 0, table.set(0, data.entry(soft)));
    t.eq("software-bits-stored", data.entry(soft | STORED_KERNEL), table.get(0));
    t.ret("no-execute", 0, table.set(0, data.entry(KERNEL_RO | pte::NX)));
    t.eq("no-execute-stored", data.entry(KERNEL_RO | pte::NX | STORED_KERNEL), table.get(0));
    t.ret("global", 0, table.set(0, data.entry(KERNEL_RO | pte::GLOBAL)));
    t.eq("global-kernel-stored", data.entry(KERNEL_RO | pte::GLOBAL | STORED_KERNEL), table.get(0));
    t.ret("not-present", 0, table.set(0, 0xabcd_1234_5678_9abc & !1));
    t.eq("not-present-stored-raw", 0xabcd_1234_5678_9abc & !1, table.get(0));
    t.ret("clear", 0, table.set(0, 0));
}

/// Cache attributes are for domains with devices only.
fn flags(t: &mut Report, table: &Table, data: &Page) {
    for (name, flag) in [("pwt", pte::PWT), ("pcd", pte::PCD), ("pat", pte::PAT)] {
        let ret = table.set(1, data.entry(KERNEL_RO | flag));
        t.privileged(name, Errno::EINVAL, ret);
        let _ = table.set(1, 0);
    }
}

fn targets(t: &mut Report, table: &Table) {
    t.errno("own-table-writable", Errno::EBUSY, table.set(2, table.page.entry(KERNEL_RW)));
    t.ret("own-table-read-only", 0, table.set(2, table.page.entry(KERNEL_RO)));
    t.errno("read-only-to-writable", Errno::EBUSY, table.set(2, table.page.entry(KERNEL_RW)));
    let root = mmu::root().maddr();
    t.errno("root-writable", Errno::EBUSY, table.set(3, root | KERNEL_RW));
    t.ret("root-read-only", 0, table.set(3, root | KERNEL_RO));
    let shared = boot::info().start_info.shared_info_maddr;
    t.ret("shared-page-writable", 0, table.set(4, shared | KERNEL_RW));
    t.ret("shared-page-cleared", 0, table.set(4, 0));
    let ones = pte::FRAME_MASK | KERNEL_RO;
    t.errno("frame-all-ones", Errno::EINVAL, table.set(4, ones));
    t.privileged("frame-0", Errno::EPERM, table.set(4, KERNEL_RO));
    let _ = table.set(4, 0);
    t.ret("clear-2", 0, table.set(2, 0));
    t.ret("clear-3", 0, table.set(3, 0));
}

fn commands(t: &mut Report, table: &Table, data: &Page) {
    let at = table.page.maddr(5);
    let bare = data.entry(pte::PRESENT | pte::RW);
    t.ret("command-0", 0, update(at, data.entry(KERNEL_RW)));
    t.ret("command-2", 0, update(at | 2, bare));
    t.eq("command-2-keeps-accessed-dirty", data.entry(KERNEL_RW | STORED_KERNEL), table.get(5));
    t.ret("command-0-again", 0, update(at, bare));
    t.eq("command-0-drops-accessed-dirty", bare | STORED_KERNEL, table.get(5));
    t.ret("command-3", 0, update(at | 3, data.entry(KERNEL_RO)));
    for cmd in 4..8 {
        t.errno("command-unknown", Errno::ENOSYS, update(at | cmd, 0));
    }
    t.ret("command-0-clear", 0, update(at, 0));
    let own = data.mfn.maddr();
    t.ret("m2p-update", 0, update(own | 1, 0x1234));
    t.eq("m2p-updated", 0x1234, m2p(data.mfn));
    t.ret("m2p-restore", 0, update(own | 1, data.pfn.get()));
    t.errno("m2p-not-our-frame", Errno::EINVAL, update(1, 0x1234));
    t.errno("m2p-no-frame", Errno::EINVAL, update(1 << 50 | 1, 0x1234));
    t.errno("table-not-ours", Errno::EINVAL, update(0, 0));
    t.errno("table-no-frame", Errno::EINVAL, update(1 << 50, 0));
    // A frame that is no table is plain memory.
    data.write(7, 1);
    t.ret("plain-store", 0, update(data.maddr(7), 0xdead_beef));
    t.eq("plain-stored", 0xdead_beef, data.read(7));
}

fn domains(t: &mut Report, table: &Table, data: &Page) {
    let at = table.page.maddr(6);
    let entry = data.entry(KERNEL_RO);
    t.errno("own-number-as-foreign", Errno::ESRCH, update_for(at, entry, own_domid()));
    t.errno("unknown-domain", Errno::ESRCH, update_for(at, entry, NO_DOMAIN));
    t.errno("invalid-domain", Errno::ESRCH, update_for(at, entry, DomId::INVALID));
    let io = update_for(at, entry, DomId::IO);
    let expected = Errno::EPERM;
    t.check(
        "ram-as-device",
        Errno::from_ret(io).is_some_and(|e| e == expected || e == Errno::EBUSY),
    );
    let xen = update_for(at, 0, DomId::XEN);
    t.privileged("frames-of-the-hypervisor", Errno::EPERM, xen);
    let _ = table.set(6, 0);
}

fn batches(t: &mut Report, table: &Table, data: &Page) {
    let good =
        |index: usize| MmuUpdate { ptr: table.page.maddr(index), val: data.entry(KERNEL_RO) };
    let bad = MmuUpdate { ptr: table.page.maddr(9), val: table.page.entry(KERNEL_RW) };
    let mut list = [good(8), bad, good(10)];
    let mut done = 77u32;
    let dom = u64::from(DomId::SELF.get());
    let args = [address(&mut list), 3, address(&mut done), dom];
    t.errno("batch-stops-at-error", Errno::EBUSY, hypercall(nr::MMU_UPDATE, &args));
    t.eq("batch-done-count", 1, done);
    t.eq("batch-first-stays", data.entry(KERNEL_RO | STORED_KERNEL), table.get(8));
    t.eq("batch-rest-untouched", (0, 0), (table.get(9), table.get(10)));
    list = [good(8), good(9), good(10)];
    t.ret("batch", 0, hypercall(nr::MMU_UPDATE, &args));
    t.eq("batch-done-all", 3, done);
    let mut clear = [8, 9, 10].map(|index| MmuUpdate { ptr: table.page.maddr(index), val: 0 });
    t.ret("batch-clear", 0, hypercall(nr::MMU_UPDATE, &[address(&mut clear), 3, 0, dom]));
    // Long lists are done in pieces, which nobody notices.
    let mut long: alloc::vec::Vec<MmuUpdate> =
        (0..4096u64).map(|at| MmuUpdate { ptr: data.maddr(at as usize % 512), val: at }).collect();
    let args = [address(&mut long[..]), 4096, address(&mut done), dom];
    t.ret("batch-long", 0, hypercall(nr::MMU_UPDATE, &args));
    t.eq("batch-long-done", 4096, done);
    t.check("batch-long-stored", (0..512).all(|at| data.read(at) == 3584 + at as u64));
    t.ret("batch-empty", 0, hypercall(nr::MMU_UPDATE, &[address(&mut list), 0, 0, dom]));
    let bad_done = hypercall(nr::MMU_UPDATE, &[address(&mut clear), 3, UNMAPPED, dom]);
    // The count is lost, nothing else.
    t.ret("batch-bad-done-pointer", 0, bad_done);
}

fn va_mapping(t: &mut Report, data: &Page) {
    let range = window::Range::new(1).expect("memory for tables");
    let va = range.start();
    let set = |val: u64, flags: u64| hypercall(nr::UPDATE_VA_MAPPING, &[va, val, flags]);
    t.ret("va", 0, set(data.entry(KERNEL_RW), uvmf::INVLPG | uvmf::LOCAL));
    data.write(0, 0x5a5a);
    let alias = core::ptr::with_exposed_provenance::<u64>(va as usize);
    // SAFETY: the page was just mapped there.
    t.eq("va-maps", 0x5a5a, unsafe { alias.read_volatile() });
    t.ret("va-all", 0, set(data.entry(KERNEL_RO), uvmf::TLB_FLUSH | uvmf::ALL));
    let other_page = Page::new();
    other_page.write(0, 0xa5a5);
    t.ret("va-remap", 0, set(other_page.entry(KERNEL_RO), uvmf::INVLPG | uvmf::LOCAL));
    // SAFETY: the other page was just mapped there.
    t.eq("va-remap-is-seen", 0xa5a5, unsafe { alias.read_volatile() });
    t.ret("va-unmap", 0, set(0, uvmf::INVLPG | uvmf::LOCAL));
    t.eq("va-unmap-is-seen", Err((14, 0)), crate::probe::fault_of(crate::trap::load, va));
    let mut mask = 1u64;
    t.ret("va-mask", 0, set(data.entry(KERNEL_RW), uvmf::INVLPG | address(&mut mask)));
    let ret = set(data.entry(KERNEL_RO), uvmf::INVLPG | UNMAPPED);
    t.errno("va-bad-mask", Errno::EFAULT, ret);
    let entry = mmu::lookup(va).unwrap_or(0);
    t.eq(
        "va-bad-mask-still-changes",
        data.entry(KERNEL_RO | STORED_KERNEL),
        entry & !pte::ACCESSED | pte::ACCESSED,
    );
    t.errno("va-table-writable", Errno::EBUSY, set(mmu::root().maddr() | KERNEL_RW, 0));
    t.ret("va-clear", 0, set(0, uvmf::INVLPG | uvmf::LOCAL));
    let other = |val: u64, dom: DomId| {
        let dom = u64::from(dom.get());
        hypercall(nr::UPDATE_VA_MAPPING_OTHERDOMAIN, &[va, val, uvmf::INVLPG, dom])
    };
    t.errno("va-other-unknown-domain", Errno::ESRCH, other(0, NO_DOMAIN));
    t.errno("va-other-own-number", Errno::ESRCH, other(0, own_domid()));
    t.ret("va-other-self", 0, other(data.entry(KERNEL_RO), DomId::SELF));
    t.ret("va-other-clear", 0, other(0, DomId::SELF));
    let at = |va: u64| hypercall(nr::UPDATE_VA_MAPPING, &[va, data.entry(KERNEL_RO), 0]);
    t.errno("va-no-table", Errno::EINVAL, at(UNMAPPED));
    t.errno("va-not-canonical", Errno::EINVAL, at(NOT_CANONICAL));
    t.errno("va-m2p", Errno::EINVAL, at(0xffff_8000_0000_0000));
    t.errno("va-hole", Errno::EINVAL, at(0xffff_8300_0000_0000));
}
