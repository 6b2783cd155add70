//! Page-table entries: `mmu_update`, a list of changes to them and to the machine-to-physical
//! table, and `update_va_mapping`, the entry that maps one address.
//!
//! Requests of a list are copied in by the chunk and carried out in order; the first that fails
//! ends the call, and what was done before stays. The page-table lock of the tables' owner is held
//! for one chunk at a time.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use hv_core::page::{self, EntryUpdate, PageTables, UpdateMode};
use hv_machine::{cpu, frames, guest, tlb};
use hypercall_abi::mmu::{uvmf, ForeignDom, MmuUpdate, MMU_UPDATE_PREEMPTED};
use hypercall_abi::mmu::{
    MMU_MACHPHYS_UPDATE, MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_NO_TRANSLATE,
    MMU_PT_UPDATE_PRESERVE_AD,
};
use hypercall_abi::{DomId, Errno, GuestVa, Mfn};

use super::mmuext::read_vcpu_mask;
use super::{ensure, Answer, Call, End};
use crate::current::Here;
use crate::domain::{table, Domain, DomainRef};
use crate::guestmem;
use crate::host::Host;

/// Units of page-table work per entry of the hypervisor: entries looked at.
pub const BUDGET: u32 = 8192;
/// Requests copied in at a time.
const CHUNK: usize = 32;
/// Where they are copied to: several, or one alone.
type Room = ([MaybeUninit<MmuUpdate>; CHUNK], MaybeUninit<MmuUpdate>);
/// Requests carried out per entry of the hypervisor.
const REQUESTS_PER_PASS: u32 = 512;

/// A domain other than the caller, over which the caller has the right.
///
/// # Errors
/// `ESRCH` for domains that do not exist and for the caller by its number, `EPERM`.
pub fn foreign(here: &Here, id: DomId) -> Result<DomainRef, Errno> {
    ensure(id != here.dom().id && id != DomId::SELF, Errno::ESRCH)?;
    Ok(table::target(here, id)?.clone())
}

/// Makes sense of a page owner.
///
/// # Errors
/// As [`foreign`].
fn frame_owner(here: &Here, id: DomId) -> Result<DomId, Errno> {
    match id {
        DomId::SELF => Ok(here.dom().id),
        DomId::IO => Ok(DomId::IO),
        DomId::XEN if here.dom().privileged => Ok(DomId::XEN),
        DomId::XEN => Err(Errno::EPERM),
        _ => Ok(foreign(here, id)?.id),
    }
}

/// The place of a page-table entry with this machine address.
pub fn entry_place(maddr: u64) -> (Mfn, usize) {
    (Mfn::from_maddr(maddr), (maddr as usize & 0xfff) / 8)
}

/// `mmu_update(requests, count, done, foreigndom)`.
pub fn mmu_update(call: &mut Call<'_>) -> Answer {
    let lazy = call.here;
    let here: &Here = lazy;
    let named = ForeignDom::from_raw(call.args[3] as u32);
    let foreign = named.tables.map(|id| foreign(here, id)).transpose()?;
    let owner = foreign.as_ref().unwrap_or_else(|| here.dom());
    let page_owner = frame_owner(here, named.frames)?;
    list::<MmuUpdate>(call, |requests, count, done| {
        let mut budget = BUDGET;
        while *done < count {
            if *done >= REQUESTS_PER_PASS {
                return Err(End::AGAIN);
            }
            let mut room: Room = ([const { MaybeUninit::uninit() }; CHUNK], MaybeUninit::uninit());
            let at = guestmem::element::<MmuUpdate>(requests, u64::from(*done))?;
            let got = read_chunk(at, &mut room, (count - *done) as usize)?;
            run_chunk(here, owner, page_owner, got, &mut budget, done)?;
        }
        Ok(())
    })
}

/// The frame of `mmu_update` and `mmuext_op`: `pass` gets the list and its length, and counts the
/// operations it has done. The guest learns their number, and what is to be continued is taken off
/// the list. A guest that gave a bad address for the number does not learn it; that is no error.
pub fn list<T>(
    call: &mut Call<'_>,
    pass: impl FnOnce(u64, u32, &mut u32) -> Result<(), End>,
) -> Answer {
    let [list, raw_count, done_at, ..] = call.args;
    let raw_count = raw_count as u32;
    let count = raw_count & !MMU_UPDATE_PREEMPTED;
    let earlier = if raw_count == count { 0 } else { done_earlier(done_at) };
    let mut done = 0;
    let end = pass(list, count, &mut done);
    if done_at != 0 {
        let _ = guestmem::write(done_at, &earlier.wrapping_add(done));
    }
    if let Err(End::AGAIN) = end {
        call.args[0] = list.wrapping_add(u64::from(done) * size_of::<T>() as u64);
        call.args[1] = u64::from(count - done) | u64::from(MMU_UPDATE_PREEMPTED);
    }
    end.map(|()| 0)
}

/// The number of operations done before the continuation that is made now.
#[cold]
fn done_earlier(done_at: u64) -> u32 {
    if done_at == 0 {
        return 0;
    }
    guestmem::read(done_at).unwrap_or(0)
}

/// Copies requests in: as many of those left as fit; the next one alone when it is the last, or
/// when those behind it cannot be read.
fn read_chunk(at: u64, (many, one): &mut Room, left: usize) -> Result<&[MmuUpdate], Errno> {
    if left > 1 {
        let room = &mut many[..left.min(CHUNK)];
        if let Ok(requests) = guest::copy_in_slice(room, GuestVa::new(at)) {
            return Ok(requests);
        }
    }
    Ok(core::slice::from_ref(one.write(guestmem::read(at)?)))
}

/// Carries out requests under the page-table lock, and flushes once for all of them.
fn run_chunk(
    here: &Here,
    owner: &Domain,
    page_owner: DomId,
    chunk: &[MmuUpdate],
    budget: &mut u32,
    done: &mut u32,
) -> Result<(), End> {
    let tables = PageTables::new(&Host, owner.id, here.dom().id);
    let mmu = &mut *owner.mmu.lock();
    let mut flush = false;
    let end = chunk.iter().try_for_each(|request| {
        let mode = match request.cmd() {
            MMU_NORMAL_PT_UPDATE | MMU_PT_UPDATE_NO_TRANSLATE => Some(UpdateMode::Normal),
            MMU_PT_UPDATE_PRESERVE_AD => Some(UpdateMode::PreserveAd),
            // Not of a page table but of the machine-to-physical table.
            MMU_MACHPHYS_UPDATE => None,
            _ => return Err(Errno::ENOSYS.into()),
        };
        if let Some(mode) = mode {
            let (table, index) = entry_place(request.maddr());
            let update = EntryUpdate { table, index, value: request.val, mode, page_owner };
            flush |= tables.update_entry(mmu, &update, budget)?.flush_domain;
        } else {
            ensure(owner.id == here.dom().id, Errno::EPERM)?;
            set_pfn(Mfn::from_maddr(request.maddr()), request.val, page_owner)?;
        }
        *done += 1;
        Ok(())
    });
    if flush {
        flush_domain(owner);
    }
    end
}

/// `MMU_MACHPHYS_UPDATE`: the frame must belong to the page owner.
fn set_pfn(mfn: Mfn, pfn: u64, owner: DomId) -> Result<(), Errno> {
    let held = page::get_page(&Host, mfn, owner).map_err(|_| Errno::EINVAL)?;
    frames::m2p_set(mfn, pfn);
    page::put_page(&Host, held);
    Ok(())
}

/// Flushes all CPUs that may have translations of a domain.
pub fn flush_domain(dom: &Domain) {
    tlb::flush_cpus(dom.dirty_cpus.load(Ordering::SeqCst), tlb::Flush::All);
}

/// `update_va_mapping(va, value, flags)`.
pub fn update_va_mapping(call: &mut Call<'_>) -> Answer {
    update_mapping(call, None)
}

/// `update_va_mapping_otherdomain(va, value, flags, domid)`.
pub fn update_va_mapping_otherdomain(call: &mut Call<'_>) -> Answer {
    update_mapping(call, Some(frame_owner(call.here, DomId::new(call.args[3] as u16))?))
}

/// `page_owner` owns the page the new entry maps, if it is not the caller.
fn update_mapping(call: &Call<'_>, page_owner: Option<DomId>) -> Answer {
    let here: &Here = call.here;
    let [va, value, flags, ..] = call.args;
    let (va, dom) = (GuestVa::new(va), here.dom());
    let page_owner = page_owner.unwrap_or(dom.id);
    // Kernels make hypercalls, so the tables that are loaded are those of the kernel.
    let (root, mut budget) = (cpu::current_root(), BUDGET);
    let mut mmu = dom.mmu.lock();
    dom.tables().update_va_mapping(&mut mmu, root, va, value, page_owner, &mut budget)?;
    drop(mmu);
    flush_after(here, va, flags)?;
    Ok(0)
}

/// Flushes what the caller of `update_va_mapping` asks for.
fn flush_after(here: &Here, va: GuestVa, flags: u64) -> Result<(), Errno> {
    let what = match flags & uvmf::FLUSHTYPE_MASK {
        uvmf::TLB_FLUSH => tlb::Flush::All,
        uvmf::INVLPG if va.is_guest_accessible() => tlb::Flush::Page(va.get()),
        _ => return Ok(()),
    };
    match flags & !uvmf::FLUSHTYPE_MASK {
        uvmf::LOCAL => tlb::flush_local(what),
        uvmf::ALL => tlb::flush_cpus(here.dom().dirty_cpus.load(Ordering::SeqCst), what),
        bitmap => tlb::flush_cpus(read_vcpu_mask(here, bitmap)?, what),
    }
    Ok(())
}
