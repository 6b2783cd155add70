//! Grant tables: setting up, mapping and unmapping, all within this domain.

use core::sync::atomic::Ordering;

use crate::harness::{address, hypercall, Report};
use crate::pages::{own_domid, Page};
use hypercall_abi::grant::{
    self as abi, gntmap, gntst, gtf, GnttabMapGrantRef, GnttabSetupTable, GnttabUnmapGrantRef,
};
use hypercall_abi::mmu::pte;
use hypercall_abi::{nr, DomId, Errno, GrantRef, GuestVa, Mfn};
use pvkernel_core::sync::Lock;
use pvkernel_xen::foreign::Mapping;
use pvkernel_xen::hypercall::grant;
use pvkernel_xen::{mmu, window};

const NO_DOMAIN: DomId = DomId::new(0x7000);
/// Entries that the cases use.
const FIRST: u32 = 16;

static TABLE: Lock<Option<Mapping>> = Lock::new(None);

/// Runs the topic.
pub fn run(t: &mut Report) {
    setup(t);
    versions(t);
    if !has_table() {
        t.skip("map", "no grant table");
        return;
    }
    map(t);
    map_pte(t);
    refused(t);
    unmap(t);
    replace(t);
    swap(t);
    transfer(t);
}

/// Writes an entry of this domain's table.
pub fn set_entry(index: u32, flags: u16, dom: DomId, frame: u64) {
    let guard = TABLE.lock();
    let Some(table) = guard.as_ref() else { return };
    let word = u64::from(flags) | u64::from(dom.get()) << 16 | frame << 32;
    table.memory().u64_at(8 * index as usize).store(word, Ordering::SeqCst);
}

/// Flags of an entry.
pub fn entry_flags(index: u32) -> u16 {
    let guard = TABLE.lock();
    guard.as_ref().map_or(0, |table| table.read_u64(8 * index as usize) as u16)
}

/// Whether `setup` found a table.
pub fn has_table() -> bool {
    TABLE.lock().is_some()
}

/// Sets the table up once.
pub fn prepare() {
    if has_table() {
        return;
    }
    let mut frames = [0u64; 1];
    if grant::setup_table(DomId::SELF, &mut frames) == Ok(gntst::OKAY) {
        let mfns = frames.map(Mfn::new);
        *TABLE.lock() = Mapping::new(DomId::SELF, &mfns, true).ok();
    }
}

fn setup(t: &mut Report) {
    let size = grant::query_size(DomId::SELF).unwrap_or_default();
    t.eq("query-size", gntst::OKAY, size.status);
    t.check("query-size-limits", size.max_nr_frames >= size.nr_frames && size.max_nr_frames > 0);
    let nobody = grant::query_size(NO_DOMAIN).map(|size| size.status);
    t.eq("query-size-unknown-domain", Ok(gntst::BAD_DOMAIN), nobody);
    prepare();
    t.check("setup", has_table());
    let mut frames = [0u64; 1];
    let none = grant::setup_table(NO_DOMAIN, &mut frames);
    t.eq("setup-unknown-domain", Ok(gntst::BAD_DOMAIN), none);
    let mut op = GnttabSetupTable {
        dom: DomId::SELF,
        nr_frames: size.max_nr_frames + 1,
        frame_list: GuestVa::new(address(&mut frames)),
        ..Default::default()
    };
    let call = |op: &mut GnttabSetupTable, count: u64| {
        hypercall(nr::GRANT_TABLE_OP, &[abi::SETUP_TABLE.into(), address(op), count])
    };
    t.ret("setup-too-many", 0, call(&mut op, 1));
    t.eq("setup-too-many-status", gntst::GENERAL_ERROR, op.status);
    t.errno("setup-count-2", Errno::EINVAL, call(&mut op, 2));
    let unknown = hypercall(nr::GRANT_TABLE_OP, &[99, address(&mut op), 1]);
    t.errno("unknown-command", Errno::ENOSYS, unknown);
    let huge = hypercall(nr::GRANT_TABLE_OP, &[abi::COPY.into(), address(&mut op), 1 << 31]);
    t.errno("huge-count", Errno::EINVAL, huge);
}

fn versions(t: &mut Report) {
    t.eq("version", Ok(1), grant::get_version(DomId::SELF));
    t.eq("set-version-1", Ok(1), grant::set_version(1));
    t.eq("set-version-3", Err(Errno::EINVAL), grant::set_version(3));
    t.eq("set-version-0", Err(Errno::EINVAL), grant::set_version(0));
    t.eq("version-unknown-domain", Err(Errno::ESRCH), grant::get_version(NO_DOMAIN));
}

fn map_op(op: &mut GnttabMapGrantRef) -> i16 {
    let ret = hypercall(nr::GRANT_TABLE_OP, &[abi::MAP_GRANT_REF.into(), address(op), 1]);
    assert_eq!(ret, 0, "map reports by status");
    op.status
}

fn unmap_op(op: &mut GnttabUnmapGrantRef) -> i16 {
    let ret = hypercall(nr::GRANT_TABLE_OP, &[abi::UNMAP_GRANT_REF.into(), address(op), 1]);
    assert_eq!(ret, 0, "unmap reports by status");
    op.status
}

fn clear_entry() {
    set_entry(FIRST, 0, DomId::new(0), 0);
}

fn request(va: u64, flags: u32) -> GnttabMapGrantRef {
    GnttabMapGrantRef {
        host_addr: va,
        flags,
        gref: GrantRef::new(FIRST),
        dom: own_domid(),
        ..Default::default()
    }
}

fn undo(map: &GnttabMapGrantRef) -> GnttabUnmapGrantRef {
    GnttabUnmapGrantRef { host_addr: map.host_addr, handle: map.handle, ..Default::default() }
}

fn peek(va: u64) -> u64 {
    let at = core::ptr::with_exposed_provenance::<u64>(va as usize);
    // SAFETY: the case just mapped a page there.
    unsafe { at.read_volatile() }
}

fn map(t: &mut Report) {
    let (page, range) = (Page::new(), window::Range::new(1).expect("memory for tables"));
    let va = range.start();
    page.write(0, 0x6789);
    set_entry(FIRST, gtf::PERMIT_ACCESS, own_domid(), page.mfn.get());
    let mut op = request(va, gntmap::HOST_MAP);
    t.eq("map", gntst::OKAY, map_op(&mut op));
    t.eq("map-shows-the-page", 0x6789, peek(va));
    let used = gtf::PERMIT_ACCESS | gtf::READING | gtf::WRITING;
    t.eq("map-marks-entry-in-use", used, entry_flags(FIRST));
    let entry = mmu::lookup(va).unwrap_or(0);
    let bits = pte::PRESENT | pte::RW | pte::USER | pte::GUEST_KERNEL | pte::FRAME_MASK;
    let expected = page.entry(pte::PRESENT | pte::RW | pte::USER | pte::GUEST_KERNEL);
    t.eq("map-entry", expected, entry & bits);
    t.eq("unmap", gntst::OKAY, unmap_op(&mut undo(&op)));
    t.eq("unmap-clears-entry", None, mmu::lookup(va));
    t.eq("unmap-frees-grant", gtf::PERMIT_ACCESS, entry_flags(FIRST));
    t.eq("unmap-twice", gntst::BAD_HANDLE, unmap_op(&mut undo(&op)));
    let mut op = request(va, gntmap::HOST_MAP | gntmap::READONLY);
    t.eq("map-read-only", gntst::OKAY, map_op(&mut op));
    t.eq("map-read-only-flags", gtf::PERMIT_ACCESS | gtf::READING, entry_flags(FIRST));
    let entry = mmu::lookup(va).unwrap_or(pte::RW);
    t.eq("map-read-only-entry", 0, entry & pte::RW);
    let mut wrong = GnttabUnmapGrantRef { host_addr: va + 4096, ..undo(&op) };
    t.eq("unmap-wrong-address", gntst::GENERAL_ERROR, unmap_op(&mut wrong));
    t.eq("unmap-read-only", gntst::OKAY, unmap_op(&mut undo(&op)));
    let avail = 5 * gntmap::GUEST_AVAIL0;
    let mut op = request(va, gntmap::HOST_MAP | gntmap::APPLICATION_MAP | avail);
    t.eq("map-for-user", gntst::OKAY, map_op(&mut op));
    let entry = mmu::lookup(va).unwrap_or(0);
    let shown = (entry & pte::GUEST_KERNEL, entry & pte::AVAIL_MASK);
    t.eq("map-for-user-entry", (0, 5 << 9), shown);
    t.eq("unmap-for-user", gntst::OKAY, unmap_op(&mut undo(&op)));
    clear_entry();
}

/// Mapping by the machine address of the entry.
fn map_pte(t: &mut Report) {
    let (page, range) = (Page::new(), window::Range::new(1).expect("memory for tables"));
    let slot = mmu::level1_entry_maddr(range.start()).unwrap_or(0);
    page.write(0, 0x4321);
    set_entry(FIRST, gtf::PERMIT_ACCESS, own_domid(), page.mfn.get());
    let mut op = request(slot, gntmap::HOST_MAP | gntmap::CONTAINS_PTE);
    t.eq("map-by-entry", gntst::OKAY, map_op(&mut op));
    t.eq("map-by-entry-shows-the-page", 0x4321, peek(range.start()));
    t.eq("unmap-by-entry", gntst::OKAY, unmap_op(&mut undo(&op)));
    let mut op = request(slot + 4, gntmap::HOST_MAP | gntmap::CONTAINS_PTE);
    t.eq("map-by-unaligned-entry", gntst::GENERAL_ERROR, map_op(&mut op));
    let mut op = request(page.maddr(0), gntmap::HOST_MAP | gntmap::CONTAINS_PTE);
    t.eq("map-by-entry-in-data-page", gntst::GENERAL_ERROR, map_op(&mut op));
    t.eq("failed-map-leaves-grant", gtf::PERMIT_ACCESS, entry_flags(FIRST));
    clear_entry();
}

fn refused(t: &mut Report) {
    let (page, range) = (Page::new(), window::Range::new(1).expect("memory for tables"));
    let va = range.start();
    let own = own_domid();
    let good = || set_entry(FIRST, gtf::PERMIT_ACCESS, own, page.mfn.get());
    good();
    let status = |op: GnttabMapGrantRef| map_op(&mut op.clone());
    let base = request(va, gntmap::HOST_MAP);
    t.eq(
        "map-unknown-domain",
        gntst::BAD_DOMAIN,
        status(GnttabMapGrantRef { dom: NO_DOMAIN, ..base }),
    );
    let by_self = status(GnttabMapGrantRef { dom: DomId::SELF, ..base });
    t.eq("map-self-by-alias", gntst::BAD_DOMAIN, by_self);
    let far = GnttabMapGrantRef { gref: GrantRef::new(1 << 24), ..base };
    t.eq("map-reference-beyond-table", gntst::BAD_GNTREF, status(far));
    t.eq("map-without-kind", gntst::BAD_GNTREF, status(GnttabMapGrantRef { flags: 0, ..base }));
    let unmapped = GnttabMapGrantRef { host_addr: crate::harness::UNMAPPED, ..base };
    t.eq("map-where-no-table-is", gntst::GENERAL_ERROR, status(unmapped));
    t.eq("refused-leaves-grant", gtf::PERMIT_ACCESS, entry_flags(FIRST));
    set_entry(FIRST, gtf::INVALID, own, page.mfn.get());
    t.eq("map-invalid-entry", gntst::GENERAL_ERROR, status(base));
    set_entry(FIRST, gtf::PERMIT_ACCESS, NO_DOMAIN, page.mfn.get());
    t.eq("map-for-other-domain", gntst::GENERAL_ERROR, status(base));
    set_entry(FIRST, gtf::PERMIT_ACCESS | gtf::READONLY, own, page.mfn.get());
    t.eq("map-read-only-grant-writable", gntst::GENERAL_ERROR, status(base));
    set_entry(FIRST, gtf::ACCEPT_TRANSFER, own, page.mfn.get());
    t.eq("map-transfer-entry", gntst::GENERAL_ERROR, status(base));
    set_entry(FIRST, gtf::PERMIT_ACCESS, own, mmu::root().get());
    t.eq("map-page-table-writable", gntst::GENERAL_ERROR, status(base));
    set_entry(FIRST, gtf::PERMIT_ACCESS, own, 0xffff_ffff);
    let nowhere = status(base);
    t.check("map-no-frame", nowhere == gntst::BAD_PAGE || nowhere == gntst::GENERAL_ERROR);
    t.eq("refused-entry-is-not-in-use", gtf::PERMIT_ACCESS, entry_flags(FIRST));
    clear_entry();
}

fn unmap(t: &mut Report) {
    let mut op = GnttabUnmapGrantRef { handle: abi::GrantHandle::new(12345), ..Default::default() };
    t.eq("unmap-unknown-handle", gntst::BAD_HANDLE, unmap_op(&mut op));
    let (page, range) = (Page::new(), window::Range::new(2).expect("memory for tables"));
    set_entry(FIRST, gtf::PERMIT_ACCESS, own_domid(), page.mfn.get());
    let mut maps = [request(range.start(), gntmap::HOST_MAP); 2];
    maps[1].host_addr += 4096;
    let list = address(&mut maps);
    let ret = hypercall(nr::GRANT_TABLE_OP, &[abi::MAP_GRANT_REF.into(), list, 2]);
    t.ret("map-two", 0, ret);
    t.eq("map-two-status", (0, 0), (maps[0].status, maps[1].status));
    t.check("map-two-handles", maps[0].handle != maps[1].handle);
    t.eq("unmap-first", gntst::OKAY, unmap_op(&mut undo(&maps[0])));
    let used = gtf::PERMIT_ACCESS | gtf::READING | gtf::WRITING;
    t.eq("second-keeps-grant-in-use", used, entry_flags(FIRST));
    t.eq("unmap-second", gntst::OKAY, unmap_op(&mut undo(&maps[1])));
    t.eq("grant-is-free", gtf::PERMIT_ACCESS, entry_flags(FIRST));
    clear_entry();
}

/// Unmapping that leaves another page in the place of the granted one.
fn replace(t: &mut Report) {
    let (page, other) = (Page::new(), Page::new());
    let mut range = window::Range::new(2).expect("memory for tables");
    let (at, from) = (range.start(), range.start() + 4096);
    other.write(0, 0x7171);
    let mapped = range.map(1, core::iter::once(other.entry(mmu::KERNEL_RO)));
    t.eq("replace-prepare", Ok(()), mapped);
    set_entry(FIRST, gtf::PERMIT_ACCESS, own_domid(), page.mfn.get());
    let mut op = request(at, gntmap::HOST_MAP);
    t.eq("replace-map", gntst::OKAY, map_op(&mut op));
    let mut replace = abi::GnttabUnmapAndReplace {
        host_addr: at,
        new_addr: from,
        handle: op.handle,
        ..Default::default()
    };
    let args = [abi::UNMAP_AND_REPLACE.into(), address(&mut replace), 1];
    t.ret("replace", 0, hypercall(nr::GRANT_TABLE_OP, &args));
    t.eq("replace-status", gntst::OKAY, replace.status);
    t.eq("replaced-by-the-other-page", 0x7171, peek(at));
    t.eq("the-other-address-is-empty", None, mmu::lookup(from));
    t.eq("replaced-grant-is-free", gtf::PERMIT_ACCESS, entry_flags(FIRST));
    let cleared = hypercall(nr::UPDATE_VA_MAPPING, &[at, 0, 2]);
    t.ret("replaced-unmap", 0, cleared);
    clear_entry();
}

fn swap(t: &mut Report) {
    set_entry(FIRST, gtf::PERMIT_ACCESS, NO_DOMAIN, 7);
    let mut op = abi::GnttabSwapGrantRef {
        ref_a: GrantRef::new(FIRST),
        ref_b: GrantRef::new(FIRST + 1),
        ..Default::default()
    };
    let mut call = |op: &mut abi::GnttabSwapGrantRef| {
        let args = [abi::SWAP_GRANT_REF.into(), address(op), 1];
        let ret = hypercall(nr::GRANT_TABLE_OP, &args);
        t.ret("swap-call", 0, ret);
        op.status
    };
    let first = call(&mut op);
    let moved = (entry_flags(FIRST), entry_flags(FIRST + 1));
    op.ref_b = GrantRef::new(1 << 24);
    let beyond = call(&mut op);
    t.eq("swap", (gntst::OKAY, (0, gtf::PERMIT_ACCESS)), (first, moved));
    t.eq("swap-beyond-table", gntst::BAD_GNTREF, beyond);
    set_entry(FIRST + 1, 0, DomId::new(0), 0);
}

/// Giving frames away is hardly used; only what must be refused is tested.
fn transfer(t: &mut Report) {
    let mut call = |mfn: u64, domid: DomId| {
        let gref = GrantRef::new(FIRST);
        let mut op = abi::GnttabTransfer { mfn: Mfn::new(mfn), domid, gref, ..Default::default() };
        let ret = hypercall(nr::GRANT_TABLE_OP, &[abi::TRANSFER.into(), address(&mut op), 1]);
        t.ret("transfer-call", 0, ret);
        op.status
    };
    let statuses = (call(1 << 40, own_domid()), call(0, own_domid()));
    t.eq("transfer-no-frame", true, statuses.0 < 0);
    t.eq("transfer-not-our-frame", true, statuses.1 < 0);
}
