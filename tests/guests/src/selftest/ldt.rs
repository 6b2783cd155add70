//! The local descriptor table: `MMUEXT_SET_LDT` and loading it page by page.

use crate::descriptor::{load_fs, DATA3};
use crate::harness::Report;
use crate::pages::{ext_full, Page};
use crate::probe::fault_of;
use hypercall_abi::mmu::mmuext::SET_LDT;
use hypercall_abi::{DomId, Errno};

fn set(base: u64, entries: u64) -> i64 {
    ext_full(SET_LDT, base, entries, DomId::SELF)
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let page = Page::new();
    page.write(1, DATA3);
    page.seal();
    t.errno("unaligned", Errno::EINVAL, set(page.va + 8, 512));
    t.errno("too-many", Errno::EINVAL, set(page.va, 8193));
    t.eq("none-at-first", Err((13, 0x0c)), fault_of(load_fs, 0x0f));
    t.ret("set", 0, set(page.va, 512));
    t.eq("selector", Ok(0x0f), fault_of(load_fs, 0x0f));
    t.eq("empty-entry", Err((13, 0x14)), fault_of(load_fs, 0x17));
    t.eq("page-cannot-be-written", Err(Errno::EBUSY), page.unseal());
    t.ret("set-none", 0, set(0, 0));
    t.eq("gone", Err((13, 0x0c)), fault_of(load_fs, 0x0f));
    t.eq("page-is-free", Ok(()), page.unseal());
    // A table whose page cannot hold descriptors faults when it is used, not when it is set.
    t.ret("set-writable-page", 0, set(page.va, 512));
    t.eq("writable-page-faults", Err((14, 0)), fault_of(load_fs, 0x0f));
    t.ret("set-unmapped", 0, set(crate::harness::UNMAPPED, 512));
    t.eq("unmapped-faults", Err((14, 0)), fault_of(load_fs, 0x0f));
    t.ret("set-none-again", 0, set(0, 0));
}
