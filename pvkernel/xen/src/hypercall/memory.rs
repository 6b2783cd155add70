//! `memory_op`: what memory a domain has.

use core::mem::size_of;

use hypercall_abi::memory::{
    self, E820Entry, XenForeignMemoryMap, XenMachphysMapping, XenMachphysMfnList,
    XenMemAcquireResource, XenMemoryDomain, XenMemoryExchange, XenMemoryMap, XenMemoryReservation,
};
use hypercall_abi::{nr, DomId, Errno, GuestVa, Mfn, Pfn};

use super::{address_of, address_of_mut, command, done};

/// A `memory_op` with a structure.
///
/// # Safety
/// As for `raw`.
pub unsafe fn memory_op<T>(cmd: u32, arg: &mut T) -> i64 {
    // SAFETY: passed on to the caller.
    unsafe { command(nr::MEMORY_OP, cmd, arg) }
}

fn reservation(dom: DomId, order: u32, list: u64, count: usize) -> XenMemoryReservation {
    XenMemoryReservation {
        extent_start: GuestVa::new(list),
        nr_extents: count as u64,
        extent_order: order,
        domid: dom,
        ..Default::default()
    }
}

fn count(ret: i64) -> usize {
    usize::try_from(ret).unwrap_or(0)
}

/// Gives a domain memory at chosen pseudo-physical frames. Extent `i` of `1 << order` frames begins
/// at `pfns[i]`; its first machine frame is stored in `mfns[i]`. Returns the number of extents done;
/// fewer than asked for means that there is no more memory or no right.
pub fn populate_physmap(dom: DomId, order: u32, pfns: &[Pfn], mfns: &mut [Mfn]) -> usize {
    let wanted = pfns.len().min(mfns.len());
    for (to, from) in mfns.iter_mut().zip(pfns) {
        *to = Mfn::new(from.get());
    }
    let mut arg = reservation(dom, order, address_of_mut(&mut mfns[..wanted]), wanted);
    // SAFETY: the list is valid for `wanted` entries in and out; new memory breaks nothing.
    count(unsafe { memory_op(memory::POPULATE_PHYSMAP, &mut arg) })
}

/// Gives a domain memory without pseudo-physical numbers. Returns the number of extents done.
pub fn increase_reservation(dom: DomId, order: u32, mfns: &mut [Mfn]) -> usize {
    let wanted = mfns.len();
    let mut arg = reservation(dom, order, address_of_mut(mfns), wanted);
    // SAFETY: the list is valid for `wanted` entries; new memory breaks nothing.
    count(unsafe { memory_op(memory::INCREASE_RESERVATION, &mut arg) })
}

/// Takes memory from a domain. Returns the number of extents done.
///
/// # Safety
/// Frames of this domain must not be in use: nothing may refer to their content any more.
pub unsafe fn decrease_reservation(dom: DomId, order: u32, mfns: &[Mfn]) -> usize {
    let mut arg = reservation(dom, order, address_of(mfns), mfns.len());
    // SAFETY: the list is valid; that the frames are unused is the caller's obligation.
    count(unsafe { memory_op(memory::DECREASE_RESERVATION, &mut arg) })
}

/// Replaces frames of this domain by others; see the header for the fields.
///
/// # Safety
/// The lists are valid and the frames handed in are not in use.
///
/// # Errors
/// What the hypervisor answers; `nr_exchanged` says how much was done.
pub unsafe fn exchange(arg: &mut XenMemoryExchange) -> Result<(), Errno> {
    // SAFETY: passed on to the caller.
    done(unsafe { memory_op(memory::EXCHANGE, arg) })
}

fn domain_number(cmd: u32, dom: DomId) -> Result<u64, Errno> {
    let mut arg = XenMemoryDomain { domid: dom };
    // SAFETY: these commands read the domain's number and nothing else.
    Errno::check(unsafe { memory_op(cmd, &mut arg) })
}

/// Frames a domain has.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn current_reservation(dom: DomId) -> Result<u64, Errno> {
    domain_number(memory::CURRENT_RESERVATION, dom)
}

/// Frames a domain may have.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn maximum_reservation(dom: DomId) -> Result<u64, Errno> {
    domain_number(memory::MAXIMUM_RESERVATION, dom)
}

/// The highest pseudo-physical frame a domain has published.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn maximum_gpfn(dom: DomId) -> Result<u64, Errno> {
    domain_number(memory::MAXIMUM_GPFN, dom)
}

/// One more than the highest machine frame of RAM.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn maximum_ram_page() -> Result<u64, Errno> {
    // SAFETY: the command takes no argument.
    Errno::check(unsafe {
        super::raw(nr::MEMORY_OP, [memory::MAXIMUM_RAM_PAGE.into(), 0, 0, 0, 0])
    })
}

fn memory_map_of(cmd: u32, entries: &mut [E820Entry]) -> Result<usize, Errno> {
    let mut arg = XenMemoryMap {
        nr_entries: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        buffer: GuestVa::new(address_of_mut(entries)),
        ..Default::default()
    };
    // SAFETY: the buffer is valid for the number of entries given.
    done(unsafe { memory_op(cmd, &mut arg) })?;
    Ok(arg.nr_entries as usize)
}

/// This domain's memory map; returns the number of entries filled in.
///
/// # Errors
/// `ENOSYS` when the domain has none.
pub fn memory_map(entries: &mut [E820Entry]) -> Result<usize, Errno> {
    memory_map_of(memory::MEMORY_MAP, entries)
}

/// The machine's memory map, for the control domain.
///
/// # Errors
/// `EPERM`; `EINVAL` when there is not enough room.
pub fn machine_memory_map(entries: &mut [E820Entry]) -> Result<usize, Errno> {
    memory_map_of(memory::MACHINE_MEMORY_MAP, entries)
}

/// Replaces the memory map of a domain.
///
/// # Errors
/// `ESRCH`, `EPERM`; `EINVAL` for more than 1024 entries.
pub fn set_memory_map(dom: DomId, entries: &[E820Entry]) -> Result<(), Errno> {
    let mut arg = XenForeignMemoryMap {
        domid: dom,
        map: XenMemoryMap {
            nr_entries: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            buffer: GuestVa::new(address_of(entries)),
            ..Default::default()
        },
        ..Default::default()
    };
    // SAFETY: the buffer is valid and only read.
    done(unsafe { memory_op(memory::SET_MEMORY_MAP, &mut arg) })
}

/// Where the machine-to-physical array is.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn machphys_mapping() -> Result<XenMachphysMapping, Errno> {
    let mut arg = XenMachphysMapping::default();
    // SAFETY: the structure is written, nothing else.
    done(unsafe { memory_op(memory::MACHPHYS_MAPPING, &mut arg) })?;
    Ok(arg)
}

/// The frames that hold the machine-to-physical array; returns the number filled in.
///
/// # Errors
/// `EFAULT`, `EPERM`.
pub fn machphys_mfn_list(list: &mut [Mfn]) -> Result<usize, Errno> {
    let mut arg = XenMachphysMfnList {
        max_extents: u32::try_from(list.len()).unwrap_or(u32::MAX),
        extent_start: GuestVa::new(address_of_mut(list)),
        ..Default::default()
    };
    // SAFETY: the list is valid for the number of entries given.
    done(unsafe { memory_op(memory::MACHPHYS_MFN_LIST, &mut arg) })?;
    Ok(arg.nr_extents as usize)
}

/// The frames behind a resource of a domain, from frame number `frame` on, for mapping with
/// `foreign::Mapping` or for reading their numbers.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL`, `EOPNOTSUPP`.
pub fn acquire_resource(
    dom: DomId,
    kind: u16,
    id: u32,
    frame: u64,
    mfns: &mut [Mfn],
) -> Result<(), Errno> {
    let mut arg = XenMemAcquireResource {
        domid: dom,
        kind,
        id,
        nr_frames: u32::try_from(mfns.len()).unwrap_or(u32::MAX),
        pad: 0,
        frame,
        frame_list: GuestVa::new(address_of_mut(mfns)),
    };
    // SAFETY: the list is valid for the number of frames given.
    done(unsafe { memory_op(memory::ACQUIRE_RESOURCE, &mut arg) })
}

/// How many frames a resource has.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL`, `EOPNOTSUPP`.
pub fn resource_size(dom: DomId, kind: u16, id: u32) -> Result<u32, Errno> {
    let mut arg = XenMemAcquireResource { domid: dom, kind, id, ..Default::default() };
    // SAFETY: without a list only the structure is written.
    done(unsafe { memory_op(memory::ACQUIRE_RESOURCE, &mut arg) })?;
    Ok(arg.nr_frames)
}

/// Reserves memory of the machine for a domain; 0 gives the claim up.
///
/// # Errors
/// `ESRCH`, `EPERM`, `ENOMEM`, `EINVAL`.
pub fn claim_pages(dom: DomId, nr_pages: u64) -> Result<(), Errno> {
    let mut arg = XenMemoryReservation { nr_extents: nr_pages, domid: dom, ..Default::default() };
    // SAFETY: only the structure is read.
    done(unsafe { memory_op(memory::CLAIM_PAGES, &mut arg) })
}

const _: () = assert!(size_of::<Mfn>() == 8 && size_of::<Pfn>() == 8);
