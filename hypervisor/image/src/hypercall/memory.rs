//! `memory_op`: reservations, memory maps, the machine-to-physical table, resources.
//!
//! The reservation operations answer with the number of extents done, never with an error, and are
//! continued by the extent they have come to, kept in the upper bits of the command.

use core::sync::atomic::Ordering;
use hv_core::page;
use hv_machine::{directmap, frames};
use hypercall_abi::addr::{MACH2PHYS_VIRT_END, MACH2PHYS_VIRT_START};
use hypercall_abi::memory::{self as abi, memf, resource, XenMemoryReservation};
use hypercall_abi::{Errno, Mfn};

use super::{ensure, exchange, grant, Answer, Call, End};
use crate::boot;
use crate::current::Here;
use crate::domain::{memory, table, Domain};
use crate::guestmem;
use crate::host::Host;

/// Frames handled before the guest gets a chance to take an interrupt.
const FRAMES_PER_PASS: u64 = 2048;
/// Largest extent an ordinary domain may ask for.
const DOMU_ORDER: u32 = 9;
/// Highest frame number told to ordinary domains.
const DOMU_MAX_MFN: u64 = (1 << 35) - 1;

/// `memory_op(cmd, arg)`.
pub fn memory_op(call: &mut Call<'_>) -> Answer {
    let [command, arg, ..] = call.args;
    let here = call.here;
    match (command & abi::CMD_MASK) as u32 {
        abi::INCREASE_RESERVATION => return reservation(call, max_order(here), increase),
        abi::DECREASE_RESERVATION => return reservation(call, memory::MAX_ORDER, decrease),
        abi::POPULATE_PHYSMAP => return reservation(call, max_order(here), populate),
        abi::EXCHANGE => return exchange::exchange(call),
        abi::MAXIMUM_RAM_PAGE => return Ok(frames::max_mfn() as i64),
        abi::CURRENT_RESERVATION => return amount(here, arg, |dom| dom.pages.lock().tot),
        abi::MAXIMUM_RESERVATION => return amount(here, arg, |dom| dom.pages.lock().max),
        abi::MAXIMUM_GPFN => return amount(here, arg, max_pfn).map(|pfn| pfn - 1),
        abi::MACHPHYS_MFN_LIST => guestmem::update(arg, machphys_list)?,
        abi::MACHPHYS_MAPPING => machphys_mapping(here, arg)?,
        abi::MEMORY_MAP => guestmem::update(arg, |op| memory_map(here, op))?,
        abi::SET_MEMORY_MAP => set_memory_map(here, &guestmem::read(arg)?)?,
        abi::MACHINE_MEMORY_MAP => {
            call.privileged()?;
            guestmem::update(arg, machine_memory_map)?;
        }
        abi::CLAIM_PAGES => claim_pages(call, &guestmem::read(arg)?)?,
        abi::ACQUIRE_RESOURCE => acquire_resource(call, arg)?,
        abi::ADD_TO_PHYSMAP | abi::REMOVE_FROM_PHYSMAP | abi::ADD_TO_PHYSMAP_BATCH => {
            return Err(Errno::EACCES.into())
        }
        abi::GET_VNUMAINFO => return Err(Errno::EOPNOTSUPP.into()),
        abi::RESERVED_DEVICE_MEMORY_MAP => call.privileged()?,
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// Largest extent `here` may ask for.
pub fn max_order(here: &Here) -> u32 {
    if here.dom().privileged {
        memory::MAX_ORDER
    } else {
        DOMU_ORDER
    }
}

/// Changes a reservation extent by extent, none of them larger than `order` says.
fn reservation(
    call: &mut Call<'_>,
    order: u32,
    change: fn(&Domain, &XenMemoryReservation, u64) -> Result<(), Errno>,
) -> Answer {
    let start = call.args[0] >> abi::CMD_START_EXTENT_SHIFT;
    let Ok(op) = guestmem::read::<XenMemoryReservation>(call.args[1]) else {
        return Ok(start as i64);
    };
    let target = table::target(call.here, op.domid).ok();
    let Some(dom) = target.filter(|_| op.extent_order <= order) else { return Ok(start as i64) };
    let per_pass = (FRAMES_PER_PASS >> op.extent_order).max(1);
    for done in start..op.nr_extents {
        if done - start >= per_pass {
            call.args[0] = call.args[0] & abi::CMD_MASK | done << abi::CMD_START_EXTENT_SHIFT;
            return Err(End::AGAIN);
        }
        if change(&dom, &op, done).is_err() {
            return Ok(done as i64);
        }
    }
    Ok(op.nr_extents.max(start) as i64)
}

/// Gives an extent to a domain.
fn give(dom: &Domain, op: &XenMemoryReservation) -> Result<Mfn, Errno> {
    memory::give_block(dom, op.extent_order, op.mem_flags & memf::ADDRESS_BITS_MASK)
}

fn increase(dom: &Domain, op: &XenMemoryReservation, index: u64) -> Result<(), Errno> {
    let first = give(dom, op)?;
    if op.extent_start.is_null() {
        return Ok(());
    }
    guestmem::write_at(op.extent_start.get(), index, &first)
}

fn populate(dom: &Domain, op: &XenMemoryReservation, index: u64) -> Result<(), Errno> {
    let pfn: u64 = guestmem::read_at(op.extent_start.get(), index)?;
    let first = give(dom, op)?;
    for offset in 0..1u64 << op.extent_order {
        frames::m2p_set(Mfn::new(first.get() + offset), pfn.wrapping_add(offset));
    }
    guestmem::write_at(op.extent_start.get(), index, &first)
}

fn decrease(dom: &Domain, op: &XenMemoryReservation, index: u64) -> Result<(), Errno> {
    let first: u64 = guestmem::read_at(op.extent_start.get(), index)?;
    for offset in 0..1u64 << op.extent_order {
        let mfn = Mfn::new(first.checked_add(offset).ok_or(Errno::EINVAL)?);
        let held = page::get_page(&Host, mfn, dom.id)?;
        let released = page::drop_allocation(&Host, &held);
        if released.is_ok() {
            frames::m2p_set(mfn, frames::M2P_INVALID);
        }
        page::put_page(&Host, held);
        released?;
    }
    Ok(())
}

fn amount(here: &Here, arg: u64, read: impl Fn(&Domain) -> u64) -> Answer {
    let op: abi::XenMemoryDomain = guestmem::read(arg)?;
    let dom = table::target(here, op.domid)?;
    Ok(read(&dom) as i64)
}

/// Number of frames the guest says it knows, in its shared info.
fn max_pfn(dom: &Domain) -> u64 {
    const ARCH_MAX_PFN: usize = 0xc10 / 8;
    directmap::table(dom.shared_info)[ARCH_MAX_PFN].load(Ordering::Relaxed)
}

/// Frames of the machine-to-physical table, one per 2 MiB of it.
fn machphys_list(op: &mut abi::XenMachphysMfnList) -> Result<(), Errno> {
    let wanted = u64::from(op.max_extents).min(frames::m2p_pieces());
    // Where there is no memory to describe, the piece before stands in.
    let pieces = (0..wanted).scan(Mfn::new(0), |last, index| {
        *last = frames::m2p_piece(index).unwrap_or(*last);
        Some(*last)
    });
    op.nr_extents = guestmem::write_array(op.extent_start.get(), pieces)?;
    Ok(())
}

fn machphys_mapping(here: &Here, arg: u64) -> Result<(), Errno> {
    let last = frames::max_mfn().saturating_sub(1);
    let mapping = abi::XenMachphysMapping {
        v_start: MACH2PHYS_VIRT_START,
        v_end: MACH2PHYS_VIRT_END,
        max_mfn: if here.dom().privileged { last } else { DOMU_MAX_MFN },
    };
    guestmem::write(arg, &mapping)
}

fn memory_map(here: &Here, op: &mut abi::XenMemoryMap) -> Result<(), Errno> {
    let map = &here.dom().control.lock().memory_map;
    ensure(!map.is_empty(), Errno::ENOSYS)?;
    let fitting = map.iter().take(op.nr_entries as usize).copied();
    op.nr_entries = guestmem::write_array(op.buffer.get(), fitting)?;
    Ok(())
}

fn set_memory_map(here: &Here, op: &abi::XenForeignMemoryMap) -> Result<(), Errno> {
    ensure(op.map.nr_entries <= abi::MAX_MEMORY_MAP_ENTRIES, Errno::EINVAL)?;
    let dom = table::target(here, op.domid)?;
    let map = guestmem::read_array(op.map.buffer.get(), op.map.nr_entries)?;
    dom.control.lock().memory_map = map;
    Ok(())
}

/// The machine's own map, for the control domain.
fn machine_memory_map(op: &mut abi::XenMemoryMap) -> Result<(), Errno> {
    let count = boot::memory_map().len() as u32;
    if !op.buffer.is_null() {
        ensure(op.nr_entries > count, Errno::EINVAL)?;
        guestmem::write_array(op.buffer.get(), boot::memory_map())?;
    }
    op.nr_entries = count;
    Ok(())
}

/// Claims are promises for a moment; here the pages are there or they are not.
fn claim_pages(call: &Call<'_>, op: &XenMemoryReservation) -> Result<(), Errno> {
    let dom = table::get(op.domid).ok_or(Errno::EINVAL)?;
    call.privileged()?;
    let is_plain = op.extent_start.is_null() && op.extent_order == 0 && op.mem_flags == 0;
    ensure(is_plain, Errno::EINVAL)?;
    let missing = op.nr_extents.saturating_sub(dom.pages.lock().tot);
    ensure(missing <= frames::free_count(), Errno::ENOMEM)
}

/// Frames of the hypervisor that belong to another domain: here its grant table.
fn acquire_resource(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: abi::XenMemAcquireResource = guestmem::read(arg)?;
    ensure(op.pad == 0, Errno::EINVAL)?;
    let dom = table::get(op.domid).ok_or(Errno::ESRCH)?;
    call.privileged()?;
    ensure(dom.id != call.here.dom().id, Errno::EPERM)?;
    let is_known = op.kind == resource::GRANT_TABLE && op.id == resource::GRANT_TABLE_ID_SHARED;
    ensure(is_known, Errno::EOPNOTSUPP)?;
    if op.frame_list.is_null() {
        ensure(op.nr_frames == 0, Errno::EINVAL)?;
        op.nr_frames = dom.grants.lock().max_frames();
        return guestmem::write(arg, &op);
    }
    grant::write_frames(&dom, op.frame, op.nr_frames, op.frame_list)
}
