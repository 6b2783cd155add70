//! Event channels: recording what happened, and running handlers for it.
//!
//! Two halves. The upcall, entered from the hypervisor at any instruction, only moves pending bits
//! from the shared page to what `pvkernel_core::events` records. The handlers run later, from `dispatch`, in
//! the context of a thread that yields, sleeps or waits.
//!
//! The order in the upcall (clear the upcall flag, then the selector, then the pending bits) is
//! the reverse of the hypervisor's, so an event that arrives in between is seen now or raises the
//! flag again.

use core::mem::offset_of;
use core::sync::atomic::Ordering;

use hypercall_abi::shared_info::{VcpuInfo, OFFSET_EVTCHN_MASK, OFFSET_EVTCHN_PENDING};
use hypercall_abi::EvtchnPort;
use pvkernel_core::events::Events;
pub use pvkernel_core::events::Handler;

pub use crate::channel::{alloc_unbound, bind_interdomain, bind_virq, notify, unbind};
use crate::hypercall::{evtchn, version};
use crate::vcpu_info::vcpu_info_if_mapped;
pub use crate::vcpu_info::{fault_address, move_vcpu_info, shared_info, vcpu_info};

const UPCALL_PENDING: usize = offset_of!(VcpuInfo, evtchn_upcall_pending);
const UPCALL_MASK: usize = offset_of!(VcpuInfo, evtchn_upcall_mask);
const PENDING_SEL: usize = offset_of!(VcpuInfo, evtchn_pending_sel);

static EVENTS: Events = Events::new();

/// Masks upcalls; returns whether they were enabled.
pub fn mask_upcalls() -> bool {
    vcpu_info().u8_at(UPCALL_MASK).swap(1, Ordering::AcqRel) == 0
}

/// Enables upcalls; an event that came while they were masked is recorded before this returns.
pub fn enable_upcalls() {
    let info = vcpu_info();
    info.u8_at(UPCALL_MASK).store(0, Ordering::SeqCst);
    if info.u8_at(UPCALL_PENDING).load(Ordering::SeqCst) != 0 {
        version::force_callback();
    }
}

/// Runs what an upcall must not come between.
pub(crate) fn masked<T>(act: impl FnOnce() -> T) -> T {
    let was_enabled = mask_upcalls();
    let result = act();
    if was_enabled {
        enable_upcalls();
    }
    result
}

/// Records what is pending; called by the trap entry with upcalls masked.
pub(crate) fn upcall() {
    let Some(info) = vcpu_info_if_mapped() else { return };
    while info.u8_at(UPCALL_PENDING).swap(0, Ordering::AcqRel) != 0 {
        let mut selector = info.u64_at(PENDING_SEL).swap(0, Ordering::AcqRel);
        while selector != 0 {
            let word = selector.trailing_zeros() as usize;
            selector &= selector - 1;
            record(word);
        }
    }
}

fn record(word: usize) {
    let page = shared_info();
    let pending = page.u64_at(OFFSET_EVTCHN_PENDING + 8 * word);
    let mask = page.u64_at(OFFSET_EVTCHN_MASK + 8 * word).load(Ordering::Acquire);
    let wanted = pending.load(Ordering::Acquire) & !mask;
    let taken = pending.fetch_and(!wanted, Ordering::AcqRel) & wanted;
    if taken != 0 {
        EVENTS.record(word, taken);
    }
}

/// Whether an event was recorded that `dispatch` has not seen.
#[must_use]
#[inline]
pub fn is_raised() -> bool {
    EVENTS.is_raised()
}

/// Runs the handlers of all recorded events. Events without a handler are dropped.
pub fn dispatch() {
    EVENTS.dispatch();
}

/// Installs the handler of a port and unmasks it. It runs when a thread yields, sleeps or waits; it may
/// wake threads and print, but must not wait.
pub fn on_event(port: EvtchnPort, handler: Handler) {
    EVENTS.bind(port.get(), handler);
    // A port that does not exist has no mask to clear; its handler never runs.
    let _ = evtchn::unmask(port);
}

/// Forgets the handler of a port.
pub(crate) fn forget(port: EvtchnPort) {
    EVENTS.unbind(port.get());
}

/// Ports with a handler.
pub(crate) fn bound_ports() -> usize {
    EVENTS.bound()
}
