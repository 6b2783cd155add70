//! `physdev_op`: interrupts and I/O privilege of a control domain.
//!
//! A physical interrupt (pirq) has the number of its line (GSI). It is routed to the domain that
//! binds it to a port; a level-triggered line stays masked from its interrupt until the guest's
//! `eoi`. Message-signalled interrupts are not offered.

use hv_machine::irq::{self, Polarity, Trigger, GSI_VECTORS, VEC_GSI_BASE};
use hv_machine::sync::Mutex;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;
use hypercall_abi::physdev::{
    self as cmd, PhysdevEoi, PhysdevGetFreePirq, PhysdevIrq, PhysdevIrqStatusQuery,
    PhysdevMapPirq, PhysdevSetIobitmap, PhysdevSetIopl, PhysdevSetupGsi, PhysdevUnmapPirq,
    IRQSTAT_NEEDS_EOI, MAP_PIRQ_TYPE_GSI, MAX_IO_PORTS,
};

use super::{Call, Outcome};
use crate::domain::{table, Domain};
use crate::{events, guestmem};

/// One device line.
#[derive(Clone, Copy)]
struct Line {
    /// The domain that has it bound.
    owner: Option<DomId>,
    /// Level-triggered, active low, if it was set up so.
    level_low: Option<(bool, bool)>,
}

static LINES: Mutex<[Line; GSI_VECTORS as usize]> =
    Mutex::new([Line { owner: None, level_low: None }; GSI_VECTORS as usize]);

/// Lines below this number are ISA interrupts: edge-triggered, active high.
const ISA_LINES: u32 = 16;

/// `physdev_op(cmd, arg)`.
pub fn physdev_op(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    let privileged = call.here.dom().privileged;
    let result = match command as u32 {
        cmd::SET_IOPL => set_iopl(call, arg),
        cmd::SET_IOBITMAP => set_iobitmap(call, arg),
        cmd::IRQ_STATUS_QUERY => status_query(arg),
        cmd::EOI => eoi(call, arg),
        cmd::MAP_PIRQ => map_pirq(call, arg),
        cmd::UNMAP_PIRQ => unmap_pirq(call, arg),
        cmd::SETUP_GSI if privileged => setup_gsi(arg),
        cmd::ALLOC_IRQ_VECTOR if privileged => alloc_vector(arg),
        cmd::GET_FREE_PIRQ if privileged => get_free_pirq(arg),
        // dom0 tells what it found on the buses; nothing here depends on it.
        cmd::PCI_DEVICE_ADD
        | cmd::PCI_DEVICE_REMOVE
        | cmd::MANAGE_PCI_ADD
        | cmd::MANAGE_PCI_ADD_EXT
        | cmd::MANAGE_PCI_REMOVE
        | cmd::PCI_MMCFG_RESERVED
            if privileged =>
        {
            Ok(())
        }
        cmd::SETUP_GSI
        | cmd::ALLOC_IRQ_VECTOR
        | cmd::GET_FREE_PIRQ
        | cmd::PCI_DEVICE_ADD
        | cmd::PCI_DEVICE_REMOVE
        | cmd::MANAGE_PCI_ADD
        | cmd::MANAGE_PCI_ADD_EXT
        | cmd::MANAGE_PCI_REMOVE
        | cmd::PCI_MMCFG_RESERVED => Err(Errno::EPERM),
        _ => Err(Errno::ENOSYS),
    };
    result.into()
}

fn set_iopl(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: PhysdevSetIopl = guestmem::read(arg)?;
    if op.iopl > 3 {
        return Err(Errno::EINVAL);
    }
    call.here.vcpu().state.lock().iopl = op.iopl as u8;
    Ok(())
}

fn set_iobitmap(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: PhysdevSetIobitmap = guestmem::read(arg)?;
    if op.nr_ports > MAX_IO_PORTS {
        return Err(Errno::EINVAL);
    }
    call.here.vcpu().state.lock().iobitmap = (op.bitmap.get(), op.nr_ports);
    Ok(())
}

/// Whether a number names a line there is.
fn exists(pirq: u32) -> bool {
    pirq < GSI_VECTORS && pirq < irq::gsi_count()
}

fn status_query(arg: u64) -> Result<(), Errno> {
    let mut op: PhysdevIrqStatusQuery = guestmem::read(arg)?;
    if op.irq >= irq::gsi_count().max(GSI_VECTORS) {
        return Err(Errno::EINVAL);
    }
    op.flags = IRQSTAT_NEEDS_EOI;
    guestmem::write(arg, &op)
}

fn eoi(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: PhysdevEoi = guestmem::read(arg)?;
    if !exists(op.irq) {
        return Err(Errno::EINVAL);
    }
    if owner(op.irq) == Some(call.here.dom().id) {
        irq::gsi_eoi(op.irq);
    }
    Ok(())
}

fn owner(pirq: u32) -> Option<DomId> {
    LINES.lock().get(pirq as usize).and_then(|line| line.owner)
}

/// Whether a domain may bind a line.
///
/// # Errors
/// `EINVAL` for a line that does not exist, `EPERM` without the right, `EBUSY` when another domain
/// has it.
pub fn check_pirq(dom: &Domain, pirq: u32) -> Result<(), Errno> {
    if !exists(pirq) {
        return Err(Errno::EINVAL);
    }
    if !dom.rights.lock().irqs.contains(u64::from(pirq)) {
        return Err(Errno::EPERM);
    }
    match owner(pirq) {
        Some(other) if other != dom.id => Err(Errno::EBUSY),
        _ => Ok(()),
    }
}

/// Begins to deliver a line to a domain that has bound it.
pub fn start(dom: &Domain, pirq: u32) {
    let mut lines = LINES.lock();
    let Some(line) = lines.get_mut(pirq as usize) else { return };
    line.owner = Some(dom.id);
    let isa = pirq < ISA_LINES;
    let (level, low) = line.level_low.unwrap_or((!isa, !isa));
    let trigger = if level { Trigger::Level } else { Trigger::Edge };
    let polarity = if low { Polarity::Low } else { Polarity::High };
    irq::gsi_route(pirq, VEC_GSI_BASE + pirq as u8, trigger, polarity);
    irq::gsi_unmask(pirq);
}

/// Ends delivery of a line.
pub fn stop(dom: &Domain, pirq: u32) {
    let mut lines = LINES.lock();
    let Some(line) = lines.get_mut(pirq as usize) else { return };
    if line.owner == Some(dom.id) {
        line.owner = None;
        irq::gsi_mask(pirq);
    }
}

/// Ends delivery of all lines of a dying domain.
pub fn release_domain(dom: &Domain) {
    (0..GSI_VECTORS).for_each(|pirq| stop(dom, pirq));
}

/// Whether a line stays raised until its device is served.
fn is_level(pirq: u32) -> bool {
    let lines = LINES.lock();
    let setup = lines.get(pirq as usize).and_then(|line| line.level_low);
    setup.map_or(pirq >= ISA_LINES, |(level, _)| level)
}

/// A line fired.
pub fn interrupt(vector: u8) {
    let Some(pirq) = vector.checked_sub(VEC_GSI_BASE).map(u32::from) else { return };
    if is_level(pirq) {
        irq::gsi_mask(pirq);
    }
    if let Some(dom) = owner(pirq).and_then(table::get) {
        events::raise_pirq(&dom, pirq);
    }
}

fn map_pirq(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let mut op: PhysdevMapPirq = guestmem::read(arg)?;
    let dom = table::target(call.here, op.domid)?;
    if op.kind != MAP_PIRQ_TYPE_GSI {
        return Err(Errno::EOPNOTSUPP);
    }
    let gsi = u32::try_from(op.index).map_err(|_| Errno::EINVAL)?;
    check_pirq(&dom, gsi)?;
    if op.pirq >= 0 && op.pirq != op.index {
        return Err(Errno::EINVAL);
    }
    op.pirq = op.index;
    guestmem::write(arg, &op)
}

fn unmap_pirq(call: &Call<'_>, arg: u64) -> Result<(), Errno> {
    let op: PhysdevUnmapPirq = guestmem::read(arg)?;
    let dom = table::target(call.here, op.domid)?;
    let pirq = u32::try_from(op.pirq).ok().filter(|pirq| exists(*pirq)).ok_or(Errno::EINVAL)?;
    check_pirq(&dom, pirq)
}

fn setup_gsi(arg: u64) -> Result<(), Errno> {
    let op: PhysdevSetupGsi = guestmem::read(arg)?;
    let gsi = u32::try_from(op.gsi).map_err(|_| Errno::EINVAL)?;
    if !exists(gsi) {
        return Err(Errno::EINVAL);
    }
    let mut lines = LINES.lock();
    let line = lines.get_mut(gsi as usize).ok_or(Errno::EINVAL)?;
    if line.level_low.is_some() {
        return Err(Errno::EEXIST);
    }
    line.level_low = Some((op.triggering != 0, op.polarity != 0));
    Ok(())
}

fn alloc_vector(arg: u64) -> Result<(), Errno> {
    let mut op: PhysdevIrq = guestmem::read(arg)?;
    if !exists(op.irq) {
        return Err(Errno::EINVAL);
    }
    op.vector = op.irq;
    guestmem::write(arg, &op)
}

fn get_free_pirq(arg: u64) -> Result<(), Errno> {
    let mut op: PhysdevGetFreePirq = guestmem::read(arg)?;
    let lines = LINES.lock();
    let free = (ISA_LINES..GSI_VECTORS)
        .find(|pirq| exists(*pirq) && lines.get(*pirq as usize).is_some_and(|l| l.owner.is_none()));
    drop(lines);
    op.pirq = free.ok_or(Errno::ENOSPC)?;
    guestmem::write(arg, &op)
}
