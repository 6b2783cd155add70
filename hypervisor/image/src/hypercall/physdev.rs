//! `physdev_op`: interrupts and I/O privilege of a control domain.
//!
//! A physical interrupt (pirq) has the number of its line (GSI). It is routed to the domain that
//! binds it to a port; a level-triggered line stays masked from its interrupt until the guest's
//! `eoi`. Message-signalled interrupts are not offered.

use hv_machine::irq::{self, Signal, GSI_VECTORS, VEC_GSI_BASE};
use hv_machine::sync::Mutex;
use hypercall_abi::physdev as abi;
use hypercall_abi::{DomId, Errno};

use super::{ensure, Answer, Call};
use crate::current::Here;
use crate::domain::{table, Domain};
use crate::{events, guestmem};

/// One device line.
#[derive(Clone, Copy)]
struct Line {
    /// The domain that has it bound.
    owner: Option<DomId>,
    /// Level-triggered, active low, if dom0 has said so.
    set_up: Option<(bool, bool)>,
}

impl Line {
    /// Whether line `pirq` is level-triggered, and whether it is active low.
    fn level_low(&self, pirq: u32) -> (bool, bool) {
        self.set_up.unwrap_or((pirq >= ISA_LINES, pirq >= ISA_LINES))
    }
}

static LINES: Mutex<[Line; GSI_VECTORS as usize]> =
    Mutex::new([Line { owner: None, set_up: None }; GSI_VECTORS as usize]);

/// Lines below this number are ISA interrupts: edge-triggered, active high.
const ISA_LINES: u32 = 16;

/// `physdev_op(cmd, arg)`.
pub fn physdev_op(call: &mut Call<'_>) -> Answer {
    let [command, arg, ..] = call.args;
    let here = call.here;
    match command as u32 {
        abi::SET_IOPL => set_iopl(here, &guestmem::read(arg)?)?,
        abi::SET_IOBITMAP => set_iobitmap(here, &guestmem::read(arg)?)?,
        abi::IRQ_STATUS_QUERY => guestmem::update(arg, status_query)?,
        abi::EOI => eoi(here, &guestmem::read(arg)?)?,
        abi::MAP_PIRQ => guestmem::update(arg, |op| map_pirq(here, op))?,
        abi::UNMAP_PIRQ => unmap_pirq(here, &guestmem::read(arg)?)?,
        command if FOR_DOM0.contains(&command) && !here.dom().privileged => Err(Errno::EPERM)?,
        abi::SETUP_GSI => setup_gsi(&guestmem::read(arg)?)?,
        abi::ALLOC_IRQ_VECTOR => guestmem::update(arg, alloc_vector)?,
        abi::GET_FREE_PIRQ => guestmem::update(arg, get_free_pirq)?,
        // dom0 tells what it found on the buses; nothing here depends on it.
        command => ensure(FOR_DOM0.contains(&command), Errno::ENOSYS)?,
    }
    Ok(0)
}

/// Commands of a control domain.
const FOR_DOM0: [u32; 9] = [
    abi::SETUP_GSI,
    abi::ALLOC_IRQ_VECTOR,
    abi::GET_FREE_PIRQ,
    abi::PCI_DEVICE_ADD,
    abi::PCI_DEVICE_REMOVE,
    abi::MANAGE_PCI_ADD,
    abi::MANAGE_PCI_ADD_EXT,
    abi::MANAGE_PCI_REMOVE,
    abi::PCI_MMCFG_RESERVED,
];

fn set_iopl(here: &Here, op: &abi::PhysdevSetIopl) -> Result<(), Errno> {
    ensure(op.iopl <= 3, Errno::EINVAL)?;
    here.vcpu().state.lock().iopl = op.iopl as u8;
    Ok(())
}

fn set_iobitmap(here: &Here, op: &abi::PhysdevSetIobitmap) -> Result<(), Errno> {
    ensure(op.nr_ports <= abi::MAX_IO_PORTS, Errno::EINVAL)?;
    here.vcpu().state.lock().iobitmap = (op.bitmap.get(), op.nr_ports);
    Ok(())
}

/// Whether a number names a line there is.
fn exists(pirq: u32) -> bool {
    pirq < GSI_VECTORS && pirq < irq::gsi_count()
}

fn status_query(op: &mut abi::PhysdevIrqStatusQuery) -> Result<(), Errno> {
    ensure(op.irq < irq::gsi_count().max(GSI_VECTORS), Errno::EINVAL)?;
    op.flags = abi::IRQSTAT_NEEDS_EOI;
    Ok(())
}

fn eoi(here: &Here, op: &abi::PhysdevEoi) -> Result<(), Errno> {
    ensure(exists(op.irq), Errno::EINVAL)?;
    if owner(op.irq) == Some(here.dom().id) {
        irq::gsi_unmask(op.irq);
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
    ensure(exists(pirq), Errno::EINVAL)?;
    ensure(dom.rights.lock().irqs.contains(u64::from(pirq)), Errno::EPERM)?;
    ensure(owner(pirq).is_none_or(|owner| owner == dom.id), Errno::EBUSY)
}

/// Begins to deliver a line to a domain that has bound it.
pub fn start(dom: &Domain, pirq: u32) {
    let mut lines = LINES.lock();
    let Some(line) = lines.get_mut(pirq as usize) else { return };
    line.owner = Some(dom.id);
    let (is_level, is_low) = line.level_low(pirq);
    irq::gsi_route(pirq, VEC_GSI_BASE + pirq as u8, Signal { is_level, is_low });
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

/// A line fired. A level-triggered one stays raised until its device is served.
pub fn interrupt(vector: u8) {
    let Some(pirq) = vector.checked_sub(VEC_GSI_BASE).map(u32::from) else { return };
    let Some(line) = LINES.lock().get(pirq as usize).copied() else { return };
    if line.level_low(pirq).0 {
        irq::gsi_mask(pirq);
    }
    if let Some(dom) = line.owner.and_then(table::get) {
        events::raise_pirq(&dom, pirq);
    }
}

fn map_pirq(here: &Here, op: &mut abi::PhysdevMapPirq) -> Result<(), Errno> {
    let dom = table::target(here, op.domid)?;
    ensure(op.kind == abi::MAP_PIRQ_TYPE_GSI, Errno::EOPNOTSUPP)?;
    check_pirq(&dom, u32::try_from(op.index).map_err(|_| Errno::EINVAL)?)?;
    ensure(op.pirq < 0 || op.pirq == op.index, Errno::EINVAL)?;
    op.pirq = op.index;
    Ok(())
}

fn unmap_pirq(here: &Here, op: &abi::PhysdevUnmapPirq) -> Result<(), Errno> {
    let dom = table::target(here, op.domid)?;
    check_pirq(&dom, u32::try_from(op.pirq).map_err(|_| Errno::EINVAL)?)
}

fn setup_gsi(op: &abi::PhysdevSetupGsi) -> Result<(), Errno> {
    let gsi = u32::try_from(op.gsi).ok().filter(|gsi| exists(*gsi)).ok_or(Errno::EINVAL)?;
    let mut lines = LINES.lock();
    let line = lines.get_mut(gsi as usize).ok_or(Errno::EINVAL)?;
    ensure(line.set_up.is_none(), Errno::EEXIST)?;
    line.set_up = Some((op.triggering != 0, op.polarity != 0));
    Ok(())
}

fn alloc_vector(op: &mut abi::PhysdevIrq) -> Result<(), Errno> {
    ensure(exists(op.irq), Errno::EINVAL)?;
    op.vector = op.irq;
    Ok(())
}

fn get_free_pirq(op: &mut abi::PhysdevGetFreePirq) -> Result<(), Errno> {
    let mut candidates = (ISA_LINES..GSI_VECTORS).filter(|pirq| exists(*pirq));
    op.pirq = candidates.find(|pirq| owner(*pirq).is_none()).ok_or(Errno::ENOSPC)?;
    Ok(())
}
