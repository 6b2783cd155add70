//! `grant_table_op`: the frame around all grant operations, and those about the table itself.
//!
//! Each element of the list gets its own status; the call fails only when the list cannot be read
//! or written. A bounded number of elements is done per entry of the hypervisor.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use hv_core::grant::{check_version, status_of, Access, EntryPlace, GrantError, MapKinds, Mapping};
use hv_core::grant::{SharedEntries, Usage};
use hv_core::page;
use hv_machine::{cpuinfo, directmap};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::grant::{
    self as cmd, gntst, GnttabGetVersion, GnttabQuerySize, GnttabSetVersion, GnttabSetupTable,
    GnttabSwapGrantRef,
};
use hypercall_abi::ids::{DomId, GrantRef};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{grant_copy, grant_map, Call, Outcome};
use crate::current::Here;
use crate::domain::{special, table, Domain, DomainRef};
use crate::host::Host;
use crate::{exit, guestmem};

/// Elements done per entry of the hypervisor.
pub const OPS_PER_PASS: u64 = 32;

/// `grant_table_op(cmd, ops, count)`.
pub fn grant_table_op(call: &mut Call<'_>) -> Outcome {
    let [command, list, count, ..] = call.args;
    let count = count as u32;
    if i32::try_from(count).is_err() {
        return Errno::EINVAL.into();
    }
    let count = u64::from(count);
    match command as u32 {
        cmd::MAP_GRANT_REF => grant_map::map(call, count),
        cmd::UNMAP_GRANT_REF => grant_map::unmap(call, count),
        cmd::UNMAP_AND_REPLACE => grant_map::unmap_and_replace(call, count),
        cmd::SETUP_TABLE => setup_table(call.here, list, count).into(),
        cmd::COPY => grant_copy::copy(call, count),
        cmd::QUERY_SIZE => query_size(call.here, list, count).into(),
        cmd::SET_VERSION => set_version(list).into(),
        cmd::GET_VERSION => get_version(call.here, list).into(),
        cmd::SWAP_GRANT_REF => each(call, count, swap),
        cmd::TRANSFER => each(call, count, |_, op: &mut cmd::GnttabTransfer| {
            op.status = gntst::GENERAL_ERROR;
        }),
        _ => Errno::ENOSYS.into(),
    }
}

/// Applies an operation to each element of the list, a bounded number at a time.
pub fn each<T: FromBytes + IntoBytes + Immutable>(
    call: &mut Call<'_>,
    count: u64,
    apply: impl Fn(&Here, &mut T),
) -> Outcome {
    let list = call.args[1];
    for index in 0..count.min(OPS_PER_PASS) {
        let mut op: T = match guestmem::read_at(list, index) {
            Ok(op) => op,
            Err(errno) => return errno.into(),
        };
        apply(call.here, &mut op);
        if let Err(errno) = guestmem::write_at(list, index, &op) {
            return errno.into();
        }
    }
    go_on::<T>(call, count, count.min(OPS_PER_PASS))
}

/// Ends the call, or continues it behind the elements that are done.
pub fn go_on<T>(call: &mut Call<'_>, count: u64, done: u64) -> Outcome {
    if done >= count {
        return Outcome::Done(0);
    }
    match guestmem::element::<T>(call.args[1], done) {
        Ok(rest) => {
            call.args[1] = rest;
            call.args[2] = count - done;
            Outcome::Again
        }
        Err(errno) => errno.into(),
    }
}

/// The shared entries, reached through the direct map.
struct Entries;

fn header(at: EntryPlace) -> &'static AtomicU32 {
    &directmap::words32(at.frame)[at.index * 2]
}

impl SharedEntries for Entries {
    fn load(&self, at: EntryPlace) -> u32 {
        header(at).load(Ordering::SeqCst)
    }

    fn compare_exchange(&self, at: EntryPlace, old: u32, new: u32) -> Result<(), u32> {
        header(at).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).map(|_| ())
    }

    fn frame(&self, at: EntryPlace) -> u32 {
        directmap::words32(at.frame)[at.index * 2 + 1].load(Ordering::SeqCst)
    }

    fn clear_flags(&self, at: EntryPlace, mask: u16) {
        header(at).fetch_and(!u32::from(mask), Ordering::SeqCst);
    }

    fn store(&self, at: EntryPlace, header: u32, frame: u32) {
        let value = u64::from(header) | u64::from(frame) << 32;
        directmap::table(at.frame)[at.index].store(value, Ordering::SeqCst);
    }
}

/// Begins a use of a grant: the frame it stands for.
///
/// # Errors
/// What the core says.
pub fn acquire(
    granter: &Domain,
    gref: GrantRef,
    mapper: DomId,
    access: Access,
    usage: Usage,
) -> Result<Mfn, GrantError> {
    granter.grants.lock().acquire(&Entries, gref, mapper, access, usage)
}

/// Ends a use of a grant.
pub fn release(granter: &Domain, gref: GrantRef, access: Access, kinds: MapKinds) {
    granter.grants.lock().release(&Entries, gref, access, kinds);
    if granter.dead.load(Ordering::SeqCst) {
        cpuinfo::raise_work(exit::work::REAP);
    }
}

/// A domain named in a grant operation, if the caller may act for it.
fn granter(here: &Here, id: DomId) -> Result<DomainRef, GrantError> {
    match table::target(here, id) {
        Ok(dom) => Ok(dom),
        Err(Errno::ESRCH) => Err(GrantError::BadDomain),
        Err(_) => Err(GrantError::ForeignFrame),
    }
}

fn setup_table(here: &Here, list: u64, count: u64) -> Result<(), Errno> {
    if count != 1 {
        return Err(Errno::EINVAL);
    }
    let mut op: GnttabSetupTable = guestmem::read(list)?;
    let result = granter(here, op.dom).and_then(|dom| grow(&dom, op.nr_frames).map(|()| dom));
    op.status = status_of(&result);
    if let Ok(dom) = result {
        let frames = dom.grants.lock().frames().to_vec();
        for (index, mfn) in frames.iter().take(op.nr_frames as usize).enumerate() {
            if guestmem::write_at(op.frame_list.get(), index as u64, mfn).is_err() {
                op.status = gntst::BAD_VIRT_ADDR;
            }
        }
    }
    guestmem::write(list, &op)
}

/// Gives the table at least `wanted` frames.
fn grow(dom: &Domain, wanted: u32) -> Result<(), GrantError> {
    let missing = dom.grants.lock().frames_missing(wanted)?;
    for _ in 0..missing {
        let mfn = special::add(dom).map_err(|_| GrantError::NoMemory)?;
        let added = dom.grants.lock().add_frame(mfn);
        if added.is_err() {
            // Another vCPU was quicker; the frame is not needed.
            let _ = page::release_special(&Host, mfn);
            return added;
        }
    }
    Ok(())
}

/// Shared frames from an index on, the table grown as needed, for a toolstack.
///
/// # Errors
/// `EINVAL` beyond the domain's limit, `ENOMEM`.
pub fn frames_from(dom: &Domain, first: u64, count: u32) -> Result<Vec<Mfn>, Errno> {
    let end = first.checked_add(u64::from(count)).ok_or(Errno::EINVAL)?;
    let end = u32::try_from(end).map_err(|_| Errno::EINVAL)?;
    grow(dom, end).map_err(|error| match error {
        GrantError::NoMemory => Errno::ENOMEM,
        _ => Errno::EINVAL,
    })?;
    let table = dom.grants.lock();
    let mut list = Vec::new();
    list.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    list.extend(table.frames().iter().skip(first as usize).take(count as usize));
    Ok(list)
}

fn query_size(here: &Here, list: u64, count: u64) -> Result<(), Errno> {
    if count != 1 {
        return Err(Errno::EINVAL);
    }
    let mut op: GnttabQuerySize = guestmem::read(list)?;
    let found = granter(here, op.dom);
    op.status = status_of(&found);
    if let Ok(dom) = found {
        let table = dom.grants.lock();
        op.nr_frames = table.frames().len() as u32;
        op.max_nr_frames = table.max_frames();
    }
    guestmem::write(list, &op)
}

fn set_version(list: u64) -> Result<(), Errno> {
    let op: GnttabSetVersion = guestmem::read(list)?;
    check_version(op.version).map_err(Errno::from)?;
    guestmem::write(list, &GnttabSetVersion { version: 1 })
}

fn get_version(here: &Here, list: u64) -> Result<(), Errno> {
    let mut op: GnttabGetVersion = guestmem::read(list)?;
    table::target(here, op.dom)?;
    op.version = 1;
    guestmem::write(list, &op)
}

fn swap(here: &Here, op: &mut GnttabSwapGrantRef) {
    let swapped = here.dom().grants.lock().swap(&Entries, op.ref_a, op.ref_b);
    op.status = status_of(&swapped);
}

/// Lets go of a mapping of a dying domain. Its page-table entry holds its own references and goes
/// with the page tables; a mapping for a device holds references of its own.
pub fn release_dead(_mapper: &Domain, mapping: &Mapping) {
    if mapping.kinds.contains(MapKinds::DEVICE) {
        grant_map::drop_device_reference(mapping);
    }
    if let Some(granter) = table::get(mapping.granter) {
        release(&granter, mapping.gref, mapping.access, mapping.kinds);
    }
}
