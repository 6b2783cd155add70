//! `grant_table_op`: the frame around all grant operations, and those about the table itself.
//!
//! Each element of the list gets its own status; the call fails only when the list cannot be read
//! or written. A bounded number of elements is done per entry of the hypervisor.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::grant::SharedEntries;
use hv_core::grant::{check_version, status_of, Access, EntryPlace, GrantError, UseKinds};
use hv_core::page::{self, PageError, PageRef, WritableRef};
use hv_machine::{cpuinfo, directmap};
use hypercall_abi::grant::{self as abi, gntst};
use hypercall_abi::{DomId, Errno, GrantRef, GuestVa, Mfn};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{ensure, grant_copy, grant_map, Answer, Call, End};
use crate::current::Here;
use crate::domain::{
    memory,
    table::{self, Named},
    Domain,
};
use crate::host::Host;
use crate::{exit, guestmem};

/// Elements done per entry of the hypervisor.
pub const OPS_PER_PASS: u32 = 32;

/// `grant_table_op(cmd, ops, count)`: only a jump to the operations that matter.
pub fn grant_table_op(call: &mut Call<'_>) -> Answer {
    ensure(call.args[2] as i32 >= 0, Errno::EINVAL)?;
    match call.args[0] as u32 {
        abi::MAP_GRANT_REF => grant_map::map(call),
        abi::UNMAP_GRANT_REF => grant_map::unmap::<false>(call),
        abi::COPY => grant_copy::copy(call),
        _ => other(call),
    }
}

#[inline(never)]
fn other(call: &mut Call<'_>) -> Answer {
    let [command, list, count, ..] = call.args;
    let (here, count) = (call.here, count as u32);
    match command as u32 {
        abi::UNMAP_AND_REPLACE => return grant_map::unmap::<true>(call),
        abi::SWAP_GRANT_REF => {
            return each::<abi::GnttabSwapGrantRef>(call, |at| answer(at, |op| swap(here, op)))
        }
        abi::TRANSFER => {
            return each::<abi::GnttabTransfer>(call, |at| answer(at, refuse_transfer))
        }
        abi::SETUP_TABLE if count == 1 => guestmem::update(list, |op| setup(here, op))?,
        abi::QUERY_SIZE if count == 1 => guestmem::update(list, |op| size(here, op))?,
        abi::SETUP_TABLE | abi::QUERY_SIZE => return Err(Errno::EINVAL.into()),
        abi::SET_VERSION => guestmem::update(list, set_version)?,
        abi::GET_VERSION => guestmem::update(list, |op| get_version(here, op))?,
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// Applies an operation to the address of each element of the list, a bounded number at a time.
#[inline(always)]
pub fn each<T>(call: &mut Call<'_>, mut apply: impl FnMut(u64) -> Answer) -> Answer {
    // Most calls have one element.
    match call.args[2] as u32 {
        1 => apply(call.args[1]),
        count => several::<T>(call, count, apply),
    }
}

#[inline(never)]
fn several<T>(call: &mut Call<'_>, count: u32, mut apply: impl FnMut(u64) -> Answer) -> Answer {
    for _ in 0..count.min(OPS_PER_PASS) {
        apply(call.args[1])?;
        call.args[1] = call.args[1].wrapping_add(size_of::<T>() as u64);
    }
    call.args[2] = u64::from(count.saturating_sub(OPS_PER_PASS));
    match call.args[2] {
        0 => Ok(0),
        _ => Err(End::AGAIN),
    }
}

/// Lets an operation work on a copy of its element.
#[inline(always)]
pub fn answer<T: FromBytes + IntoBytes + Immutable>(at: u64, act: impl FnOnce(&mut T)) -> Answer {
    guestmem::update(at, |op| {
        act(op);
        Ok(())
    })?;
    Ok(0)
}

/// The shared entries, reached through the direct map.
pub struct Entries;

impl SharedEntries for Entries {
    type Entry = &'static AtomicU64;

    #[inline]
    fn find(&self, at: EntryPlace) -> &'static AtomicU64 {
        &directmap::table(at.frame)[at.index]
    }

    #[inline]
    fn load(&self, entry: &AtomicU64) -> u64 {
        entry.load(Ordering::SeqCst)
    }

    #[inline]
    fn compare_exchange(&self, entry: &AtomicU64, old: u64, new: u64) -> Result<(), u64> {
        entry.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).map(|_| ())
    }

    #[inline]
    fn clear_flags(&self, entry: &AtomicU64, mask: u16) {
        entry.fetch_and(!u64::from(mask), Ordering::SeqCst);
    }

    fn store(&self, entry: &AtomicU64, value: u64) {
        entry.store(value, Ordering::SeqCst);
    }
}

/// Ends a use of a grant.
#[inline(always)]
pub fn release(granter: &Domain, gref: GrantRef, access: Access, kinds: UseKinds) {
    granter.grants.lock().release(&Entries, gref, access, kinds);
    if granter.dead.load(Ordering::SeqCst) {
        cpuinfo::raise_work(exit::work::REAP);
    }
}

/// Takes the page reference that a use of a frame needs.
///
/// # Errors
/// The frame is not the owner's, or cannot be used that way now.
#[inline(always)]
pub fn hold(frame: Mfn, owner: DomId, access: Access) -> Result<Mfn, PageError> {
    match access {
        Access::ReadOnly => page::get_page(&Host, frame, owner).map(PageRef::into_raw),
        Access::ReadWrite => page::get_writable(&Host, frame, owner).map(WritableRef::into_raw),
    }
}

/// Drops what [`hold`] took.
#[inline(always)]
pub fn let_go(frame: Mfn, access: Access) {
    match access {
        Access::ReadOnly => page::put_page(&Host, PageRef::from_raw(frame)),
        Access::ReadWrite => page::put_writable(&Host, WritableRef::from_raw(frame)),
    }
}

/// A domain named in a grant operation, if the caller may act for it.
fn granter(here: &Here, id: DomId) -> Result<Named<'_>, GrantError> {
    table::target(here, id).map_err(|errno| match errno {
        Errno::ESRCH => GrantError::BadDomain,
        _ => GrantError::ForeignFrame,
    })
}

fn setup(here: &Here, op: &mut abi::GnttabSetupTable) -> Result<(), Errno> {
    let result = granter(here, op.dom).and_then(|dom| grow(&dom, op.nr_frames).map(|()| dom));
    op.status = status_of(&result);
    if let Ok(dom) = result {
        let table = dom.grants.lock();
        for (index, mfn) in (0..u64::from(op.nr_frames)).zip(table.frames()) {
            if guestmem::write_at(op.frame_list.get(), index, mfn).is_err() {
                op.status = gntst::BAD_VIRT_ADDR;
            }
        }
    }
    Ok(())
}

/// Gives the table at least `wanted` frames.
fn grow(dom: &Domain, wanted: u32) -> Result<(), GrantError> {
    let missing = dom.grants.lock().frames_missing(wanted)?;
    for _ in 0..missing {
        let mfn = memory::add_special(dom).map_err(|_| GrantError::NoMemory)?;
        let added = dom.grants.lock().add_frame(mfn);
        if added.is_err() {
            // Another vCPU was quicker; the frame is not needed.
            let _ = page::release_special(&Host, mfn);
            return added;
        }
    }
    Ok(())
}

/// Tells a toolstack `count` frames from `first` on, the table grown as needed.
///
/// # Errors
/// `EINVAL` beyond the domain's limit, `ENOMEM`, `EFAULT`.
pub fn write_frames(dom: &Domain, first: u64, count: u32, list: GuestVa) -> Result<(), Errno> {
    let end = first.checked_add(u64::from(count)).and_then(|end| u32::try_from(end).ok());
    grow(dom, end.ok_or(Errno::EINVAL)?).map_err(|error| match error {
        GrantError::NoMemory => Errno::ENOMEM,
        _ => Errno::EINVAL,
    })?;
    let table = dom.grants.lock();
    let wanted = table.frames().iter().skip(first as usize).take(count as usize);
    guestmem::write_array(list.get(), wanted.copied())?;
    Ok(())
}

fn size(here: &Here, op: &mut abi::GnttabQuerySize) -> Result<(), Errno> {
    let found = granter(here, op.dom);
    op.status = status_of(&found);
    if let Ok(dom) = found {
        let table = dom.grants.lock();
        op.nr_frames = table.frames().len() as u32;
        op.max_nr_frames = table.max_frames();
    }
    Ok(())
}

fn set_version(op: &mut abi::GnttabSetVersion) -> Result<(), Errno> {
    check_version(op.version)?;
    op.version = 1;
    Ok(())
}

fn get_version(here: &Here, op: &mut abi::GnttabGetVersion) -> Result<(), Errno> {
    table::target(here, op.dom)?;
    op.version = 1;
    Ok(())
}

fn refuse_transfer(op: &mut abi::GnttabTransfer) {
    op.status = gntst::GENERAL_ERROR;
}

fn swap(here: &Here, op: &mut abi::GnttabSwapGrantRef) {
    let swapped = here.dom().grants.lock().swap(&Entries, op.ref_a, op.ref_b);
    op.status = status_of(&swapped);
}
