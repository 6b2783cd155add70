//! `grants`: the kernel's grants, from both sides, within one domain.
//!
//! The domain grants frames to itself by its own number, maps them, copies, lets go in the wrong order
//! and counts what is left. The last lines say what a page costs to copy, in ticks.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno, GrantRef, PAGE_SIZE};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::grants::{self, CopyQueue, GrantMapping, GrantedPages};
use pvkernel_xen::{power, println, stats, thread, time};
use test_guests::pages::own_domid;

pvkernel_xen::entry!(run);

type Verdict = Result<(), &'static str>;
type Check = (&'static str, fn(DomId) -> Verdict);

const CHECKS: &[Check] = &[
    ("map", maps_what_is_granted),
    ("refuse", refuses_and_leaves_nothing),
    ("defer", keeps_what_the_peer_holds),
    ("copy", copies_pieces),
    ("copy-refused", copies_nothing_forbidden),
    ("single", grants_one_by_one),
];

fn run(_: &'static BootInfo) -> ! {
    let own = own_domid();
    let mut failed = 0;
    for (name, check) in CHECKS {
        // The first time makes tables that stay.
        let verdict = check(own).and_then(|()| leaves_nothing(*check, own));
        match verdict {
            Ok(()) => println!("grants: {name} ok"),
            Err(why) => {
                failed += 1;
                println!("grants: {name} FAIL {why}");
            }
        }
    }
    print_costs(own);
    match failed {
        0 => println!("ZENDO-TEST grants SUCCESS {} checks", CHECKS.len()),
        _ => println!("ZENDO-TEST grants FAILURE {failed} checks"),
    }
    power::poweroff()
}

fn expect(holds: bool, what: &'static str) -> Verdict {
    holds.then_some(()).ok_or(what)
}

fn leaves_nothing(check: fn(DomId) -> Verdict, own: DomId) -> Verdict {
    let before = counts();
    check(own)?;
    expect(counts() == before, "frames, grants or addresses are missing afterwards")
}

fn counts() -> [usize; 5] {
    [
        stats::free_frames(),
        stats::window_pages(),
        grants::stats::used(),
        grants::stats::deferred(),
        grants::stats::mappings(),
    ]
}

fn granted(own: DomId, pages: usize, writable: bool) -> Result<GrantedPages, &'static str> {
    GrantedPages::new(own, pages, writable).map_err(|_| "pages can be granted")
}

fn mapped(own: DomId, pages: &GrantedPages) -> Result<GrantMapping, &'static str> {
    GrantMapping::new(own, pages.refs(), true).map_err(|_| "granted pages can be mapped")
}

/// Many pages, more than one frame of the table and one batch hold, seen at both addresses.
fn maps_what_is_granted(own: DomId) -> Verdict {
    let pages = granted(own, 700, true)?;
    let mapping = mapped(own, &pages)?;
    expect(mapping.pages() == 700 && mapping.frames().count() == 700, "all pages are mapped")?;
    for page in 0..700 {
        pages.memory().write(page * PAGE_SIZE + 8, &(page as u64).to_le_bytes());
    }
    let mut word = [0; 8];
    for page in 0..700 {
        mapping.memory().read(page * PAGE_SIZE + 8, &mut word);
        expect(u64::from_le_bytes(word) == page as u64, "each page lies at its place")?;
        mapping.memory().read(page * PAGE_SIZE, &mut word);
        expect(word == [0; 8], "granted pages hold zeros at first")?;
    }
    Ok(())
}

/// A list with a bad reference in the middle leaves nothing mapped.
fn refuses_and_leaves_nothing(own: DomId) -> Verdict {
    let pages = granted(own, 5, false)?;
    let mut refs = pages.refs().to_vec();
    let writable = GrantMapping::new(own, &refs, true);
    expect(writable.is_err(), "a read-only grant is not mapped for writing")?;
    refs[2] = GrantRef::new(1 << 24);
    let holed = GrantMapping::new(own, &refs, false);
    expect(holed.err() == Some(Errno::EINVAL), "a grant that does not exist is refused")?;
    let nobody = GrantMapping::new(DomId::new(0x7000), pages.refs(), false);
    expect(nobody.err() == Some(Errno::ESRCH), "a domain that does not exist is refused")?;
    let nothing = GrantMapping::new(own, &[], false);
    expect(nothing.err() == Some(Errno::EINVAL), "an empty list is refused")?;
    expect(GrantedPages::new(own, 0, true).is_err(), "no pages are refused")?;
    expect(GrantMapping::new(own, pages.refs(), false).is_ok(), "nothing of it is in the way")
}

/// Pages that are dropped while they are mapped wait until they are not.
fn keeps_what_the_peer_holds(own: DomId) -> Verdict {
    let pages = granted(own, 6, true)?;
    let mapping = GrantMapping::new(own, &pages.refs()[2..4], true);
    let mapping = mapping.map_err(|_| "some pages can be mapped")?;
    let before = (stats::free_frames(), grants::stats::used());
    drop(pages);
    expect(grants::stats::deferred() == 2, "pages that are mapped wait")?;
    expect(grants::stats::used() == before.1 - 4, "the others' grants have ended")?;
    // The stack of the thread that looks after them is taken from the frames meanwhile.
    thread::sleep_ns(250_000_000);
    expect(grants::stats::deferred() == 2, "they wait as long as they are mapped")?;
    mapping.memory().write(0, &[1; 8]);
    drop(mapping);
    thread::sleep_ns(1_500_000_000);
    expect(grants::stats::deferred() == 0, "they are freed by themselves afterwards")
}

/// Heap across pages, stack, shared memory, and frame to frame.
fn copies_pieces(own: DomId) -> Verdict {
    let pages = granted(own, 3, true)?;
    let refs = pages.refs();
    let heap: Vec<u8> = (0..9000u32).map(|at| (at * 7) as u8).collect();
    let on_stack = [0xa5; 100];
    let mut back = vec![0; 4000];
    let mut queue = CopyQueue::new();
    let mut batch = queue.batch();
    batch.to_peer(&heap[100..4100], own, refs[0], 96);
    batch.to_peer(&on_stack, own, refs[1], 3996);
    batch.between((own, refs[0], 96), (own, refs[2], 0), 4000);
    batch.to_peer_shared((pages.memory(), 96, 50), own, refs[1], 5);
    batch.from_peer(own, refs[2], 0, &mut back);
    batch.to_peer(&[], own, refs[1], 0);
    expect(batch.len() == 6, "requests are counted")?;
    expect(batch.run().iter().all(Result::is_ok), "all requests are done")?;
    expect(back == heap[100..4100], "heap arrives by way of two frames")?;
    let mut seen = [0; 100];
    pages.memory().read(PAGE_SIZE + 3996, &mut seen);
    expect(seen == on_stack, "stack memory arrives")?;
    let mut seen = [0; 50];
    pages.memory().read(PAGE_SIZE + 5, &mut seen);
    expect(seen == heap[100..150], "shared memory arrives")?;
    // More than one hypercall's worth.
    let mut batch = queue.batch();
    for at in 0..200 {
        batch.to_peer(&heap[at..at + 1], own, refs[0], at);
    }
    expect(batch.run().iter().all(Result::is_ok), "a long batch is done")?;
    let mut seen = [0; 200];
    pages.memory().read(0, &mut seen);
    expect(seen == heap[..200], "a long batch arrives")
}

/// Each refusal is told for its request, and the others go on.
fn copies_nothing_forbidden(own: DomId) -> Verdict {
    let pages = granted(own, 1, false)?;
    let gref = pages.refs()[0];
    let mut to = [1; 16];
    let mut queue = CopyQueue::new();
    let mut batch = queue.batch();
    batch.to_peer(&[9; 8], own, gref, 0);
    batch.to_peer(&[9; 8], own, gref, 4090);
    batch.to_peer(&[9; 8], own, gref, usize::MAX);
    batch.to_peer(&[9; 8], own, GrantRef::new(1 << 24), 0);
    batch.to_peer(&[9; 8], DomId::new(0x7000), gref, 0);
    batch.from_peer(own, gref, 0, &mut to);
    let verdicts = batch.run();
    let refused = verdicts[..5].iter().all(Result::is_err);
    expect(refused && verdicts[5].is_ok(), "what is forbidden is refused, and nothing else")?;
    expect(verdicts[3] == Err(Errno::EINVAL), "a grant that does not exist is named")?;
    expect(verdicts[4] == Err(Errno::ESRCH), "a domain that does not exist is named")?;
    expect(to == [0; 16], "what is allowed is done")
}

/// What netfront does: a frame, a grant, and its end.
fn grants_one_by_one(own: DomId) -> Verdict {
    let pfn = pvkernel_xen::frames::alloc().ok_or("a frame can be allocated")?;
    let gref = grants::grant(own, pfn, true).map_err(|_| "a frame can be granted")?;
    let mapping = GrantMapping::new(own, &[gref], true).map_err(|_| "it can be mapped")?;
    expect(grants::end(gref).is_err(), "a grant in use cannot be ended")?;
    drop(mapping);
    expect(grants::end(gref).is_ok(), "a grant that is not used can be ended")?;
    let gone = GrantMapping::new(own, &[gref], true);
    expect(gone.is_err(), "a grant that has ended cannot be mapped")?;
    let gref = grants::grant(own, pfn, false).map_err(|_| "a frame can be granted again")?;
    grants::end_or_defer(gref, pfn);
    expect(grants::stats::deferred() == 0, "nothing waits")
}

fn print_costs(own: DomId) {
    const ROUNDS: u64 = 1000;
    let Ok(pages) = GrantedPages::new(own, 1, true) else { return };
    let gref = pages.refs()[0];
    let mut page = vec![0; PAGE_SIZE];
    let mut queue = CopyQueue::new();
    let each = |what: &str, body: &mut dyn FnMut()| {
        let start = time::tsc();
        (0..ROUNDS).for_each(|_| body());
        println!("grants: {what} takes {} ticks", (time::tsc() - start) / ROUNDS);
    };
    each("a page out of shared memory", &mut || pages.memory().read(0, &mut page));
    each("a page by grant copy", &mut || {
        let mut batch = queue.batch();
        batch.to_peer(&page, own, gref, 0);
        batch.run();
    });
    each("mapping and unmapping a page", &mut || drop(GrantMapping::new(own, &[gref], true)));
    each("granting a page and its end", &mut || {
        if let Ok(gref) = grants::grant(own, pages.pfn(0), true) {
            let _ = grants::end(gref);
        }
    });
}
