//! Raising events: from the decision "this port of this domain" to a vCPU that sees it.
//!
//! Everything that raises an event comes through here: `EVTCHNOP_send`, virtual interrupts,
//! physical interrupts, new channels. The words are the domain's shared info and the `vcpu_info` of
//! its vCPUs, reached through the direct map. Called with no event lock held unless said otherwise.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::evtchn::{self, Delivery, Destination, EventWords};
use hv_machine::percpu::{self, CpuId};
use hv_machine::sync::Mutex;
use hv_machine::{cpuinfo, directmap, irq};
use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId, Virq, PAGE_SIZE};

use crate::domain::vcpu::NO_CPU;
use crate::domain::{table, Domain, Ports};
use crate::sched;

/// Byte offsets in shared info.
const PENDING: usize = 0x800;
const MASK: usize = 0xa00;
/// Index of the word `evtchn_pending_sel` in `vcpu_info`.
const SELECTOR: usize = 1;

/// The shared words of a domain.
struct Words<'a> {
    dom: &'a Domain,
    page: &'static Page,
}

type Page = [AtomicU64; PAGE_SIZE / 8];

/// The words of a vCPU, by the index of the first.
type Info = (&'static Page, usize);

fn words(dom: &Domain) -> Words<'_> {
    Words { dom, page: directmap::table(dom.shared_info) }
}

impl Words<'_> {
    #[inline]
    fn word(&self, base: usize, port: EvtchnPort) -> &AtomicU64 {
        &self.page[base / 8 + (port.get() as usize / 64) % 64]
    }
}

#[inline]
fn bit(port: EvtchnPort) -> u64 {
    1 << (port.get() % 64)
}

impl EventWords for Words<'_> {
    type Vcpu = Info;

    #[inline(always)]
    fn vcpu(&self, vcpu: VcpuId) -> Option<Info> {
        let (mfn, offset) = self.dom.vcpu(vcpu)?.info_place();
        let page = if mfn == self.dom.shared_info { self.page } else { directmap::table(mfn) };
        Some((page, offset / 8))
    }

    #[inline]
    fn test_and_set_pending(&self, port: EvtchnPort) -> bool {
        self.word(PENDING, port).fetch_or(bit(port), Ordering::SeqCst) & bit(port) != 0
    }

    #[inline]
    fn is_pending(&self, port: EvtchnPort) -> bool {
        self.word(PENDING, port).load(Ordering::SeqCst) & bit(port) != 0
    }

    #[inline]
    fn clear_pending(&self, port: EvtchnPort) {
        self.word(PENDING, port).fetch_and(!bit(port), Ordering::SeqCst);
    }

    #[inline]
    fn is_masked(&self, port: EvtchnPort) -> bool {
        self.word(MASK, port).load(Ordering::SeqCst) & bit(port) != 0
    }

    #[inline]
    fn test_and_clear_mask(&self, port: EvtchnPort) -> bool {
        self.word(MASK, port).fetch_and(!bit(port), Ordering::SeqCst) & bit(port) != 0
    }

    #[inline]
    fn test_and_set_selector(&self, (page, first): Info, word: u32) -> bool {
        let bit = 1 << (word % 64);
        page[(first + SELECTOR) % page.len()].fetch_or(bit, Ordering::SeqCst) & bit != 0
    }

    /// The upcall byte is the first of its word.
    #[inline]
    fn test_and_set_upcall(&self, (page, first): Info) -> bool {
        page[first].fetch_or(1, Ordering::SeqCst) & 1 != 0
    }
}

/// Sets a port pending and wakes who waits for it. The domain's ports are locked by the caller.
pub fn set_pending(dom: &Domain, ports: &Ports, port: EvtchnPort, vcpu: VcpuId) {
    raise(dom, ports, port, vcpu);
}

#[inline(always)]
fn raise(dom: &Domain, ports: &Ports, port: EvtchnPort, vcpu: VcpuId) {
    let delivery = evtchn::set_pending(&words(dom), port, vcpu);
    if let Delivery::Raised { kick: true } = delivery {
        notify(dom, vcpu);
    }
    if delivery != Delivery::AlreadyPending && !ports.pollers.is_empty() {
        wake_pollers(dom, ports, port);
    }
}

#[cold]
fn wake_pollers(dom: &Domain, ports: &Ports, port: EvtchnPort) {
    for poller in ports.pollers.waiting_for(port) {
        if let Some(vcpu) = dom.vcpu(poller) {
            sched::unblock(dom, vcpu);
        }
    }
}

/// Makes a vCPU look at its upcall byte: wakes it, or interrupts the CPU it runs on.
#[inline(always)]
fn notify(dom: &Domain, vcpu: VcpuId) {
    let Some(vcpu) = dom.vcpu(vcpu) else { return };
    if vcpu.blocked.load(Ordering::SeqCst) {
        sched::unblock(dom, vcpu);
    }
    let cpu = vcpu.cpu.load(Ordering::SeqCst);
    if cpu != NO_CPU && cpu != percpu::cpu_id().0 {
        irq::kick(CpuId(cpu));
    }
}

/// `EVTCHNOP_send`.
///
/// # Errors
/// `EINVAL` for a port that cannot be sent on.
#[inline(always)]
pub fn send(dom: &Domain, port: EvtchnPort) -> Result<(), Errno> {
    let ports = dom.ports.lock();
    match ports.table.send(port)? {
        Destination::Nowhere => {}
        Destination::Own(port, vcpu) => raise(dom, &ports, port, vcpu),
        Destination::Other(receiver, port) => {
            drop(ports);
            arrive(receiver, port);
        }
    }
    Ok(())
}

/// An event for a port of another domain; dropped if the port is gone by now.
pub fn arrive(id: DomId, port: EvtchnPort) {
    let Some(dom) = table::get(id) else { return };
    let ports = dom.ports.lock();
    if let Some(vcpu) = ports.table.arrival(port) {
        set_pending(&dom, &ports, port, vcpu);
    }
}

/// A virtual interrupt for a vCPU; dropped if nothing is bound to it.
pub fn raise_virq(dom: &Domain, vcpu: VcpuId, virq: Virq) {
    let ports = dom.ports.lock();
    if let Some((port, vcpu)) = ports.table.virq_target(vcpu, virq) {
        set_pending(dom, &ports, port, vcpu);
    }
}

/// A physical interrupt for the domain that has it bound.
pub fn raise_pirq(dom: &Domain, pirq: u32) {
    let ports = dom.ports.lock();
    if let Some((port, vcpu)) = ports.table.pirq_target(pirq) {
        set_pending(dom, &ports, port, vcpu);
    }
}

/// Domains that receive the global virtual interrupts; dom0 unless the toolstack said otherwise.
static HANDLERS: Mutex<[DomId; Virq::COUNT as usize]> =
    Mutex::new([DomId::DOM0; Virq::COUNT as usize]);

/// Makes a domain the receiver of a global virtual interrupt.
///
/// # Errors
/// `EINVAL` for one that is not global.
pub fn set_virq_handler(virq: Virq, dom: DomId) -> Result<(), Errno> {
    if !virq.is_global() {
        return Err(Errno::EINVAL);
    }
    let mut handlers = HANDLERS.lock();
    let slot = handlers.get_mut(virq.get() as usize).ok_or(Errno::EINVAL)?;
    *slot = dom;
    Ok(())
}

/// Raises a global virtual interrupt in the domain that receives it.
pub fn raise_global(virq: Virq) {
    let receiver = HANDLERS.lock().get(virq.get() as usize).copied();
    if let Some(dom) = receiver.and_then(table::get) {
        raise_virq(&dom, VcpuId::new(0), virq);
    }
}

/// Gives the global virtual interrupts of a dying domain back to dom0.
pub fn release_handlers(dom: DomId) {
    let mut handlers = HANDLERS.lock();
    handlers.iter_mut().filter(|owner| **owner == dom).for_each(|owner| *owner = DomId::DOM0);
}

/// `EVTCHNOP_unmask`.
///
/// # Errors
/// `EINVAL` for a bad port.
#[inline(always)]
pub fn unmask(dom: &Domain, port: EvtchnPort) -> Result<(), Errno> {
    let ports = dom.ports.lock();
    if let Some(vcpu) = ports.table.unmask_vcpu(port)? {
        if evtchn::unmask(&words(dom), port, vcpu) {
            notify(dom, vcpu);
        }
    }
    Ok(())
}

/// Clears the pending bit of a closed port.
pub fn clear_pending(dom: &Domain, port: EvtchnPort) {
    words(dom).clear_pending(port);
}

/// Whether a port is pending.
pub fn is_pending(dom: &Domain, port: EvtchnPort) -> bool {
    words(dom).is_pending(port)
}

/// Whether an event waits that the vCPU running here wants to be told of.
pub fn upcall_wanted() -> bool {
    let words = cpuinfo::vcpu_words();
    words.pending.load(Ordering::SeqCst) != 0 && words.mask.load(Ordering::SeqCst) == 0
}
