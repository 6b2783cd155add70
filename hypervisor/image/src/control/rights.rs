//! What a domain may touch of the machine: device frames, I/O ports, interrupts. The commands that
//! give rights are here, too: a caller can give what it has itself.

use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;
use hv_core::rangeset::RangeSet;
use hypercall_abi::domctl::{IomemPermission, IoportPermission, IrqPermission};
use hypercall_abi::Errno;

use crate::domain::Domain;
use crate::hypercall::{ensure, Call};

/// The rights of one domain.
#[derive(Default)]
pub struct Rights {
    /// Device frames.
    pub iomem: RangeSet,
    /// I/O ports.
    pub ports: RangeSet,
    /// Physical interrupts.
    pub irqs: RangeSet,
}

/// Ports of the machine.
const NR_PORTS: u64 = 65_536;

/// `irq_permission`.
///
/// # Errors
/// `EPERM` for an interrupt the caller may not use itself, `ENOMEM`.
pub fn irq(call: &Call<'_>, dom: &Domain, wanted: IrqPermission) -> Result<(), Errno> {
    let pirq = u64::from(wanted.pirq);
    change(call, dom, |rights| &mut rights.irqs, pirq..=pirq, wanted.allow_access != 0)
}

/// `iomem_permission`.
///
/// # Errors
/// `EINVAL` for a range that wraps, `EPERM`, `ENOMEM`.
pub fn iomem(call: &Call<'_>, dom: &Domain, wanted: IomemPermission) -> Result<(), Errno> {
    let first = wanted.first_mfn.get();
    let last = wanted.nr_mfns.checked_sub(1).and_then(|more| first.checked_add(more));
    let range = first..=last.ok_or(Errno::EINVAL)?;
    change(call, dom, |rights| &mut rights.iomem, range, wanted.allow_access != 0)
}

/// `ioport_permission`.
///
/// # Errors
/// `EINVAL` for ports that do not exist, `EPERM`, `ENOMEM`.
pub fn ioport(call: &Call<'_>, dom: &Domain, wanted: IoportPermission) -> Result<(), Errno> {
    let first = u64::from(wanted.first_port);
    let end = first + u64::from(wanted.nr_ports);
    ensure(end <= NR_PORTS, Errno::EINVAL)?;
    if wanted.nr_ports == 0 {
        return Ok(());
    }
    change(call, dom, |rights| &mut rights.ports, first..=end - 1, wanted.allow_access != 0)
}

/// Changes one kind of right. The caller's own set is looked at and let go of before the target's
/// is locked. Memory and ports make a domain one with devices.
fn change(
    call: &Call<'_>,
    dom: &Domain,
    pick: fn(&mut Rights) -> &mut RangeSet,
    range: RangeInclusive<u64>,
    allow: bool,
) -> Result<(), Errno> {
    let has_right = pick(&mut call.here.dom().rights.lock()).contains_all(range.clone());
    ensure(has_right, Errno::EPERM)?;
    let mut rights = dom.rights.lock();
    let set = pick(&mut rights);
    if allow { set.insert(range) } else { set.remove(range) }?;
    let has_devices = !rights.iomem.is_empty() || !rights.ports.is_empty();
    dom.has_devices.store(has_devices, Ordering::Relaxed);
    Ok(())
}
