//! Grants of this domain to itself: mapping, unmapping, copying.
//!
//! Proofs read every mapped page through its mapping, and look for a fresh value at the end of what
//! was copied; the shared entries must show no use afterwards.

use core::sync::atomic::Ordering;

use hypercall_abi::grant::{
    self as abi, gntmap, gntst, gtf, GnttabCopy, GnttabCopyPtr, GnttabMapGrantRef,
    GnttabUnmapGrantRef, GNTCOPY_SOURCE_GREF,
};
use hypercall_abi::{nr, DomId, GrantRef, Mfn};
use pvkernel_xen::foreign::Mapping;
use pvkernel_xen::hypercall::grant;
use pvkernel_xen::window::Range;
use test_guests::call::{address, hypercall};
use test_guests::pages::{own_domid, Page};

use crate::meter::{Meter, Row};

/// First entry used, and how many.
const FIRST: u32 = 16;
const BATCH: usize = 16;
/// Content of page number 0; those of the others follow.
const TAG: u64 = 0x6772_616e_7400;
/// Rounds of rows that do a batch of sixteen.
const BATCH_ROUNDS: u64 = 200;

/// Pages, and entries that grant them to this domain itself.
struct Granted {
    table: Mapping,
    pages: [Page; BATCH],
    domid: DomId,
}

impl Granted {
    fn new() -> Option<Granted> {
        let mut frames = [0u64; 1];
        if grant::setup_table(DomId::SELF, &mut frames) != Ok(gntst::OKAY) {
            return None;
        }
        let table = Mapping::new(DomId::SELF, &frames.map(Mfn::new), true).ok()?;
        let granted =
            Granted { table, pages: core::array::from_fn(|_| Page::new()), domid: own_domid() };
        for (index, page) in granted.pages.iter().enumerate() {
            page.write(0, TAG + index as u64);
            granted.set(index, gtf::PERMIT_ACCESS, page.mfn.get());
        }
        Some(granted)
    }

    fn set(&self, index: usize, flags: u16, frame: u64) {
        let word = u64::from(flags) | u64::from(self.domid.get()) << 16 | frame << 32;
        self.word(index).store(word, Ordering::SeqCst);
    }

    fn word(&self, index: usize) -> &core::sync::atomic::AtomicU64 {
        self.table.memory().u64_at(8 * (FIRST as usize + index))
    }

    /// Whether no entry is in use.
    fn is_idle(&self) -> bool {
        let flags = |index| self.word(index).load(Ordering::SeqCst) as u16;
        (0..BATCH).all(|index| flags(index) == gtf::PERMIT_ACCESS)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        (0..BATCH).for_each(|index| self.set(index, gtf::INVALID, 0));
    }
}

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let Some(granted) = Granted::new() else {
        return m.absent(Row::new("gnt_map_1", "hypercall"), "no grant table");
    };
    let map = |name| Row::new(name, "hypercall");
    map_unmap::<1>(m, &granted, [map("gnt_map_1"), map("gnt_unmap_1")]);
    pairs::<1>(m, &granted, Row::new("gnt_map_unmap_1_pair", "pair"));
    let batch = |name| Row::new(name, "entry").per(16).rounds(BATCH_ROUNDS);
    let each = [batch("gnt_map_16_per_entry"), batch("gnt_unmap_16_per_entry")];
    map_unmap::<BATCH>(m, &granted, each);
    pairs::<BATCH>(m, &granted, batch("gnt_map_unmap_16_pair_per_entry"));
    copy::<1>(m, &granted, Row::new("gnt_copy_64B_1", "copy"), 64);
    let batch = |name| Row::new(name, "copy").per(16).rounds(BATCH_ROUNDS);
    copy::<BATCH>(m, &granted, batch("gnt_copy_64B_16_per_entry"), 64);
    copy::<1>(m, &granted, Row::new("gnt_copy_4096B_1", "copy"), 4096);
    copy::<BATCH>(m, &granted, batch("gnt_copy_4096B_16_per_entry"), 4096);
    m.cost(
        Row::new("gnt_query_size", "hypercall"),
        0,
        |frames| {
            let size = grant::query_size(DomId::SELF);
            *frames += size.map_or(0, |size| u64::from(size.nr_frames));
        },
        |frames, made| *frames >= made && *frames % made == 0,
    );
}

/// Mappings of the first pages at consecutive addresses.
struct Maps<const N: usize> {
    range: Range,
    maps: [GnttabMapGrantRef; N],
    unmaps: [GnttabUnmapGrantRef; N],
    seen: u64,
}

impl<const N: usize> Maps<N> {
    fn new(granted: &Granted) -> Maps<N> {
        let range = Range::new(N).expect("memory for tables");
        let at = |index: usize| range.start() + 4096 * index as u64;
        let maps = core::array::from_fn(|index| GnttabMapGrantRef {
            host_addr: at(index),
            flags: gntmap::HOST_MAP,
            gref: GrantRef::new(FIRST + index as u32),
            dom: granted.domid,
            ..Default::default()
        });
        let unmaps = core::array::from_fn(|index| GnttabUnmapGrantRef {
            host_addr: at(index),
            ..Default::default()
        });
        Maps { range, maps, unmaps, seen: 0 }
    }

    #[inline]
    fn map(&mut self) {
        let list = address(&mut self.maps);
        hypercall(nr::GRANT_TABLE_OP, &[abi::MAP_GRANT_REF.into(), list, N as u64]);
    }

    /// Prepares the unmapping, and counts the pages that show their content.
    #[inline]
    fn look(&mut self) {
        for (index, map) in self.maps.iter().enumerate() {
            let at = core::ptr::with_exposed_provenance::<u64>(map.host_addr as usize);
            self.unmaps[index].handle = map.handle;
            // SAFETY: mapped, if the call did what it says; a fault ends the run.
            let content = unsafe { at.read_volatile() };
            self.seen += u64::from(content == TAG + index as u64 && map.status == gntst::OKAY);
        }
    }

    #[inline]
    fn unmap(&mut self) {
        let list = address(&mut self.unmaps);
        hypercall(nr::GRANT_TABLE_OP, &[abi::UNMAP_GRANT_REF.into(), list, N as u64]);
    }

    /// Whether each page was seen each time, and nothing is left.
    fn proves(&self, granted: &Granted, made: u64) -> bool {
        let pages = self.range.pages() as u64;
        let mut left =
            (0..pages).map(|page| pvkernel_xen::mmu::lookup(self.range.start() + 4096 * page));
        let unmapped = self.unmaps.iter().all(|op| op.status == gntst::OKAY);
        self.seen == made * N as u64 && unmapped && left.all(|e| e.is_none()) && granted.is_idle()
    }
}

fn map_unmap<const N: usize>(m: &mut Meter, granted: &Granted, rows: [Row; 2]) {
    m.parts(
        rows,
        Maps::<N>::new(granted),
        |maps, parts| {
            parts.time(0, || maps.map());
            maps.look();
            parts.time(1, || maps.unmap());
        },
        |maps, made| maps.proves(granted, made),
    );
}

fn pairs<const N: usize>(m: &mut Meter, granted: &Granted, row: Row) {
    m.cost(
        row,
        Maps::<N>::new(granted),
        |maps| {
            maps.map();
            maps.look();
            maps.unmap();
        },
        |maps, made| maps.proves(granted, made),
    );
}

/// Copies from granted pages to pages of this domain.
fn copy<const N: usize>(m: &mut Meter, granted: &Granted, row: Row, len: u16) {
    let dests: [Page; N] = core::array::from_fn(|_| Page::new());
    let mut ops: [GnttabCopy; N] = core::array::from_fn(|index| GnttabCopy {
        source: GnttabCopyPtr {
            u: u64::from(FIRST) + index as u64,
            domid: granted.domid,
            ..Default::default()
        },
        dest: GnttabCopyPtr { u: dests[index].mfn.get(), domid: DomId::SELF, ..Default::default() },
        len,
        flags: GNTCOPY_SOURCE_GREF,
        ..Default::default()
    });
    let last = usize::from(len) / 8 - 1;
    m.cost(
        row,
        (0, 0),
        |(round, good)| {
            *round += 1;
            granted.pages[N - 1].write(last, *round);
            let list = address(&mut ops);
            hypercall(nr::GRANT_TABLE_OP, &[abi::COPY.into(), list, N as u64]);
            *good += u64::from(dests[N - 1].read(last) == *round);
        },
        |(_, good), made| {
            let same = |(page, from): (&Page, &Page)| page.read(0) == from.read(0);
            *good == made && dests.iter().zip(&granted.pages).all(same) && granted.is_idle()
        },
    );
}
