//! Mapping grants into a domain's page tables, and unmapping them.
//!
//! A mapping for the CPU puts its page references into the page-table entry, where every way of
//! changing the entry finds them; the handle keeps the use of the grant. So an entry that the guest
//! overwrites by other means drops its references once, and the handle can no longer be unmapped by
//! address. Uses end only after stale translations are flushed.

use core::sync::atomic::Ordering;
use hv_core::grant::{Access, GrantError, MapKinds, MapRequest, Mapping, Usage};
use hv_core::page::{self, Entry, ExpectedLeaf, PageRef, PageTables, WritableRef};
use hv_machine::{cpu, tlb};
use hypercall_abi::addr::{GuestVa, Mfn};
use hypercall_abi::grant::{
    gntst, GnttabMapGrantRef, GnttabUnmapAndReplace, GnttabUnmapGrantRef, GrantHandle,
};
use hypercall_abi::mmu::pte;

use super::grant::{acquire, go_on, release, OPS_PER_PASS};
use super::mmu::BUDGET;
use super::{grant, Call, Outcome};
use crate::current::Here;
use crate::domain::{table, Domain};
use crate::guestmem;
use crate::host::Host;

/// `GNTTABOP_map_grant_ref`.
pub fn map(call: &mut Call<'_>, count: u64) -> Outcome {
    grant::each(call, count, |here, op: &mut GnttabMapGrantRef| match map_one(here, op) {
        Ok((handle, frame)) => {
            op.status = gntst::OKAY;
            op.handle = handle;
            op.dev_bus_addr = frame.maddr();
        }
        Err(error) => op.status = error.status(),
    })
}

fn map_one(here: &Here, op: &GnttabMapGrantRef) -> Result<(GrantHandle, Mfn), GrantError> {
    let request = MapRequest::decode(op.flags)?;
    let granter = table::get(op.dom).ok_or(GrantError::BadDomain)?;
    if granter.is_dying() {
        return Err(GrantError::BadDomain);
    }
    let mapper = here.dom();
    let mut maptrack = mapper.maptrack.lock();
    let handle = maptrack.reserve()?;
    let mapped = map_reserved(here, &granter, &request, op);
    match mapped {
        Ok(frame) => {
            let mapping = Mapping {
                granter: granter.id,
                gref: op.gref,
                frame,
                access: request.access,
                kinds: request.kinds,
                contains_pte: request.contains_pte,
            };
            maptrack.commit(handle, mapping);
            Ok((handle, frame))
        }
        Err(error) => {
            maptrack.cancel(handle);
            Err(error)
        }
    }
}

fn map_reserved(
    here: &Here,
    granter: &Domain,
    request: &MapRequest,
    op: &GnttabMapGrantRef,
) -> Result<Mfn, GrantError> {
    let usage = Usage::Map(request.kinds);
    let frame = acquire(granter, op.gref, here.dom().id, request.access, usage)?;
    take_references(granter, request, frame)
        .and_then(|()| {
            if !request.kinds.contains(MapKinds::HOST) {
                return Ok(());
            }
            write_entry(here, request, op.host_addr, frame).inspect_err(|_| {
                drop_references(request.access, request.kinds, frame);
            })
        })
        .inspect_err(|_| release(granter, op.gref, request.access, request.kinds))?;
    Ok(frame)
}

/// One set of references per kind of mapping.
fn take_references(granter: &Domain, request: &MapRequest, frame: Mfn) -> Result<(), GrantError> {
    let mut taken = MapKinds::empty();
    for kind in request.kinds.iter() {
        if take_reference(granter, request.access, frame).is_err() {
            drop_references(request.access, taken, frame);
            return Err(GrantError::BadFrame);
        }
        taken |= kind;
    }
    Ok(())
}

fn take_reference(granter: &Domain, access: Access, frame: Mfn) -> Result<(), page::PageError> {
    match access {
        Access::ReadOnly => page::get_page(&Host, frame, granter.id).map(|held| {
            let _ = held.into_raw();
        }),
        Access::ReadWrite => page::get_writable(&Host, frame, granter.id).map(|held| {
            let _ = held.into_raw();
        }),
    }
}

fn drop_references(access: Access, kinds: MapKinds, frame: Mfn) {
    for _ in kinds.iter() {
        match access {
            Access::ReadOnly => page::put_page(&Host, PageRef::from_raw(frame)),
            Access::ReadWrite => page::put_writable(&Host, WritableRef::from_raw(frame)),
        }
    }
}

/// Drops what a mapping for devices holds.
pub fn drop_device_reference(mapping: &Mapping) {
    drop_references(mapping.access, MapKinds::DEVICE, mapping.frame);
}

/// The place of the page-table entry an address names.
fn slot(
    here: &Here,
    tables: &PageTables<'_, Host>,
    contains_pte: bool,
    addr: u64,
) -> Option<(Mfn, usize)> {
    if contains_pte {
        return (addr % 8 == 0).then(|| (Mfn::from_maddr(addr), (addr as usize & 0xfff) / 8));
    }
    let root = here.vcpu().state.lock().root?;
    tables.leaf_slot(root, GuestVa::new(addr))
}

fn write_entry(
    here: &Here,
    request: &MapRequest,
    addr: u64,
    frame: Mfn,
) -> Result<(), GrantError> {
    let dom = here.dom();
    let mut bits = pte::PRESENT | pte::ACCESSED | pte::DIRTY | request.avail_bits;
    if cpu::features().nx {
        bits |= pte::NX;
    }
    if request.access == Access::ReadWrite {
        bits |= pte::RW;
    }
    if request.for_user {
        bits |= pte::USER;
    }
    let entry = Entry::new(pte::make(frame, bits)).adjusted_leaf();
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut mmu = dom.mmu.lock();
    let mut budget = BUDGET;
    // What an earlier operation left over is bounded by the domain's own page tables.
    while tables.settle(&mut mmu, &mut budget).is_err() {
        budget = BUDGET;
        tlb::service();
    }
    let (table, index) =
        slot(here, &tables, request.contains_pte, addr).ok_or(GrantError::WrongAddress)?;
    let old = tables
        .swap_leaf(table, index, entry, None)
        .map_err(|_| GrantError::WrongAddress)?;
    tables.drop_leaf(old);
    Ok(())
}

/// Uses that end when the flush at the end of a pass is done.
struct Ended {
    list: [Option<(Mapping, MapKinds)>; OPS_PER_PASS as usize],
    len: usize,
}

impl Ended {
    fn new() -> Self {
        Self { list: [None; OPS_PER_PASS as usize], len: 0 }
    }

    fn push(&mut self, mapping: Mapping, kinds: MapKinds) {
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = Some((mapping, kinds));
            self.len += 1;
        }
    }

    /// Flushes once for all entries that went, then gives the grants back.
    fn finish(self, here: &Here) {
        if self.len == 0 {
            return;
        }
        tlb::flush_cpus(here.dom().dirty_cpus.load(Ordering::SeqCst), tlb::Flush::All);
        for (mapping, kinds) in self.list.into_iter().flatten() {
            if kinds.contains(MapKinds::DEVICE) {
                drop_device_reference(&mapping);
            }
            if let Some(granter) = table::get(mapping.granter) {
                release(&granter, mapping.gref, mapping.access, kinds);
            }
        }
    }
}

/// `GNTTABOP_unmap_grant_ref`.
pub fn unmap(call: &mut Call<'_>, count: u64) -> Outcome {
    pass(call, count, |here, op: &mut GnttabUnmapGrantRef, ended| {
        let result = unmap_one(here, op.handle, op.host_addr, op.dev_bus_addr, None, ended);
        op.status = hv_core::grant::status_of(&result);
    })
}

/// `GNTTABOP_unmap_and_replace`.
pub fn unmap_and_replace(call: &mut Call<'_>, count: u64) -> Outcome {
    pass(call, count, |here, op: &mut GnttabUnmapAndReplace, ended| {
        let result = unmap_one(here, op.handle, op.host_addr, 0, Some(op.new_addr), ended);
        op.status = hv_core::grant::status_of(&result);
    })
}

fn pass<T>(
    call: &mut Call<'_>,
    count: u64,
    apply: impl Fn(&Here, &mut T, &mut Ended),
) -> Outcome
where
    T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable,
{
    let list = call.args[1];
    let mut ended = Ended::new();
    let mut fault = None;
    for index in 0..count.min(OPS_PER_PASS) {
        let result = guestmem::read_at::<T>(list, index).and_then(|mut op| {
            apply(call.here, &mut op, &mut ended);
            guestmem::write_at(list, index, &op)
        });
        if let Err(errno) = result {
            fault = Some(errno);
            break;
        }
    }
    ended.finish(call.here);
    match fault {
        Some(errno) => errno.into(),
        None => go_on::<T>(call, count, count.min(OPS_PER_PASS)),
    }
}

fn unmap_one(
    here: &Here,
    handle: GrantHandle,
    host_addr: u64,
    dev_bus_addr: u64,
    replace: Option<u64>,
    ended: &mut Ended,
) -> Result<(), GrantError> {
    let mut maptrack = here.dom().maptrack.lock();
    let mapping = maptrack.lookup(handle)?;
    let kinds = mapping.plan_unmap(host_addr, dev_bus_addr)?;
    if kinds.contains(MapKinds::HOST) {
        clear_entry(here, &mapping, host_addr, replace)?;
    }
    let removed = maptrack.remove(handle, kinds)?;
    ended.push(mapping, removed.kinds);
    Ok(())
}

/// Takes the entry of a mapping out, or puts that of another address in its place.
fn clear_entry(
    here: &Here,
    mapping: &Mapping,
    addr: u64,
    replace: Option<u64>,
) -> Result<(), GrantError> {
    let dom = here.dom();
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut mmu = dom.mmu.lock();
    let mut budget = BUDGET;
    while tables.settle(&mut mmu, &mut budget).is_err() {
        budget = BUDGET;
        tlb::service();
    }
    let wrong = |_| GrantError::WrongAddress;
    let place = slot(here, &tables, mapping.contains_pte, addr).ok_or(GrantError::WrongAddress)?;
    let expected = ExpectedLeaf {
        mfn: mapping.frame,
        is_writable: mapping.access == Access::ReadWrite,
    };
    let mut new = Entry::new(0);
    let mut from = None;
    if let Some(new_addr) = replace.filter(|addr| *addr != 0) {
        let source = slot(here, &tables, false, new_addr).ok_or(GrantError::WrongAddress)?;
        new = tables.read_leaf(source.0, source.1).map_err(wrong)?;
        from = Some(source);
    }
    let old = tables.swap_leaf(place.0, place.1, new, Some(expected)).map_err(wrong)?;
    if let Some((table, index)) = from.filter(|source| *source != place) {
        // The references moved along with the entry.
        let moved = tables.swap_leaf(table, index, Entry::new(0), None);
        debug_assert!(moved.is_ok());
    }
    tables.drop_leaf(old);
    Ok(())
}
