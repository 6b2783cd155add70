//! `GNTTABOP_copy`.

use crate::grant::{entry_flags, has_table, prepare, set_entry};
use crate::harness::{address, hypercall, Report};
use crate::pages::{own_domid, Page};
use hypercall_abi::grant::{
    self as abi, gntst, gtf, GnttabCopy, GnttabCopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF,
};
use hypercall_abi::{nr, DomId};
use pvkernel_xen::mmu;

const SOURCE: u32 = 20;
const DEST: u32 = 21;

/// Runs the topic.
pub fn run(t: &mut Report) {
    prepare();
    if !has_table() {
        t.skip("copy", "no grant table");
        return;
    }
    let (from, to) = (Page::new(), Page::new());
    (0..512).for_each(|at| from.write(at, at as u64));
    frames(t, &from, &to);
    references(t, &from, &to);
    refused(t, &from, &to);
}

fn frame(page: &Page, offset: u16) -> GnttabCopyPtr {
    GnttabCopyPtr { u: page.mfn.get(), domid: DomId::SELF, offset, ..Default::default() }
}

fn reference(index: u32, offset: u16) -> GnttabCopyPtr {
    GnttabCopyPtr { u: u64::from(index), domid: own_domid(), offset, ..Default::default() }
}

fn copy(source: GnttabCopyPtr, dest: GnttabCopyPtr, len: u16, flags: u16) -> i16 {
    let mut op = GnttabCopy { source, dest, len, flags, ..Default::default() };
    let ret = hypercall(nr::GRANT_TABLE_OP, &[abi::COPY.into(), address(&mut op), 1]);
    assert_eq!(ret, 0, "copy reports by status");
    op.status
}

fn frames(t: &mut Report, from: &Page, to: &Page) {
    t.eq("frame-to-frame", gntst::OKAY, copy(frame(from, 0), frame(to, 0), 4096, 0));
    t.check("copied", (0..512).all(|at| to.read(at) == at as u64));
    t.eq("with-offsets", gntst::OKAY, copy(frame(from, 80), frame(to, 16), 8, 0));
    t.eq("copied-with-offsets", [0, 1, 10, 3], [0, 1, 2, 3].map(|at| to.read(at)));
    t.eq("nothing", gntst::OKAY, copy(frame(from, 0), frame(to, 0), 0, 0));
    t.eq("source-beyond-page", gntst::BAD_COPY_ARG, copy(frame(from, 1), frame(to, 0), 4096, 0));
    t.eq("dest-beyond-page", gntst::BAD_COPY_ARG, copy(frame(from, 0), frame(to, 4095), 2, 0));
    t.eq("source-offset-huge", gntst::BAD_COPY_ARG, copy(frame(from, 5000), frame(to, 0), 1, 0));
}

fn references(t: &mut Report, from: &Page, to: &Page) {
    let own = own_domid();
    set_entry(SOURCE, gtf::PERMIT_ACCESS | gtf::READONLY, own, from.mfn.get());
    set_entry(DEST, gtf::PERMIT_ACCESS, own, to.mfn.get());
    let both = GNTCOPY_SOURCE_GREF | GNTCOPY_DEST_GREF;
    let ret = copy(reference(SOURCE, 8), reference(DEST, 0), 16, both);
    t.eq("reference-to-reference", gntst::OKAY, ret);
    t.eq("copied-by-reference", [1, 2], [0, 1].map(|at| to.read(at)));
    let ret = copy(reference(SOURCE, 0), frame(to, 0), 8, GNTCOPY_SOURCE_GREF);
    t.eq("reference-to-frame", gntst::OKAY, ret);
    let ret = copy(frame(from, 24), reference(DEST, 8), 8, GNTCOPY_DEST_GREF);
    t.eq("frame-to-reference", gntst::OKAY, ret);
    t.eq("copied-both-ways", [0, 3], [0, 1].map(|at| to.read(at)));
    let flags = (entry_flags(SOURCE), entry_flags(DEST));
    t.eq("entries-are-free", (gtf::PERMIT_ACCESS | gtf::READONLY, gtf::PERMIT_ACCESS), flags);
}

fn refused(t: &mut Report, from: &Page, to: &Page) {
    let read_only = copy(frame(from, 0), reference(SOURCE, 0), 8, GNTCOPY_DEST_GREF);
    t.eq("dest-read-only", gntst::GENERAL_ERROR, read_only);
    set_entry(DEST, 0, DomId::new(0), 0);
    let invalid = copy(frame(from, 0), reference(DEST, 0), 8, GNTCOPY_DEST_GREF);
    t.eq("dest-invalid", gntst::GENERAL_ERROR, invalid);
    let far = copy(reference(1 << 20, 0), frame(to, 0), 8, GNTCOPY_SOURCE_GREF);
    t.eq("reference-beyond-table", gntst::BAD_GNTREF, far);
    let nobody = GnttabCopyPtr { domid: DomId::new(0x7000), ..reference(SOURCE, 0) };
    let unknown = copy(nobody, frame(to, 0), 8, GNTCOPY_SOURCE_GREF);
    t.eq("unknown-domain", gntst::BAD_DOMAIN, unknown);
    let raw = GnttabCopyPtr { domid: own_domid(), ..frame(from, 0) };
    t.eq("frame-by-own-number", gntst::PERMISSION_DENIED, copy(raw, frame(to, 0), 8, 0));
    let missing = GnttabCopyPtr { u: 1 << 40, ..frame(from, 0) };
    t.eq("source-no-frame", gntst::BAD_PAGE, copy(missing, frame(to, 0), 8, 0));
    let table = GnttabCopyPtr { u: mmu::root().get(), ..frame(to, 0) };
    let onto_table = copy(frame(from, 0), table, 8, 0);
    t.check("dest-page-table", onto_table < 0);
    set_entry(SOURCE, 0, DomId::new(0), 0);
}
