//! `grant_table_op`: sharing single frames.

use hypercall_abi::grant::{self, GnttabGetVersion, GnttabQuerySize, GnttabSetVersion};
use hypercall_abi::{nr, DomId, Errno};

use super::{address_of_mut, done, raw};

/// A `grant_table_op` on a list of structures; each has its own status.
///
/// # Safety
/// As for `raw`: mapping, unmapping and copying change memory of this domain.
///
/// # Errors
/// `ENOSYS` for an unknown command, `EFAULT`, `EINVAL`.
pub unsafe fn grant_table_op<T>(cmd: u32, ops: &mut [T]) -> Result<u64, Errno> {
    let args = [u64::from(cmd), address_of_mut(ops), ops.len() as u64, 0, 0];
    // SAFETY: the list is valid; what it asks for is the caller's obligation.
    Errno::check(unsafe { raw(nr::GRANT_TABLE_OP, args) })
}

/// Size of a domain's table; the status is in the structure.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn query_size(dom: DomId) -> Result<GnttabQuerySize, Errno> {
    let mut op = [GnttabQuerySize { dom, ..Default::default() }];
    // SAFETY: only the structure is written.
    unsafe { grant_table_op(grant::QUERY_SIZE, &mut op) }?;
    Ok(op[0])
}

/// Version of a domain's table.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn get_version(dom: DomId) -> Result<u32, Errno> {
    let mut op = [GnttabGetVersion { dom, ..Default::default() }];
    // SAFETY: only the structure is written.
    unsafe { grant_table_op(grant::GET_VERSION, &mut op) }?;
    Ok(op[0].version)
}

/// Chooses the version of this domain's table; returns the version in force.
///
/// # Errors
/// `EINVAL`, `ENOSYS`, `EBUSY`.
pub fn set_version(version: u32) -> Result<u32, Errno> {
    let mut op = [GnttabSetVersion { version }];
    // SAFETY: only the structure is written; entries keep their meaning or the call fails.
    unsafe { grant_table_op(grant::SET_VERSION, &mut op) }?;
    Ok(op[0].version)
}

/// Puts pages behind this domain's table. Returns the status, and frame numbers in `frames`.
///
/// # Errors
/// `EFAULT`, never for a valid slice.
pub fn setup_table(dom: DomId, frames: &mut [u64]) -> Result<i16, Errno> {
    let mut op = [grant::GnttabSetupTable {
        dom,
        nr_frames: u32::try_from(frames.len()).unwrap_or(u32::MAX),
        frame_list: hypercall_abi::GuestVa::new(address_of_mut(frames)),
        ..Default::default()
    }];
    // SAFETY: the list is valid for the number of frames given.
    done(unsafe { grant_table_op(grant::SETUP_TABLE, &mut op) }.map_or_else(Errno::to_ret, |_| 0))?;
    Ok(op[0].status)
}
