//! Mapping grants into a domain's page tables, and unmapping them.
//!
//! A mapping for the CPU puts its page references into the page-table entry, where every way of
//! changing the entry finds them; the handle keeps the use of the grant. So an entry that the guest
//! overwrites by other means drops its references once, and the handle can no longer be unmapped by
//! address. Uses end only after stale translations are flushed.

use hv_core::grant::{status_of, Access, GrantError, MapRequest, Mapping, UseKinds};
use hv_core::page::{Entry, MmuState, PageTables};
use hv_machine::cpu;
use hypercall_abi::grant::{GnttabMapGrantRef, GnttabUnmapGrantRef as Unmap};
use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, GrantRef, GuestVa, Mfn};

use super::grant::{answer, each, hold, let_go, release, Entries, OPS_PER_PASS};
use super::mmu::{entry_place, flush_domain};
use super::{Answer, Call};
use crate::current::Here;
use crate::domain::{table, Domain, DomainRef};
use crate::host::{to_end, Host};

/// `GNTTABOP_map_grant_ref`.
#[inline(never)]
pub fn map(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    each::<GnttabMapGrantRef>(call, |at| map_at(here, at))
}

#[inline(never)]
fn map_at(here: &Here, at: u64) -> Answer {
    answer(at, |op: &mut GnttabMapGrantRef| {
        let granter = table::numbered(here, op.dom);
        op.status = status_of(&map_one(here, granter.as_deref(), op));
    })
}

#[inline(always)]
fn map_one(
    here: &Here,
    granter: Option<&DomainRef>,
    op: &mut GnttabMapGrantRef,
) -> Result<(), GrantError> {
    let MapRequest { access, kinds, contains_pte, leaf_bits } = MapRequest::decode(op.flags)?;
    let granter = granter.filter(|dom| !dom.is_dying()).ok_or(GrantError::BadDomain)?;
    let (granter, gref): (&Domain, _) = (granter, op.gref);
    let mut maptrack = here.dom().maptrack.lock();
    let handle = maptrack.reserve()?;
    let own = here.dom().id;
    let frame = granter.grants.lock().acquire(&Entries, gref, own, access, kinds)?;
    // One page reference per kind of mapping.
    let is_held = match kinds {
        UseKinds::HOST => hold(frame, granter.id, access).is_ok(),
        _ => hold_each(frame, granter.id, access, kinds),
    };
    if !is_held {
        end_use(granter, gref, access, kinds);
        return Err(GrantError::BadFrame);
    }
    if kinds.contains(UseKinds::HOST) {
        let nx = if cpu::features().nx { pte::NX } else { 0 };
        let new = Entry::new(pte::make(frame, leaf_bits | nx)).adjusted_leaf();
        if let Err(error) =
            on_tables(here, |own| set_entry(own, contains_pte, op.host_addr, new, None))
        {
            give_up(granter, gref, frame, access, kinds);
            return Err(error);
        }
    }
    op.handle =
        handle.commit(Mapping { granter: granter.id, gref, frame, access, kinds, contains_pte });
    op.dev_bus_addr = frame.maddr();
    Ok(())
}

/// Takes a page reference for each kind, or none.
#[cold]
#[inline(never)]
fn hold_each(frame: Mfn, owner: DomId, access: Access, kinds: UseKinds) -> bool {
    let wanted = usize::from(kinds.count());
    let held = (0..wanted).take_while(|_| hold(frame, owner, access).is_ok()).count();
    if held < wanted {
        (0..held).for_each(|_| let_go(frame, access));
    }
    held == wanted
}

/// Undoes what was done for a mapping that cannot be made.
#[cold]
#[inline(never)]
fn give_up(granter: &Domain, gref: GrantRef, frame: Mfn, access: Access, kinds: UseKinds) {
    (0..kinds.count()).for_each(|_| let_go(frame, access));
    end_use(granter, gref, access, kinds);
}

#[cold]
#[inline(never)]
fn end_use(granter: &Domain, gref: GrantRef, access: Access, kinds: UseKinds) {
    release(granter, gref, access, kinds);
}

/// Ends the use of a grant by kinds of mapping that are gone. The reference of a mapping for the CPU
/// lies in its page-table entry and goes with that; one for a device has a reference of its own.
#[inline(always)]
pub fn end_at(granter: Option<&DomainRef>, mapping: &Mapping) {
    if mapping.kinds.contains(UseKinds::DEVICE) {
        let_go(mapping.frame, mapping.access);
    }
    if let Some(granter) = granter {
        release(granter, mapping.gref, mapping.access, mapping.kinds);
    }
}

/// Does something to the caller's leaf tables; `None` stands for an address that does not do.
#[inline(always)]
fn on_tables(here: &Here, act: impl FnOnce(DomId) -> Option<()>) -> Result<(), GrantError> {
    let dom = here.dom();
    let mut mmu = dom.mmu.lock();
    if mmu.has_work() {
        settle(dom, &mut mmu);
    }
    act(dom.id).ok_or(GrantError::WrongAddress)
}

/// What an earlier operation left over is bounded by the domain's own page tables.
#[cold]
#[inline(never)]
fn settle(dom: &Domain, mmu: &mut MmuState) {
    let _ = to_end(|budget| dom.tables().settle(mmu, budget));
}

/// The place of the page-table entry an address names. Whoever uses it checks the table.
#[inline(always)]
fn slot(tables: PageTables<'_, Host>, contains_pte: bool, addr: u64) -> Option<(Mfn, usize)> {
    if contains_pte {
        return addr.is_multiple_of(8).then(|| entry_place(addr));
    }
    // Kernels make hypercalls, so the tables that are loaded are those of the kernel.
    tables.leaf_place(cpu::current_root(), GuestVa::new(addr))
}

/// Puts an entry, whose references are held, where an address says, and drops those of the one that
/// was there, which must map what is expected. Short of registers, so it stands alone.
#[inline(never)]
fn set_entry(
    owner: DomId,
    contains_pte: bool,
    addr: u64,
    new: Entry,
    expected: Option<Entry>,
) -> Option<()> {
    let tables = PageTables::new(&Host, owner, owner);
    let (table, index) = slot(tables, contains_pte, addr)?;
    tables.drop_leaf(tables.swap_leaf(table, index, new, expected).ok()?);
    Some(())
}

/// Moves the entry of an address to where another one says, in the same manner.
#[cold]
#[inline(never)]
fn move_entry(here: &Here, mapping: &Mapping, op: &Unmap, old: Entry) -> Result<(), GrantError> {
    on_tables(here, |own| {
        let tables = PageTables::new(&Host, own, own);
        let (table, index) = slot(tables, mapping.contains_pte, op.host_addr)?;
        // An entry cannot replace itself: it would stay, and its references would go.
        let source =
            slot(tables, false, op.dev_bus_addr).filter(|source| *source != (table, index))?;
        let new = tables.read_leaf(source.0, source.1).ok()?;
        let old = tables.swap_leaf(table, index, new, Some(old)).ok()?;
        // The references moved along with the entry.
        let moved = tables.swap_leaf(source.0, source.1, Entry::new(0), None);
        debug_assert!(moved.is_ok());
        tables.drop_leaf(old);
        Some(())
    })
}

/// `GNTTABOP_unmap_grant_ref` and `GNTTABOP_unmap_and_replace`: unmaps, flushes once for all entries
/// that went, and only then ends the uses of the grants.
#[inline(never)]
pub fn unmap<const REPLACE: bool>(call: &mut Call<'_>) -> Answer {
    // Most calls have one element, and need no room for more.
    if call.args[2] != 1 {
        return unmap_several::<REPLACE>(call);
    }
    let (here, mut gone) = (call.here, Mapping::default());
    let result = unmap_at::<REPLACE>(here, call.args[1], &mut gone);
    if !gone.kinds.is_empty() {
        flush_domain(here.dom());
        end(here, &gone);
    }
    result
}

#[inline(never)]
fn unmap_several<const REPLACE: bool>(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    let mut room = [Mapping::default(); OPS_PER_PASS as usize];
    let mut unused = room.iter_mut();
    let result = each::<Unmap>(call, |at| {
        unused.next().map_or(Ok(0), |gone| unmap_at::<REPLACE>(here, at, gone))
    });
    let mut gone = room.iter().filter(|mapping| !mapping.kinds.is_empty()).peekable();
    if gone.peek().is_some() {
        flush_domain(here.dom());
    }
    gone.for_each(|mapping| end(here, mapping));
    result
}

#[inline(never)]
fn unmap_at<const REPLACE: bool>(here: &Here, at: u64, gone: &mut Mapping) -> Answer {
    answer(at, |op: &mut Unmap| op.status = status_of(&unmap_one::<REPLACE>(here, op, gone)))
}

/// Ends the uses of a grant that are gone.
#[inline(always)]
fn end(here: &Here, gone: &Mapping) {
    if gone.granter == here.dom().id {
        end_at(Some(here.dom()), gone);
    } else {
        end_at(table::get(gone.granter).as_ref(), gone);
    }
}

/// Takes away what the addresses name; `gone` becomes the kinds that are gone.
#[inline(always)]
fn unmap_one<const REPLACE: bool>(
    here: &Here,
    op: &Unmap,
    gone: &mut Mapping,
) -> Result<(), GrantError> {
    // Where one operation has the address for devices, the other has the one to be replaced.
    let (device, from) = if REPLACE { (0, op.dev_bus_addr) } else { (op.dev_bus_addr, 0) };
    let mut maptrack = here.dom().maptrack.lock();
    let found = maptrack.lookup(op.handle)?;
    let kinds = found.mapping().plan_unmap(op.host_addr, device)?;
    if kinds.contains(UseKinds::HOST) {
        let Mapping { frame, access, contains_pte, .. } = *found.mapping();
        let rights = if access == Access::ReadWrite { pte::RW } else { 0 };
        let old = Entry::new(pte::make(frame, rights | pte::PRESENT));
        match from {
            0 => on_tables(here, |own| {
                set_entry(own, contains_pte, op.host_addr, Entry::new(0), Some(old))
            }),
            _ => move_entry(here, found.mapping(), op, old),
        }?;
    }
    *gone = Mapping { kinds, ..*found.mapping() };
    found.remove(kinds);
    Ok(())
}
