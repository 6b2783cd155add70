//! Raising events: from the decision "this port of this domain" to a vCPU that sees it.
//!
//! Everything that raises an event comes through here: `EVTCHNOP_send`, virtual interrupts,
//! physical interrupts, new channels. The words are the domain's shared info and the `vcpu_info` of
//! its vCPUs, reached through the direct map. Called with no event lock held unless said otherwise.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_core::evtchn::{self, Delivery, Destination, EventWords, PortTable};
use hv_machine::percpu::{self, CpuId};
use hv_machine::sync::{Mutex, MutexGuard};
use hv_machine::{cpuinfo, irq};
use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId, Virq};

use crate::current::Here;
use crate::domain::vcpu::NO_CPU;
use crate::domain::{table, Domain, Ports, SharedPage, Vcpu};
use crate::hypercall::ensure;
use crate::sched;

/// Byte offsets in shared info.
const PENDING: usize = 0x800;
const MASK: usize = 0xa00;

/// The event channels of a domain, locked.
type Locked<'a> = MutexGuard<'a, Ports>;
/// The vCPU whose hypercall raises an event, if one does.
type Caller<'a> = Option<&'a Vcpu>;

/// The shared words of a domain.
struct Words<'a>(&'a SharedPage);

impl Words<'_> {
    #[inline]
    fn word(&self, base: usize, port: EvtchnPort) -> &AtomicU64 {
        &self.0[base / 8 + (port.get() as usize / 64) % 64]
    }
}

#[inline]
fn bit(port: EvtchnPort) -> u64 {
    1 << (port.get() % 64)
}

impl<'a> EventWords for Words<'a> {
    /// Its words may move to another place, and are looked for when the pending bit is set.
    type Vcpu = &'a Vcpu;

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
        self.word(MASK, port).load(Ordering::SeqCst) >> (port.get() % 64) & 1 != 0
    }

    #[inline]
    fn test_and_clear_mask(&self, port: EvtchnPort) -> bool {
        self.word(MASK, port).fetch_and(!bit(port), Ordering::SeqCst) & bit(port) != 0
    }

    #[inline]
    fn test_and_set_selector(&self, vcpu: &Vcpu, word: u32) -> bool {
        let bit = 1 << (word % 64);
        vcpu.info.words().selector.fetch_or(bit, Ordering::SeqCst) & bit != 0
    }

    #[inline]
    fn test_and_set_upcall(&self, vcpu: &Vcpu) -> bool {
        vcpu.info.words().pending.swap(1, Ordering::SeqCst) != 0
    }
}

/// Sets a port pending and wakes who waits for it.
#[inline(always)]
pub fn raise(dom: &Domain, ports: Locked, port: EvtchnPort, vcpu: VcpuId, caller: Caller) {
    let Some(vcpu) = dom.vcpu(vcpu) else { return };
    let kick = match evtchn::set_pending(&Words(dom.shared), port, vcpu) {
        Delivery::AlreadyPending => return,
        delivery => delivery == Delivery::Raised { kick: true } && !is_awake(vcpu, caller),
    };
    if kick || !ports.pollers.is_empty() {
        wake(dom, ports, port, kick.then_some(vcpu));
    }
}

/// Whether a vCPU looks for events before its guest goes on: it is in a hypercall, and has not said
/// in the same list of calls that it wants to wait.
#[inline(always)]
fn is_awake(vcpu: &Vcpu, caller: Caller) -> bool {
    caller.is_some_and(|caller| core::ptr::eq(caller, vcpu)) && !vcpu.blocked.load(Ordering::SeqCst)
}

#[cold]
fn wake(dom: &Domain, ports: Locked, port: EvtchnPort, sleeper: Option<&Vcpu>) {
    if let Some(vcpu) = sleeper {
        notify(dom, vcpu);
    }
    for poller in ports.pollers.waiting_for(port) {
        if let Some(vcpu) = dom.vcpu(poller) {
            sched::unblock(dom, vcpu);
        }
    }
}

/// Makes a vCPU look at its upcall byte: wakes it, or interrupts the CPU it runs on.
#[inline(never)]
fn notify(dom: &Domain, vcpu: &Vcpu) {
    if vcpu.blocked.load(Ordering::SeqCst) {
        sched::unblock(dom, vcpu);
    }
    let cpu = vcpu.cpu.load(Ordering::SeqCst);
    if cpu != NO_CPU && cpu != percpu::cpu_id().0 {
        irq::kick(CpuId(cpu));
    }
}

/// `EVTCHNOP_send`, by `caller` if the domain itself asks.
///
/// # Errors
/// `EINVAL` for a port that cannot be sent on.
#[inline(always)]
pub fn send(dom: &Domain, port: EvtchnPort, caller: Caller) -> Result<(), Errno> {
    // Waiting leads to a copy of the rest, because nothing else in it needs registers to be saved.
    match dom.ports.try_lock() {
        Some(ports) => send_on(dom, ports, port, caller),
        None => wait_and_send(dom, port, caller),
    }
}

#[cold]
fn wait_and_send(dom: &Domain, port: EvtchnPort, caller: Caller) -> Result<(), Errno> {
    send_on(dom, dom.ports.lock(), port, caller)
}

#[inline(always)]
fn send_on(dom: &Domain, ports: Locked, port: EvtchnPort, caller: Caller) -> Result<(), Errno> {
    match ports.table.send(port)? {
        Destination::Nowhere => {}
        Destination::Own(port, vcpu) => raise(dom, ports, port, vcpu, caller),
        Destination::Other(receiver, port) => {
            drop(ports);
            if let Some(dom) = table::get(receiver) {
                raise_at(&dom, |table| Some((port, table.arrival(port)?)));
            }
        }
    }
    Ok(())
}

/// Raises an event that is no hypercall of the domain's, if it finds a port and a vCPU for it.
fn raise_at(dom: &Domain, find: impl FnOnce(&PortTable) -> Option<(EvtchnPort, VcpuId)>) {
    let ports = dom.ports.lock();
    if let Some((port, vcpu)) = find(&ports.table) {
        raise(dom, ports, port, vcpu, None);
    }
}

/// A virtual interrupt for a vCPU; dropped if nothing is bound to it.
pub fn raise_virq(dom: &Domain, vcpu: VcpuId, virq: Virq) {
    raise_at(dom, |table| table.virq_target(vcpu, virq));
}

/// A physical interrupt for the domain that has it bound.
pub fn raise_pirq(dom: &Domain, pirq: u32) {
    raise_at(dom, |table| table.pirq_target(pirq));
}

/// Domains that receive the global virtual interrupts; dom0 unless the toolstack said otherwise.
static HANDLERS: Mutex<[DomId; Virq::COUNT as usize]> =
    Mutex::new([DomId::DOM0; Virq::COUNT as usize]);

/// Makes a domain the receiver of a global virtual interrupt.
///
/// # Errors
/// `EINVAL` for one that is not global.
pub fn set_virq_handler(virq: Virq, dom: DomId) -> Result<(), Errno> {
    ensure(virq.is_global(), Errno::EINVAL)?;
    *HANDLERS.lock().get_mut(virq.get() as usize).ok_or(Errno::EINVAL)? = dom;
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
pub fn unmask(here: &Here, port: EvtchnPort) -> Result<(), Errno> {
    let dom = here.dom();
    let ports = dom.ports.lock();
    if let Some(vcpu) = ports.table.unmask_vcpu(port)?.and_then(|vcpu| dom.vcpu(vcpu)) {
        let raised = evtchn::unmask(&Words(dom.shared), port, vcpu);
        drop(ports);
        if raised && !is_awake(vcpu, Some(here.vcpu())) {
            notify(dom, vcpu);
        }
    }
    Ok(())
}

/// Clears the pending bit of a closed port.
pub fn clear_pending(dom: &Domain, port: EvtchnPort) {
    Words(dom.shared).clear_pending(port);
}

/// Whether a port is pending.
pub fn is_pending(dom: &Domain, port: EvtchnPort) -> bool {
    Words(dom.shared).is_pending(port)
}

/// Whether an event waits that the vCPU running here wants to be told of.
pub fn upcall_wanted() -> bool {
    let words = cpuinfo::vcpu_words();
    words.pending.load(Ordering::SeqCst) != 0 && words.mask.load(Ordering::SeqCst) == 0
}
