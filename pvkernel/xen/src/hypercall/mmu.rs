//! Page tables: `mmu_update`, `mmuext_op`, `update_va_mapping`.

use hypercall_abi::mmu::{ForeignDom, MmuUpdate, MmuextOp};
use hypercall_abi::{nr, DomId, Errno};

use super::{address_of, done, raw};

/// Changes page-table entries by machine address. `dom` owns the frames that are mapped. On an
/// error the number of updates that were done comes with it; they stay done.
///
/// # Safety
/// The new mappings keep what this program relies on: no memory in use disappears or is replaced.
///
/// # Errors
/// The error of the first update that was refused, and the number of those before it.
pub unsafe fn mmu_update(updates: &[MmuUpdate], dom: DomId) -> Result<(), (Errno, usize)> {
    let mut done_count = 0u32;
    let foreign = ForeignDom { frames: dom, tables: None }.to_raw();
    let args = [
        address_of(updates),
        updates.len() as u64,
        core::ptr::from_mut(&mut done_count) as u64,
        u64::from(foreign),
        0,
    ];
    // SAFETY: list and counter are valid; the effect of the mappings is the caller's obligation.
    let ret = unsafe { raw(nr::MMU_UPDATE, args) };
    done(ret).map_err(|errno| (errno, done_count as usize))
}

/// Replaces the entry that maps an address.
///
/// # Safety
/// As for `mmu_update`.
///
/// # Errors
/// `EINVAL` when there is no table for the address, and the errors of an entry.
pub unsafe fn update_va_mapping(va: u64, pte: u64, flags: u64) -> Result<(), Errno> {
    // SAFETY: passed on to the caller.
    done(unsafe { raw(nr::UPDATE_VA_MAPPING, [va, pte, flags, 0, 0]) })
}

/// As `update_va_mapping`, for a frame of another domain.
///
/// # Safety
/// As for `mmu_update`.
///
/// # Errors
/// As `update_va_mapping`, `ESRCH`, `EPERM`.
pub unsafe fn update_va_mapping_otherdomain(
    va: u64,
    pte: u64,
    flags: u64,
    dom: DomId,
) -> Result<(), Errno> {
    let args = [va, pte, flags, u64::from(dom.get()), 0];
    // SAFETY: passed on to the caller.
    done(unsafe { raw(nr::UPDATE_VA_MAPPING_OTHERDOMAIN, args) })
}

/// Pins, unpins, clears and flushes on behalf of another domain.
///
/// # Errors
/// The error of the first operation that was refused; `EINVAL` for this domain itself, whose page
/// tables are the business of `mmuext_self`.
pub fn mmuext(ops: &[MmuextOp], dom: DomId) -> Result<(), Errno> {
    if dom == DomId::SELF {
        return Err(Errno::EINVAL);
    }
    // SAFETY: operations on another domain do not change this domain's memory.
    unsafe { mmuext_raw(ops, dom) }.map_err(|(errno, _)| errno)
}

/// Pins, unpins, clears, flushes and switches page tables of this domain.
///
/// # Safety
/// As for `mmu_update`; frames that are cleared or copied to are not in use.
///
/// # Errors
/// The error of the first operation that was refused, and the number of those before it.
pub unsafe fn mmuext_self(ops: &[MmuextOp]) -> Result<(), (Errno, usize)> {
    // SAFETY: passed on to the caller.
    unsafe { mmuext_raw(ops, DomId::SELF) }
}

unsafe fn mmuext_raw(ops: &[MmuextOp], dom: DomId) -> Result<(), (Errno, usize)> {
    let mut done_count = 0u32;
    let args = [
        address_of(ops),
        ops.len() as u64,
        core::ptr::from_mut(&mut done_count) as u64,
        u64::from(dom.get()),
        0,
    ];
    // SAFETY: list and counter are valid; the effect is the caller's obligation.
    let ret = unsafe { raw(nr::MMUEXT_OP, args) };
    done(ret).map_err(|errno| (errno, done_count as usize))
}
