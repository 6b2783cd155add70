//! `memory_op`: reservations, memory maps, the machine-to-physical table, resources.
//!
//! The reservation operations answer with the number of extents done, never with an error, and are
//! continued by the extent they have come to, kept in the upper bits of the command.

use alloc::vec::Vec;
use hv_core::page;
use hv_machine::frames;
use hypercall_abi::addr::{Mfn, MACH2PHYS_VIRT_END, MACH2PHYS_VIRT_START};
use hypercall_abi::errno::Errno;
use hypercall_abi::memory::{
    self as cmd, memf, resource, E820Entry, XenForeignMemoryMap, XenMachphysMapping,
    XenMachphysMfnList, XenMemAcquireResource, XenMemoryDomain, XenMemoryMap,
    XenMemoryReservation, CMD_MASK, CMD_START_EXTENT_SHIFT, MAX_MEMORY_MAP_ENTRIES,
};

use super::{exchange, grant, Call, Outcome};
use crate::boot;
use crate::current::Here;
use crate::domain::{memory, table, Domain, DomainRef};
use crate::guestmem;
use crate::host::Host;

/// Frames handled before the guest gets a chance to take an interrupt.
const FRAMES_PER_PASS: u64 = 2048;
/// Largest extent an ordinary domain may ask for.
const DOMU_ORDER: u32 = 9;
/// Highest frame number told to ordinary domains.
const DOMU_MAX_MFN: u64 = (1 << 35) - 1;

/// `memory_op(cmd, arg)`.
pub fn memory_op(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    let start = command >> CMD_START_EXTENT_SHIFT;
    let here = call.here;
    match (command & CMD_MASK) as u32 {
        cmd::INCREASE_RESERVATION => reservation(call, start, Kind::Increase),
        cmd::DECREASE_RESERVATION => reservation(call, start, Kind::Decrease),
        cmd::POPULATE_PHYSMAP => reservation(call, start, Kind::Populate),
        cmd::EXCHANGE => exchange::exchange(call),
        cmd::MAXIMUM_RAM_PAGE => Outcome::Done(frames::max_mfn() as i64),
        cmd::CURRENT_RESERVATION => amount(here, arg, |dom| dom.pages.lock().tot).into(),
        cmd::MAXIMUM_RESERVATION => amount(here, arg, |dom| dom.pages.lock().max).into(),
        cmd::MAXIMUM_GPFN => amount(here, arg, max_pfn).map(|pfn| pfn - 1).into(),
        cmd::MACHPHYS_MFN_LIST => machphys_list(arg).into(),
        cmd::MACHPHYS_MAPPING => machphys_mapping(here, arg).into(),
        cmd::MEMORY_MAP => memory_map(here, arg).into(),
        cmd::SET_MEMORY_MAP => set_memory_map(here, arg).into(),
        cmd::MACHINE_MEMORY_MAP => machine_memory_map(here, arg).into(),
        cmd::CLAIM_PAGES => claim_pages(here, arg).into(),
        cmd::ACQUIRE_RESOURCE => acquire_resource(here, arg).into(),
        cmd::ADD_TO_PHYSMAP | cmd::REMOVE_FROM_PHYSMAP | cmd::ADD_TO_PHYSMAP_BATCH => {
            Errno::EACCES.into()
        }
        cmd::GET_VNUMAINFO => Errno::EOPNOTSUPP.into(),
        cmd::RESERVED_DEVICE_MEMORY_MAP if here.dom().privileged => Outcome::Done(0),
        cmd::RESERVED_DEVICE_MEMORY_MAP => Errno::EPERM.into(),
        _ => Errno::ENOSYS.into(),
    }
}

/// A kind of change to a reservation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Increase,
    Decrease,
    Populate,
}

/// Largest extent `here` may ask for.
pub fn max_order(here: &Here) -> u32 {
    if here.dom().privileged {
        memory::MAX_ORDER
    } else {
        DOMU_ORDER
    }
}

fn reservation(call: &mut Call<'_>, start: u64, kind: Kind) -> Outcome {
    let Ok(op) = guestmem::read::<XenMemoryReservation>(call.args[1]) else {
        return Outcome::Done(start as i64);
    };
    let target = table::target(call.here, op.domid);
    let allowed = kind == Kind::Decrease || op.extent_order <= max_order(call.here);
    let Some(dom) = target.ok().filter(|_| allowed && op.extent_order <= memory::MAX_ORDER) else {
        return Outcome::Done(start as i64);
    };
    let per_pass = (FRAMES_PER_PASS >> op.extent_order).max(1);
    let mut done = start;
    while done < op.nr_extents {
        if done - start >= per_pass {
            let command = call.args[0] & CMD_MASK;
            call.args[0] = command | done << CMD_START_EXTENT_SHIFT;
            return Outcome::Again;
        }
        let ok = match kind {
            Kind::Increase => increase(&dom, &op, done),
            Kind::Decrease => decrease(&dom, &op, done),
            Kind::Populate => populate(&dom, &op, done),
        };
        if ok.is_err() {
            break;
        }
        done += 1;
    }
    Outcome::Done(done as i64)
}

/// Address bits a reservation asks for; 0 for any.
fn address_bits(flags: u32) -> u32 {
    flags & memf::ADDRESS_BITS_MASK
}

fn increase(dom: &Domain, op: &XenMemoryReservation, index: u64) -> Result<(), Errno> {
    let first = memory::give_block(dom, op.extent_order, address_bits(op.mem_flags))?;
    if op.extent_start.is_null() {
        return Ok(());
    }
    guestmem::write_at(op.extent_start.get(), index, &first)
}

fn populate(dom: &Domain, op: &XenMemoryReservation, index: u64) -> Result<(), Errno> {
    let list = op.extent_start.get();
    let pfn: u64 = guestmem::read_at(list, index)?;
    let first = memory::give_block(dom, op.extent_order, address_bits(op.mem_flags))?;
    for offset in 0..1u64 << op.extent_order {
        frames::m2p_set(Mfn::new(first.get() + offset), pfn.wrapping_add(offset));
    }
    guestmem::write_at(list, index, &first)
}

fn decrease(dom: &Domain, op: &XenMemoryReservation, index: u64) -> Result<(), Errno> {
    let first: u64 = guestmem::read_at(op.extent_start.get(), index)?;
    for offset in 0..1u64 << op.extent_order {
        let mfn = Mfn::new(first.checked_add(offset).ok_or(Errno::EINVAL)?);
        let held = page::get_page(&Host, mfn, dom.id)?;
        let released = page::release_allocation(&Host, mfn, dom.id);
        if released.is_ok() {
            frames::m2p_set(mfn, frames::M2P_INVALID);
        }
        page::put_page(&Host, held);
        released?;
    }
    Ok(())
}

fn amount(here: &Here, arg: u64, read: impl Fn(&Domain) -> u64) -> Result<i64, Errno> {
    let op: XenMemoryDomain = guestmem::read(arg)?;
    Ok(read(&*table::target(here, op.domid)?) as i64)
}

/// Number of frames the guest says it knows, in its shared info.
fn max_pfn(dom: &Domain) -> u64 {
    const ARCH_MAX_PFN: usize = 0xc10 / 8;
    hv_machine::directmap::table(dom.shared_info)[ARCH_MAX_PFN]
        .load(core::sync::atomic::Ordering::Relaxed)
}

/// Frames of the machine-to-physical table, one per 2 MiB of it.
fn machphys_list(arg: u64) -> Result<(), Errno> {
    let mut op: XenMachphysMfnList = guestmem::read(arg)?;
    let wanted = u64::from(op.max_extents).min(frames::m2p_pieces());
    let mut last = Mfn::new(0);
    for index in 0..wanted {
        // Where there is no memory to describe, the piece before stands in.
        last = frames::m2p_piece(index).unwrap_or(last);
        guestmem::write_at(op.extent_start.get(), index, &last)?;
    }
    op.nr_extents = wanted as u32;
    guestmem::write(arg, &op)
}

fn machphys_mapping(here: &Here, arg: u64) -> Result<(), Errno> {
    let last = frames::max_mfn().saturating_sub(1);
    let mapping = XenMachphysMapping {
        v_start: MACH2PHYS_VIRT_START,
        v_end: MACH2PHYS_VIRT_END,
        max_mfn: if here.dom().privileged { last } else { DOMU_MAX_MFN },
    };
    guestmem::write(arg, &mapping)
}

fn memory_map(here: &Here, arg: u64) -> Result<(), Errno> {
    let mut op: XenMemoryMap = guestmem::read(arg)?;
    let map = here.dom().control.lock().memory_map.clone();
    if map.is_empty() {
        return Err(Errno::ENOSYS);
    }
    let count = map.len().min(op.nr_entries as usize);
    for (index, entry) in map.iter().take(count).enumerate() {
        guestmem::write_at(op.buffer.get(), index as u64, entry)?;
    }
    op.nr_entries = count as u32;
    guestmem::write(arg, &op)
}

fn set_memory_map(here: &Here, arg: u64) -> Result<(), Errno> {
    let op: XenForeignMemoryMap = guestmem::read(arg)?;
    if op.map.nr_entries > MAX_MEMORY_MAP_ENTRIES {
        return Err(Errno::EINVAL);
    }
    let dom = table::target(here, op.domid)?;
    let mut map: Vec<E820Entry> = Vec::new();
    map.try_reserve_exact(op.map.nr_entries as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..op.map.nr_entries {
        map.push(guestmem::read_at(op.map.buffer.get(), u64::from(index))?);
    }
    dom.control.lock().memory_map = map;
    Ok(())
}

/// The machine's own map, for the control domain.
fn machine_memory_map(here: &Here, arg: u64) -> Result<(), Errno> {
    if !here.dom().privileged {
        return Err(Errno::EPERM);
    }
    let mut op: XenMemoryMap = guestmem::read(arg)?;
    let count = boot::memory_map().len();
    if !op.buffer.is_null() {
        if op.nr_entries as usize <= count {
            return Err(Errno::EINVAL);
        }
        for (index, entry) in boot::memory_map().enumerate() {
            guestmem::write_at(op.buffer.get(), index as u64, &entry)?;
        }
    }
    op.nr_entries = count as u32;
    guestmem::write(arg, &op)
}

/// Claims are promises for a moment; here the pages are there or they are not.
fn claim_pages(here: &Here, arg: u64) -> Result<(), Errno> {
    let op: XenMemoryReservation = guestmem::read(arg)?;
    let dom = table::get(op.domid).ok_or(Errno::EINVAL)?;
    if !here.dom().privileged {
        return Err(Errno::EPERM);
    }
    if !op.extent_start.is_null() || op.extent_order != 0 || op.mem_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let have = dom.pages.lock().tot;
    if op.nr_extents.saturating_sub(have) > frames::free_count() {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// Frames of the hypervisor that belong to another domain: here its grant table.
fn acquire_resource(here: &Here, arg: u64) -> Result<(), Errno> {
    let mut op: XenMemAcquireResource = guestmem::read(arg)?;
    if op.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let dom: DomainRef = table::get(op.domid).ok_or(Errno::ESRCH)?;
    if !here.dom().privileged || dom.id == here.dom().id {
        return Err(Errno::EPERM);
    }
    if op.kind != resource::GRANT_TABLE || op.id != resource::GRANT_TABLE_ID_SHARED {
        return Err(Errno::EOPNOTSUPP);
    }
    if op.frame_list.is_null() {
        if op.nr_frames != 0 {
            return Err(Errno::EINVAL);
        }
        op.nr_frames = dom.grants.lock().max_frames();
        return guestmem::write(arg, &op);
    }
    let list = grant::frames_from(&dom, op.frame, op.nr_frames)?;
    for (index, mfn) in list.iter().enumerate() {
        guestmem::write_at(op.frame_list.get(), index as u64, mfn)?;
    }
    Ok(())
}

