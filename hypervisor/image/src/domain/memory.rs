//! Frames of a domain: giving, taking back, counting.
//!
//! Every frame given out is clean: it is scrubbed when its last owner lets go of it. A frame is
//! charged from the moment it is given until its last reference is gone.
//!
//! Special frames hold what the hypervisor shares with a domain: shared info and grant table. They
//! belong to the domain but are not charged, never become page tables and are never given up by the
//! guest. At the end the hypervisor lets go of them; one that another domain still maps stays until
//! that mapping is gone.

use core::mem;
use hv_core::ensure;
use hv_core::page::{self, FrameInfo, PageHost, PageType, State};
use hv_machine::{cpuinfo, directmap, frames, hvslots};
use hypercall_abi::addr::ROOT_PAGETABLE_FIRST_XEN_SLOT as M2P_SLOT;
use hypercall_abi::{vm_assist, DomId, Errno, Mfn};

use super::{table, Domain, Pages};
use crate::exit;
use crate::host::{flush_since, Host};

/// Largest power of two of frames the allocator hands out at once.
pub const MAX_ORDER: u32 = 18;

/// Gives a domain a block of `1 << order` frames below `bits` address bits (0 for anywhere).
///
/// # Errors
/// `ENOMEM` when the domain may not have that many or the machine has none left.
pub fn give_block(dom: &Domain, order: u32, bits: u32) -> Result<Mfn, Errno> {
    let count = 1u64 << order;
    charge(dom, count)?;
    let Some(first) = frames::alloc_below(order, bits) else {
        uncharge(dom, count);
        return Err(Errno::ENOMEM);
    };
    let block = first.get()..first.get() + count;
    let _mmu = dom.mmu.lock();
    flush_stale(block.clone().map(Mfn::new));
    let mut pages = dom.pages.lock();
    block.map(Mfn::new).for_each(|mfn| adopt_flushed(&mut pages, dom.id, mfn));
    Ok(first)
}

/// Makes a free frame the domain's. The frame came from the allocator and is charged already; the
/// caller holds the domain's page-table lock, under which no frame changes hands.
pub fn adopt(dom: &Domain, mfn: Mfn) {
    flush_stale([mfn]);
    adopt_flushed(&mut dom.pages.lock(), dom.id, mfn);
}

/// Puts a frame without stale translations into the books of domain `id`.
fn adopt_flushed(pages: &mut Pages, id: DomId, mfn: Mfn) {
    assign(mfn, id, State::ALLOCATED);
    pages.list.push_back(frames::table(), mfn);
}

/// Hides the machine-to-physical array in a root of user mode, if the domain wants that
/// (`VMASST_TYPE_m2p_strict`). The caller holds a reference on the root as one.
#[inline(always)]
pub fn hide_m2p(dom: &Domain, root: Mfn) {
    if dom.assisted(vm_assist::TYPE_M2P_STRICT) {
        Host.store(Host.page(root), M2P_SLOT, 0);
    }
}

/// Shows it in the kernel's, which may have been the user's before.
#[inline(never)]
pub fn show_m2p(root: Mfn) {
    Host.store(Host.page(root), M2P_SLOT, hvslots::entry(M2P_SLOT));
}

/// Gives a frame of the allocator to a domain.
fn assign(mfn: Mfn, owner: DomId, first: State) {
    let given = Host.frame(mfn).and_then(|frame| frame.bring_alive(owner, first));
    assert!(given.is_ok(), "the allocator handed out a frame in use: {mfn:#x}");
}

/// Makes sure no CPU has a translation left from the last lives of these frames. Those that died
/// together have one stamp, and one look serves them.
fn flush_stale(mfns: impl IntoIterator<Item = Mfn>) {
    let mut seen = 0;
    for mfn in mfns {
        let stamp = frames::table().get(mfn.get() as usize).map_or(0, FrameInfo::stamp);
        if stamp != 0 && stamp != seen {
            flush_since(stamp);
            seen = stamp;
        }
    }
}

/// Charges a domain, within its limit.
///
/// # Errors
/// `ENOMEM` over the limit or for a domain that is dying.
pub fn charge(dom: &Domain, count: u64) -> Result<(), Errno> {
    let mut pages = dom.pages.lock();
    let wanted = pages.tot.checked_add(count).ok_or(Errno::ENOMEM)?;
    ensure(wanted <= pages.max && !dom.is_dying(), Errno::ENOMEM)?;
    pages.tot = wanted;
    Ok(())
}

/// Takes a charge back.
pub fn uncharge(dom: &Domain, count: u64) {
    let mut pages = dom.pages.lock();
    pages.tot = pages.tot.saturating_sub(count);
}

/// The last reference of a frame is gone: takes it from its owner and gives it to the allocator, in
/// teardown together with its neighbours.
pub fn frame_released(mfn: Mfn, owner: DomId) {
    let Some(dom) = table::get(owner) else {
        panic!("frame {mfn:#x} of unknown domain {owner} was released");
    };
    scrub(mfn);
    let mut pages = dom.pages.lock();
    // Hypervisor content is not on the list of frames and not charged.
    if !forget_special(&mut pages, mfn) {
        pages.list.remove(frames::table(), mfn);
        pages.tot = pages.tot.saturating_sub(1);
    }
    let is_last = pages.is_empty();
    let number = mfn.get();
    let run = match &mut pages.run {
        Some(run) if run.end == number => {
            run.end += 1;
            None
        }
        Some(run) => Some(mem::replace(run, number..number + 1)),
        None => Some(number..number + 1),
    };
    drop(pages);
    match run {
        // Not in teardown, the usual case.
        Some(run) if run.start == number => frames::free(mfn, 0),
        Some(run) => frames::free_range(run),
        None => {}
    }
    if is_last && dom.is_dying() {
        cpuinfo::raise_work(exit::work::REAP);
    }
}

/// Scrubs a dead frame and gives it to the allocator.
pub fn recycle(mfn: Mfn) {
    scrub(mfn);
    frames::free(mfn, 0);
}

fn scrub(mfn: Mfn) {
    frames::m2p_set(mfn, frames::M2P_INVALID);
    directmap::zero(mfn);
}

/// Takes a clean frame for a domain about to be made.
///
/// # Errors
/// `ENOMEM`.
pub fn take_special(owner: DomId) -> Result<Mfn, Errno> {
    let mfn = frames::alloc(0).ok_or(Errno::ENOMEM)?;
    flush_stale([mfn]);
    directmap::zero(mfn);
    assign(mfn, owner, State::special(PageType::Writable));
    Ok(mfn)
}

/// Adds a frame made by [`take_special`] to its domain's books.
///
/// # Errors
/// `ENOMEM`; the frame is given back.
pub fn add_special(dom: &Domain) -> Result<Mfn, Errno> {
    let mfn = take_special(dom.id)?;
    let mut pages = dom.pages.lock();
    if pages.special.try_reserve(1).is_ok() {
        pages.special.push(mfn);
        return Ok(mfn);
    }
    drop(pages);
    undo_special(mfn);
    Err(Errno::ENOMEM)
}

/// Gives back a frame of a domain that did not come to be. It is in no books, so the allocator
/// gets it directly.
pub fn undo_special(mfn: Mfn) {
    let Some(frame) = frames::table().get(mfn.get() as usize) else { return };
    if frame.try_change(State::drop_special) == Ok(true) {
        recycle(mfn);
    }
}

/// Takes a released frame out of the books; false when it is an ordinary frame.
fn forget_special(pages: &mut Pages, mfn: Mfn) -> bool {
    let found = pages.special.iter().position(|special| *special == mfn);
    found.map(|index| pages.special.swap_remove(index)).is_some()
}

/// Lets go of all special frames of a dead domain.
///
/// The grant table is retired first: uses that still go on are counted, but touch no frame any more.
pub fn release_specials(dom: &Domain) {
    drop(dom.grants.lock().retire());
    let all = dom.pages.lock().special.clone();
    for mfn in all {
        // A frame that was let go of before and is still mapped answers with an error.
        let _ = page::release_special(&Host, mfn);
    }
}
