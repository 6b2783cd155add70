//! `mmuext_op`: flushes, pages, and counting.

use crate::harness::{address, hypercall, Report, IN_HOLE, NOT_CANONICAL, UNMAPPED};
use crate::pages::{ext, ext_full, Page, Table};
use hypercall_abi::mmu::{mmuext as abi, MmuextOp};
use hypercall_abi::{nr, DomId, Errno};
use pvkernel_xen::mmu;

const NO_DOMAIN: DomId = DomId::new(0x7000);

/// Runs the topic.
pub fn run(t: &mut Report) {
    flushes(t);
    pages(t);
    refused(t);
    counting(t);
}

fn flushes(t: &mut Report) {
    t.ret("flush-local", 0, ext(abi::TLB_FLUSH_LOCAL, 0));
    t.ret("flush-all", 0, ext(abi::TLB_FLUSH_ALL, 0));
    t.ret("invlpg-local", 0, ext(abi::INVLPG_LOCAL, UNMAPPED));
    t.ret("invlpg-all", 0, ext(abi::INVLPG_ALL, UNMAPPED));
    t.ret("invlpg-local-hole", 0, ext(abi::INVLPG_LOCAL, IN_HOLE));
    t.ret("invlpg-local-not-canonical", 0, ext(abi::INVLPG_LOCAL, NOT_CANONICAL));
    t.ret("invlpg-all-not-canonical", 0, ext(abi::INVLPG_ALL, NOT_CANONICAL));
    let mut mask = u64::MAX;
    let multi = |cmd: u32, mask: u64| ext_full(cmd, UNMAPPED, mask, DomId::SELF);
    t.ret("flush-multi", 0, multi(abi::TLB_FLUSH_MULTI, address(&mut mask)));
    t.ret("invlpg-multi", 0, multi(abi::INVLPG_MULTI, address(&mut mask)));
    t.errno("flush-multi-bad-mask", Errno::EINVAL, multi(abi::TLB_FLUSH_MULTI, UNMAPPED));
    t.errno("invlpg-multi-bad-mask", Errno::EINVAL, multi(abi::INVLPG_MULTI, UNMAPPED));
    t.privileged("flush-cache", Errno::EACCES, ext(abi::FLUSH_CACHE, 0));
    t.privileged("flush-cache-global", Errno::EINVAL, ext(abi::FLUSH_CACHE_GLOBAL, 0));
}

fn pages(t: &mut Report) {
    let (from, to) = (Page::new(), Page::new());
    (0..512).for_each(|at| from.write(at, at as u64 * 0x0101_0101));
    let copy = ext_full(abi::COPY_PAGE, to.mfn.get(), from.mfn.get(), DomId::SELF);
    t.ret("copy", 0, copy);
    t.check("copied", (0..512).all(|at| to.read(at) == at as u64 * 0x0101_0101));
    t.ret("clear", 0, ext(abi::CLEAR_PAGE, to.mfn.get()));
    t.check("cleared", (0..512).all(|at| to.read(at) == 0));
    let table = Table::new(1);
    t.errno("clear-table", Errno::EINVAL, ext(abi::CLEAR_PAGE, table.page.mfn.get()));
    t.errno("clear-root", Errno::EINVAL, ext(abi::CLEAR_PAGE, mmu::root().get()));
    t.errno("clear-frame-0", Errno::EINVAL, ext(abi::CLEAR_PAGE, 0));
    t.errno("clear-no-frame", Errno::EINVAL, ext(abi::CLEAR_PAGE, 1 << 40));
    let onto = ext_full(abi::COPY_PAGE, table.page.mfn.get(), from.mfn.get(), DomId::SELF);
    t.errno("copy-onto-table", Errno::EINVAL, onto);
    let of = ext_full(abi::COPY_PAGE, to.mfn.get(), table.page.mfn.get(), DomId::SELF);
    t.ret("copy-of-table", 0, of);
    let nothing = ext_full(abi::COPY_PAGE, to.mfn.get(), 1 << 40, DomId::SELF);
    t.errno("copy-of-no-frame", Errno::EINVAL, nothing);
}

fn refused(t: &mut Report) {
    t.errno("command-14", Errno::ENOSYS, ext(14, 0));
    t.errno("command-21", Errno::ENOSYS, ext(21, 0));
    t.errno("command-huge", Errno::ENOSYS, ext(u32::MAX, 0));
    t.errno("mark-super", Errno::EOPNOTSUPP, ext(abi::MARK_SUPER, 0));
    t.errno("unmark-super", Errno::EOPNOTSUPP, ext(abi::UNMARK_SUPER, 0));
    let unknown = ext_full(abi::TLB_FLUSH_LOCAL, 0, 0, NO_DOMAIN);
    t.errno("unknown-domain", Errno::ESRCH, unknown);
    let io = ext_full(abi::TLB_FLUSH_LOCAL, 0, 0, DomId::IO);
    t.check("flush-for-other-domain", io < 0);
}

fn counting(t: &mut Report) {
    let flush = MmuextOp { cmd: abi::TLB_FLUSH_LOCAL, ..Default::default() };
    let bad = MmuextOp { cmd: 14, ..Default::default() };
    let mut done = 77u32;
    let mut list = [flush, flush, bad, flush];
    let dom = u64::from(DomId::SELF.get());
    let args = [address(&mut list), 4, address(&mut done), dom];
    t.errno("list-stops-at-error", Errno::ENOSYS, hypercall(nr::MMUEXT_OP, &args));
    t.eq("list-done-count", 2, done);
    list[2] = flush;
    t.ret("list", 0, hypercall(nr::MMUEXT_OP, &args));
    t.eq("list-done-all", 4, done);
    let bad_done = hypercall(nr::MMUEXT_OP, &[address(&mut list), 1, UNMAPPED, dom]);
    // The count is lost, nothing else.
    t.ret("bad-done-pointer", 0, bad_done);
}
