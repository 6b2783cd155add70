//! `physdev_op`: physical devices.

use hypercall_abi::physdev::{
    self, PhysdevEoi, PhysdevMapPirq, PhysdevSetIopl, PhysdevSetupGsi, MAP_PIRQ_TYPE_GSI,
};
use hypercall_abi::{nr, DomId, Errno};

use super::command;

/// A `physdev_op` with a structure.
///
/// # Safety
/// As for `raw`: some commands hand memory to the hypervisor, others let devices write memory.
pub unsafe fn physdev_op<T>(cmd: u32, arg: &mut T) -> i64 {
    // SAFETY: passed on to the caller.
    unsafe { command(nr::PHYSDEV_OP, cmd, arg) }
}

/// Sets the level that may use ports.
///
/// # Errors
/// `EINVAL` for a level above 3.
pub fn set_iopl(iopl: u32) -> Result<(), Errno> {
    // SAFETY: only the structure is read; ports are still subject to the domain's rights.
    Errno::check(unsafe { physdev_op(physdev::SET_IOPL, &mut PhysdevSetIopl { iopl }) }).map(|_| ())
}

/// A line as the interface has it: a signed number.
fn signed(line: u32) -> Result<i32, Errno> {
    i32::try_from(line).map_err(|_| Errno::EINVAL)
}

/// Says that an interrupt line is level-triggered and active low, as those of PCI are.
///
/// # Errors
/// `EEXIST` when it has been said before, `EPERM`, `EINVAL`.
pub fn setup_gsi(line: u32) -> Result<(), Errno> {
    let gsi = signed(line)?;
    let mut arg = PhysdevSetupGsi { gsi, triggering: 1, polarity: 1, ..Default::default() };
    // SAFETY: only the structure is read; a line that is set up reaches nobody before it is bound.
    Errno::check(unsafe { physdev_op(physdev::SETUP_GSI, &mut arg) }).map(|_| ())
}

/// Makes the physical interrupt of a line, and returns its number.
///
/// # Errors
/// `EPERM`, `EINVAL`, `EBUSY`.
pub fn map_gsi(line: u32) -> Result<u32, Errno> {
    let index = signed(line)?;
    let mut arg = PhysdevMapPirq {
        domid: DomId::SELF,
        kind: MAP_PIRQ_TYPE_GSI,
        index,
        pirq: index,
        ..Default::default()
    };
    // SAFETY: only the structure is read and written.
    Errno::check(unsafe { physdev_op(physdev::MAP_PIRQ, &mut arg) })?;
    u32::try_from(arg.pirq).map_err(|_| Errno::EINVAL)
}

/// Ends a physical interrupt: the next one may come.
///
/// # Errors
/// `EINVAL` for one that does not exist.
pub fn eoi(irq: u32) -> Result<(), Errno> {
    // SAFETY: only the structure is read.
    Errno::check(unsafe { physdev_op(physdev::EOI, &mut PhysdevEoi { irq }) }).map(|_| ())
}
