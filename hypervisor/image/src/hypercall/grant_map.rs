//! Mapping grants into a domain's page tables, and unmapping them.
//!
//! A mapping for the CPU puts its page references into the page-table entry, where every way of
//! changing the entry finds them; the handle keeps the use of the grant. So an entry that the guest
//! overwrites by other means drops its references once, and the handle can no longer be unmapped by
//! address. Uses end only after stale translations are flushed.

use hv_core::grant::{status_of, Access, GrantError, MapRequest, Mapping, UseKinds};
use hv_core::page::{Entry, ExpectedLeaf, PageTables};
use hv_machine::{cpu, tlb};
use hypercall_abi::grant::{
    GnttabMapGrantRef, GnttabUnmapAndReplace, GnttabUnmapGrantRef, GrantHandle,
};
use hypercall_abi::mmu::pte;
use hypercall_abi::{GuestVa, Mfn};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::grant::{acquire, each, hold, let_go, release, OPS_PER_PASS};
use super::mmu::{entry_place, flush_domain, BUDGET};
use super::{Answer, Call};
use crate::current::Here;
use crate::domain::{table, Domain, DomainRef};
use crate::host::Host;

/// `GNTTABOP_map_grant_ref`.
#[inline(never)]
pub fn map(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    each(call, |op: &mut GnttabMapGrantRef| op.status = status_of(&map_one(here, op)))
}

fn map_one(here: &Here, op: &mut GnttabMapGrantRef) -> Result<(), GrantError> {
    let request = MapRequest::decode(op.flags)?;
    let granter = table::numbered(here, op.dom).filter(|dom| !dom.is_dying());
    let granter = granter.ok_or(GrantError::BadDomain)?;
    let mut maptrack = here.dom().maptrack.lock();
    let handle = maptrack.reserve()?;
    let mapping = map_reserved(here, &granter, &request, op)?;
    op.handle = handle.commit(mapping);
    op.dev_bus_addr = mapping.frame.maddr();
    Ok(())
}

fn map_reserved(
    here: &Here,
    granter: &Domain,
    request: &MapRequest,
    op: &GnttabMapGrantRef,
) -> Result<Mapping, GrantError> {
    let MapRequest { access, kinds, contains_pte, .. } = *request;
    let frame = acquire(granter, op.gref, here.dom().id, access, kinds)?;
    // One page reference per kind of mapping.
    let wanted = kinds.count();
    let mut held = 0;
    while held < wanted && hold(frame, granter.id, access).is_ok() {
        held += 1;
    }
    let mapped = if held < wanted {
        Err(GrantError::BadFrame)
    } else if kinds.contains(UseKinds::HOST) {
        write_entry(here, request, op.host_addr, frame)
    } else {
        Ok(())
    };
    mapped.inspect_err(|_| {
        (0..held).for_each(|_| let_go(frame, access));
        release(granter, op.gref, access, kinds);
    })?;
    Ok(Mapping { granter: granter.id, gref: op.gref, frame, access, kinds, contains_pte })
}

/// Ends the use of a grant by kinds of mapping that are gone. The reference of a mapping for the CPU
/// lies in its page-table entry and goes with that; one for a device has a reference of its own.
pub fn end(granter: Option<&DomainRef>, mapping: &Mapping) {
    if mapping.kinds.contains(UseKinds::DEVICE) {
        let_go(mapping.frame, mapping.access);
    }
    if let Some(granter) = granter {
        release(granter, mapping.gref, mapping.access, mapping.kinds);
    }
}

/// Does something to the caller's leaf tables; `None` stands for an address that does not do.
fn on_tables<R>(
    here: &Here,
    act: impl FnOnce(&PageTables<'_, Host>) -> Option<R>,
) -> Result<R, GrantError> {
    let dom = here.dom();
    let tables = dom.tables();
    let mut mmu = dom.mmu.lock();
    let mut budget = BUDGET;
    // What an earlier operation left over is bounded by the domain's own page tables.
    while tables.settle(&mut mmu, &mut budget).is_err() {
        budget = BUDGET;
        tlb::service();
    }
    act(&tables).ok_or(GrantError::WrongAddress)
}

/// The place of the page-table entry an address names. Whoever uses it checks the table.
#[inline(always)]
fn slot(
    here: &Here,
    tables: &PageTables<'_, Host>,
    contains_pte: bool,
    addr: u64,
) -> Option<(Mfn, usize)> {
    if contains_pte {
        return (addr.is_multiple_of(8)).then(|| entry_place(addr));
    }
    let root = here.vcpu().state.lock().root?;
    tables.leaf_place(root, GuestVa::new(addr))
}

fn write_entry(here: &Here, request: &MapRequest, addr: u64, frame: Mfn) -> Result<(), GrantError> {
    let flag = |wanted, bit| if wanted { bit } else { 0 };
    let bits = pte::PRESENT
        | pte::ACCESSED
        | pte::DIRTY
        | request.avail_bits
        | flag(cpu::features().nx, pte::NX)
        | flag(request.access == Access::ReadWrite, pte::RW)
        | flag(request.for_user, pte::USER);
    let entry = Entry::new(pte::make(frame, bits)).adjusted_leaf();
    on_tables(here, |tables| {
        let (table, index) = slot(here, tables, request.contains_pte, addr)?;
        let old = tables.swap_leaf(table, index, entry, None).ok()?;
        tables.drop_leaf(old);
        Some(())
    })
}

/// `GNTTABOP_unmap_grant_ref`.
#[inline(never)]
pub fn unmap(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    unmap_each(call, |op: &mut GnttabUnmapGrantRef| {
        let unmapped = unmap_one(here, op.handle, op.host_addr, op.dev_bus_addr, 0);
        op.status = status_of(&unmapped);
        unmapped.ok()
    })
}

/// `GNTTABOP_unmap_and_replace`.
#[inline(never)]
pub fn unmap_and_replace(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    unmap_each(call, |op: &mut GnttabUnmapAndReplace| {
        let unmapped = unmap_one(here, op.handle, op.host_addr, 0, op.new_addr);
        op.status = status_of(&unmapped);
        unmapped.ok()
    })
}

/// Unmaps, flushes once for all entries that went, and only then ends the uses of the grants.
fn unmap_each<T>(call: &mut Call<'_>, unmap: impl Fn(&mut T) -> Option<Mapping>) -> Answer
where
    T: FromBytes + IntoBytes + Immutable,
{
    // Most calls have one element, and need no room for more.
    match call.args[2] {
        1 => unmap_up_to::<1, T>(call, unmap),
        _ => unmap_up_to::<{ OPS_PER_PASS as usize }, T>(call, unmap),
    }
}

fn unmap_up_to<const N: usize, T>(
    call: &mut Call<'_>,
    unmap: impl Fn(&mut T) -> Option<Mapping>,
) -> Answer
where
    T: FromBytes + IntoBytes + Immutable,
{
    let here = call.here;
    let mut unmapped = [None; N];
    let mut count = 0;
    let answer = each(call, |op| {
        if let (Some(mapping), Some(slot)) = (unmap(op), unmapped.get_mut(count)) {
            *slot = Some(mapping);
            count += 1;
        }
    });
    if count != 0 {
        flush_domain(here.dom());
    }
    for mapping in unmapped.iter().take(count).flatten() {
        let granter = table::numbered(here, mapping.granter);
        end(granter.as_deref(), mapping);
    }
    answer
}

/// Takes away what the addresses name; the answer has the kinds that are gone.
fn unmap_one(
    here: &Here,
    handle: GrantHandle,
    host_addr: u64,
    dev_bus_addr: u64,
    new_addr: u64,
) -> Result<Mapping, GrantError> {
    let mut maptrack = here.dom().maptrack.lock();
    let mapping = maptrack.lookup(handle)?;
    let kinds = mapping.plan_unmap(host_addr, dev_bus_addr)?;
    if kinds.contains(UseKinds::HOST) {
        clear_entry(here, &mapping, host_addr, new_addr)?;
    }
    maptrack.remove(handle, kinds)?;
    Ok(Mapping { kinds, ..mapping })
}

/// Takes the entry of a mapping out, or puts that of another address, if not 0, in its place.
fn clear_entry(here: &Here, mapping: &Mapping, addr: u64, new_addr: u64) -> Result<(), GrantError> {
    let (mfn, is_writable) = (mapping.frame, mapping.access == Access::ReadWrite);
    on_tables(here, |tables| {
        let place = slot(here, tables, mapping.contains_pte, addr)?;
        let source = match new_addr {
            0 => None,
            // An entry cannot replace itself: it would stay, and its references would go.
            _ => Some(slot(here, tables, false, new_addr).filter(|source| *source != place)?),
        };
        let read = |(table, index)| tables.read_leaf(table, index).ok();
        let new = source.map_or(Some(Entry::new(0)), read)?;
        let expected = ExpectedLeaf { mfn, is_writable };
        let old = tables.swap_leaf(place.0, place.1, new, Some(expected)).ok()?;
        if let Some((table, index)) = source {
            // The references moved along with the entry.
            let moved = tables.swap_leaf(table, index, Entry::new(0), None);
            debug_assert!(moved.is_ok());
        }
        tables.drop_leaf(old);
        Some(())
    })
}
